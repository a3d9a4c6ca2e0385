"""The schema: what the models say, on both databases; safe to reach from anywhere, and guarded where it must be."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from lived import KINDS, Lived, copy_of, lived_in
from servers import Postgres
from sqlalchemy import CheckConstraint, Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from town import Blank

from models import migrations, tables
from models.store import Store

APPEND_ONLY = {"aftersale_move", "audit", "consent", "ledger", "ledger_link", "order_move"}
REVISIONS = [one.revision for one in ScriptDirectory.from_config(migrations.config()).walk_revisions()][::-1]


@asynccontextmanager
async def empty(kind: str, folder: Path, postgres: Postgres, name: str = "empty") -> AsyncIterator[Store]:
    """A new database, and nothing in it."""
    url = await postgres.fresh_database() if kind == "postgresql" else f"sqlite:///{folder / name}.db"
    store = Store(url)
    try:
        yield store
    finally:
        await store.close()
        if kind == "postgresql":
            await postgres.drop_database(url)


async def rows(store: Store, sql: str, **given: Any) -> list[Any]:
    async with store.engine.connect() as connection:
        found = list((await connection.execute(text(sql), given)).all())
        await connection.rollback()
    return found


async def counts(store: Store) -> dict[str, int]:
    """How many rows each table has that is there at this revision."""
    sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    if store.sqlite:
        sql = "SELECT name FROM sqlite_master WHERE type = 'table'"
    here = {row[0] for row in await rows(store, sql)} & set(tables.metadata.tables)
    return {name: (await rows(store, f'SELECT count(*) FROM "{name}"'))[0][0] for name in sorted(here)}


async def schema(store: Store) -> set[tuple[str, ...]]:
    """Everything the database says of itself: tables with their columns, constraints, indexes, triggers."""
    if store.sqlite:
        sql = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE tbl_name <> 'alembic_version'"
        return {(row.type, row.name, row.tbl_name, *parts(row.sql or "")) for row in await rows(store, sql)}
    return {
        tuple(map(str, row))
        for sql in (
            "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
            " WHERE table_schema = 'public'",
            "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace",
            "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
            "SELECT tgrelid::regclass, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
        )
        for row in await rows(store, sql)
        if str(row[0]) != "alembic_version"
    }


def parts(sql: str) -> list[str]:
    """The lines of a CREATE TABLE in any order: columns that were added later stand last, on one line."""
    lines = re.split(r"\n|, (?=\w+ (?:TEXT|INTEGER|BLOB)\b)|(?=\) STRICT)", sql)
    return sorted(filter(None, (re.sub(r"\s+", " ", line).strip(" ,()") for line in lines)))


async def guarded(store: Store) -> set[str]:
    """The tables that have triggers."""
    sql = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
    if store.sqlite:
        sql = "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger'"
    return {row[0] for row in await rows(store, sql)}


# -- models and schema -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_the_migrated_schema_is_what_the_models_say(kind: str, postgres: Postgres, tmp_path: Path) -> None:
    """By alembic's comparison, and to the last check and index by the database's own words."""

    def differences(connection: Connection) -> list[Any]:
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), tables.metadata)

    async with empty(kind, tmp_path, postgres, "a") as migrated, empty(kind, tmp_path, postgres, "b") as made:
        await migrations.upgrade(migrated)
        async with migrated.engine.connect() as connection:
            assert await connection.run_sync(differences) == []
        async with made.engine.begin() as connection:
            await connection.run_sync(tables.metadata.create_all)
        wanted = await schema(made)
        assert {one for one in await schema(migrated) if not is_trigger(one)} == wanted


def is_trigger(row: tuple[str, ...]) -> bool:
    return row[0] == "trigger" or "CREATE TRIGGER" in row[-1]


def test_every_check_has_a_name_of_its_own() -> None:
    """One without could not be dropped by a later migration on SQLite."""
    for table in tables.metadata.tables.values():
        names = [str(one.name) for one in table.constraints if isinstance(one, CheckConstraint)]
        assert all(name.startswith(f"ck_{table.name}_") for name in names), table.name
        assert len(names) == len(set(names)), table.name


async def test_every_check_in_the_database_has_its_name(blank: Blank) -> None:
    here, there = Store(f"sqlite:///{blank.file}"), Store(blank.url)
    made = "\n".join(row[0] for row in await rows(here, "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"))
    assert len(re.findall(r"\bCHECK\b", made)) == len(re.findall(r"CONSTRAINT ck_\w+ CHECK", made)) > 20
    checks = "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
    assert all(row[0].startswith("ck_") for row in await rows(there, checks))
    await here.close()
    await there.close()


async def test_on_sqlite_every_table_is_strict(blank: Blank, postgres: Postgres, tmp_path: Path) -> None:
    lived = await lived_in("sqlite", blank, postgres)
    async with copy_of(lived, tmp_path, postgres) as store:
        loose = {
            row.name
            for row in await rows(store, "PRAGMA table_list")
            if row.schema == "main" and row.type == "table" and not row.strict
        }
        assert loose - {"sqlite_schema", "sqlite_stat1", "alembic_version"} == set()
        async with store.engine.begin() as connection:
            with pytest.raises(IntegrityError, match="cannot store REAL"):
                await connection.execute(text("UPDATE sku SET price_fen = '29.90'"))


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_written_into_the_books_is_never_changed(
    kind: str, blank: Blank, postgres: Postgres, tmp_path: Path
) -> None:
    lived = await lived_in(kind, blank, postgres)
    async with copy_of(lived, tmp_path, postgres) as store:
        assert await guarded(store) == APPEND_ONLY
        before = await counts(store)
        for table in sorted(APPEND_ONLY):
            assert before[table] > 0
            key = tables.metadata.tables[table].primary_key.columns.keys()[0]
            acts = [f"UPDATE {table} SET {key} = {key}", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"]
            for act in acts[: 3 if kind == "postgresql" else 2]:
                with pytest.raises(DBAPIError, match="append-only"):
                    async with store.engine.begin() as connection:
                        await connection.execute(text(act))
        assert await counts(store) == before


# -- getting there ---------------------------------------------------------------------------------------


def as_then(name: str, column: str, ours: list[str]) -> str:
    """A column's value for a shop of that time: one that knew no supplements had to give their money back."""
    if (name, column) == ("payment", "state") and "supplement_id" not in ours:
        return "CASE WHEN supplement_id IS NULL THEN state ELSE 'orphan' END"
    return f'"{column}"'


