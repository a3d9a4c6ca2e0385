"""The schema's history: one revision a change, the same on both databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from models.store import Store

ADVISORY = 7_482_001  # one process migrates at a time


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, without a file."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    made.attributes["connection"] = connection
    return made


def head() -> str:
    """The newest revision this code knows."""
    return ScriptDirectory.from_config(config()).get_current_head() or ""


def knows(revision: str) -> bool:
    """Whether this code knows the revision: one it does not know, a newer version has made."""
    try:
        ScriptDirectory.from_config(config()).get_revision(revision)
    except CommandError:
        return False
    return True


def current(connection: Connection) -> str:
    """The revision a database is at, "" for an empty one."""
    return MigrationContext.configure(connection).get_current_revision() or ""


async def upgrade(store: Store, revision: str = "head") -> None:
    """Bring the database to a revision; safe to run from several processes at once."""

    def up(connection: Connection) -> None:
        command.upgrade(config(connection), revision)

    if store.sqlite:
        async with store.engine.connect() as connection:
            raw: Any = await connection.get_raw_connection()
            # Foreign keys can only be switched outside a transaction; tables that are made anew must not take
            # their children with them. The check at the end shows that none was lost.
            await raw.driver_connection.execute("PRAGMA foreign_keys=OFF")
            try:
                async with connection.begin():
                    await connection.run_sync(up)
                    broken = (await connection.execute(text("PRAGMA foreign_key_check"))).all()
                    if broken:
                        raise RuntimeError(f"the migration would break {len(broken)} references")
            finally:
                await raw.driver_connection.execute("PRAGMA foreign_keys=ON")
        return
    async with store.engine.begin() as connection:
        await connection.execute(text("SET LOCAL lock_timeout = '60s'"))
        await connection.execute(text("SET LOCAL statement_timeout = '600s'"))
        await connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": ADVISORY})
        await connection.run_sync(up)


async def at(store: Store) -> str:
    """The revision the database is at."""
    async with store.engine.connect() as connection:
        return await connection.run_sync(current)