async def fill(store: Store, lived: Lived) -> dict[str, int]:
    """Put the rows of the lived-in shop into a database of any revision, column by column as far as it has them."""
    if store.sqlite:
        await store.close()
        with sqlite3.connect(store.path) as connection:
            connection.execute("ATTACH ? AS lived", (lived.url.removeprefix("sqlite:///"),))
            for name in tables.metadata.tables:
                there, ours = (
                    [row[1] for row in connection.execute(f'PRAGMA {where}.table_info("{name}")')]
                    for where in ("lived", "main")
                )
                shared = [column for column in ours if column in there]
                listed = ", ".join(f'"{column}"' for column in shared)
                values = ", ".join(as_then(name, column, ours) for column in shared)
                if listed:
                    connection.execute(f'INSERT INTO main."{name}" ({listed}) SELECT {values} FROM lived."{name}"')
        return await counts(store)
    source = await asyncpg.connect(lived.url)
    target = await asyncpg.connect(store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        await target.execute("SET session_replication_role = replica")
        for name in tables.metadata.tables:
            columns = "SELECT column_name FROM information_schema.columns WHERE table_name = $1"
            ours = [row[0] for row in await target.fetch(columns, name)]
            shared = [row[0] for row in await source.fetch(columns, name) if row[0] in ours]
            values = ", ".join(as_then(name, column, ours) for column in shared)
            if shared:
                found = await source.fetch(f'SELECT {values} FROM "{name}"')
                await target.copy_records_to_table(name, records=[tuple(row) for row in found], columns=shared)
    finally:
        await source.close()
        await target.close()
    return await counts(store)


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_shop_that_has_lived_loses_nothing_on_the_way_from_any_revision(
    kind: str, revision: str, blank: Blank, postgres: Postgres, tmp_path: Path
) -> None:
    """Rows, triggers, references: a table that is made anew must not take its children with it."""
    lived = await lived_in(kind, blank, postgres)
    async with empty(kind, tmp_path, postgres) as old:
        await migrations.upgrade(old, revision)
        before = await fill(old, lived)
        assert sum(before.values()) > 100
        store = Store(old.engine.url.render_as_string(hide_password=False))
        await migrations.upgrade(store)
        assert await migrations.at(store) == migrations.head() == REVISIONS[-1]
        after = await counts(store)
        assert {name: after[name] for name in before} == before
        assert await guarded(store) == APPEND_ONLY
        async with copy_of(lived, tmp_path, postgres) as fresh:
            assert await schema(store) == await schema(fresh)
        if store.sqlite:
            assert await rows(store, "PRAGMA foreign_key_check") == []
            assert [row[0] for row in await rows(store, "PRAGMA integrity_check")] == ["ok"]
            assert (await rows(store, "PRAGMA foreign_keys"))[0][0] == 1
        await store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_migrating_twice_is_migrating_once(kind: str, blank: Blank, postgres: Postgres, tmp_path: Path) -> None:
    lived = await lived_in(kind, blank, postgres)
    async with copy_of(lived, tmp_path, postgres) as store:
        before = await schema(store), await counts(store)
        await migrations.upgrade(store)
        assert (await schema(store), await counts(store)) == before


@pytest.mark.parametrize("kind", KINDS)
async def test_three_may_migrate_at_once(kind: str, postgres: Postgres, tmp_path: Path) -> None:
    """As many as start together: the others wait, and find it done."""
    async with empty(kind, tmp_path, postgres) as first:
        url = first.engine.url.render_as_string(hide_password=False)
        stores = [first, Store(url), Store(url)]
        ended = await asyncio.gather(*(migrations.upgrade(store) for store in stores), return_exceptions=True)
        for store in stores[1:]:
            await store.close()
        assert ended == [None, None, None]
        assert [row[0] for row in await rows(first, "SELECT version_num FROM alembic_version")] == [migrations.head()]
        assert await guarded(first) == APPEND_ONLY


async def test_a_migration_that_would_break_references_is_undone(
    blank: Blank, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite tables are made anew with foreign keys off; the check at the end is what notices."""
    lived = await lived_in("sqlite", blank, postgres)

    def drop_parents(config: Any, revision: str) -> None:
        config.attributes["connection"].exec_driver_sql("DELETE FROM follower")

    monkeypatch.setattr(migrations.command, "upgrade", drop_parents)
    async with copy_of(lived, tmp_path, postgres) as store:
        before = await counts(store)
        with pytest.raises(RuntimeError, match="references"):
            await migrations.upgrade(store)
        assert await counts(store) == before
        assert (await rows(store, "PRAGMA foreign_keys"))[0][0] == 1
