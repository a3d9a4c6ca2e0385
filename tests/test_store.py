"""The two ways to the database: moments keep their microseconds, writers queue, readers stand in nobody's way."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lived import HOME, KINDS, copy_of, lived_in
from servers import Postgres
from sqlalchemy import insert, select, text, update
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.exc import DBAPIError, OperationalError, StatementError
from sqlalchemy.ext.asyncio import AsyncSession
from town import Blank

from models import inbox
from models.address import Address
from models.base import Moment, Work, earlier
from models.figures import Figures
from models.follower import Follower, FollowerGlance, Visit
from models.inbox import Inbox
from models.product import Sku
from models.promise import PromiseRow, promise
from models.seal import Keys, Sealed
from models.store import READS, Store
from models.talk import Talk
from models.tick import Tick

NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
CHINA = timezone(timedelta(hours=8))
HERE = dialect()
FIGURES = Figures()
MOMENTS = (
    NOON,
    datetime(2026, 3, 2, 12, 0, 0, 1, tzinfo=CHINA),
    datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1969, 7, 20, 20, 17, 40, 123_457, tzinfo=UTC),
    datetime(1900, 1, 1, tzinfo=UTC),
    datetime(9998, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
)


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    """A stocked shop's store, on SQLite and on PostgreSQL."""
    opened = Store(database)
    yield opened
    await opened.close()


def another(store: Store) -> Store:
    """The same database as another process sees it."""
    return Store(store.engine.url.render_as_string(hide_password=False))


# -- moments ---------------------------------------------------------------------------------------------


@given(st.datetimes(datetime(1900, 1, 2), datetime(9998, 12, 30), timezones=st.timezones()))  # noqa: DTZ001
def test_a_moment_comes_back_to_the_microsecond_from_any_zone(moment: datetime) -> None:
    """Floating point would lose the last digits of it; `DateTime` on SQLite drops the zone without a word."""
    kept = Moment().process_bind_param(moment, HERE)
    assert isinstance(kept, int)
    assert Moment().process_result_value(kept, HERE) == moment.astimezone(UTC)


def heard(at: datetime, key: str) -> dict[str, Any]:
    return {"channel": "wechat", "account": "gh", "who": "o1", "key": key, "heard": at, "answer": {}}


async def test_a_moment_that_was_written_is_read_again_as_it_was(store: Store) -> None:
    Sealed.keys = Keys("k" * 32)
    async with store.session() as session, session.begin():
        await session.execute(insert(Inbox), [heard(at, str(n)) for n, at in enumerate(MOMENTS)])
    rows = await store.reader.all(select(Inbox.heard).order_by(Inbox.id))
    assert [row.heard for row in rows] == list(MOMENTS)
    assert all(row.heard.tzinfo is UTC for row in rows)
    later = await store.reader.all(select(Inbox.key).where(Inbox.heard > NOON).order_by(Inbox.id))
    assert [row.key for row in later] == ["1", "2", "5"], "they are compared as moments, whatever zone they came from"
    before = await store.reader.one(select(earlier(Inbox.heard, 15).label("at")).where(Inbox.key == "0"))
    assert before is not None
    assert before.at == NOON - timedelta(seconds=15)


async def test_a_moment_without_a_zone_is_refused(store: Store) -> None:
    """Eight hours of difference, and nobody would notice before the first deadline."""
    Sealed.keys = Keys("k" * 32)
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(StatementError, match="without a zone"):
        async with store.session() as session, session.begin():
            await session.execute(insert(Inbox), [heard(naive, "k")])
    with pytest.raises(StatementError, match="without a zone"):
        await store.reader.all(select(Inbox.id).where(Inbox.heard < naive))
    assert await store.reader.all(select(Inbox.id)) == []


# -- writers and readers ---------------------------------------------------------------------------------


async def count_up(store: Store, *, immediate: bool = True) -> None:
    """One step: read a number, do something else, write the number that follows."""
    async with AsyncSession(store.engine) as session:
        if not immediate:
            await session.connection(execution_options=READS)
        async with session.begin() if immediate else session.get_transaction():  # type: ignore[union-attr]
            slot = (await session.execute(select(Tick.slot).where(Tick.name == "count"))).scalar_one()
            await asyncio.sleep(0)
            await session.execute(update(Tick).where(Tick.name == "count").values(slot=slot + 1))


async def counted(store: Store) -> int:
    row = await store.reader.one(select(Tick.slot).where(Tick.name == "count"))
    assert row is not None
    return int(row.slot)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_writers_queue_and_none_fails(store: Store) -> None:
    """Twenty that read before they write, from four processes: each waits for its turn, none is told to go away."""
    stores = [store, *(another(store) for _ in range(3))]
    async with store.session() as session, session.begin():
        session.add(Tick(name="count", slot=0))
    await asyncio.gather(*(count_up(stores[n % 4]) for n in range(20)))
    assert await counted(store) == 20
    for one in stores[1:]:
        await one.close()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_control_with_a_plain_begin_writers_fail_at_once(store: Store) -> None:
    """A snapshot that was read and is old may not be written from: no patience helps (96 of 100 failed so)."""
    other = another(store)
    async with store.session() as session, session.begin():
        session.add(Tick(name="count", slot=0))
    async with AsyncSession(other.engine) as session:
        await session.connection(execution_options=READS)
        slot = (await session.execute(select(Tick.slot).where(Tick.name == "count"))).scalar_one()
        await count_up(store)
        with pytest.raises(OperationalError, match="locked"):
            await session.execute(update(Tick).where(Tick.name == "count").values(slot=slot + 1))
    assert await counted(store) == 1
    await other.close()


@pytest.fixture
def claimed(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A new file that somebody is about to make something of: whoever else wants it WAL is told "locked" at once."""
    with closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None)) as first:
        first.execute("BEGIN IMMEDIATE")
        yield first


@pytest.mark.parametrize("way", ["writer", "reader"])
async def test_who_opens_a_new_file_together_with_another_gets_in(
    way: str, claimed: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    def wait(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            claimed.execute("ROLLBACK")

    monkeypatch.setattr("models.store.time", SimpleNamespace(monotonic=time.monotonic, sleep=wait))
    store = Store(f"sqlite:///{tmp_path / 'new.db'}")
    asked = text("PRAGMA journal_mode")
    try:
        if way == "reader":
            assert await store.reader.one(asked) == ("wal",)
        else:
            async with store.engine.connect() as connection:
                assert (await connection.execute(asked)).one() == ("wal",)
    finally:
        await store.close()
    assert len(looks) == 3


def test_control_without_a_second_look_one_is_told_at_once_that_it_is_locked(
    claimed: sqlite3.Connection, tmp_path: Path
) -> None:
    """The file's own patience does not help: it is not even asked for."""
    with closing(sqlite3.connect(tmp_path / "new.db", timeout=3600)) as second:
        with pytest.raises(sqlite3.OperationalError, match="locked") as told:
            second.execute("PRAGMA journal_mode=WAL")
        assert told.value.sqlite_errorcode == sqlite3.SQLITE_BUSY
    assert claimed.in_transaction


async def test_a_reader_blocks_no_writer_and_no_writer_a_reader(store: Store) -> None:
    """Each sees whole steps only: a reader that has begun goes on seeing what it saw first."""
    other = another(store)
    async with store.session() as session, session.begin():
        session.add(Tick(name="count", slot=1))
    async with other.engine.connect() as looking:
        options = READS if store.sqlite else {"isolation_level": "REPEATABLE READ"}
        await looking.execution_options(**options)
        mine = select(Tick.slot).where(Tick.name == "count")
        assert (await looking.execute(mine)).scalar_one() == 1
        async with store.session() as session, session.begin():
            await session.execute(update(Tick).where(Tick.name == "count").values(slot=2))
            assert await counted(other) == 1, "the reader does not wait for who writes, and sees nothing half done"
        assert await counted(other) == 2
        assert (await looking.execute(mine)).scalar_one() == 1
    await other.close()


# -- reads that come together ----------------------------------------------------------------------------


async def _followed(store: Store, count: int) -> None:
    known = {"channel": "wechat", "account": "gh_many", "since": NOON, "following": True, "name": ""}
    async with store.session() as session, session.begin():
        await session.execute(insert(Follower), [{**known, "who": f"o{n}"} for n in range(count)])


async def test_of_many_who_speak_at_once_each_is_known_for_who_they_are(store: Store) -> None:
    await _followed(store, 150)
    glance = FollowerGlance(store.reader)
    visits = await asyncio.gather(*(glance.visit("wechat", "gh_many", f"o{n}", str(n)) for n in range(160)))
    assert [visit.me.who if visit else None for visit in visits] == [f"o{n}" if n < 150 else None for n in range(160)]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_reads_that_come_together_are_one_statement(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await _followed(store, 50)
    glance, asked = FollowerGlance(store.reader), []
    await glance.visit("wechat", "gh_many", "o0", "")
    fetch = asyncpg.Pool.fetch

    async def counted(self: Any, *words: Any) -> Any:
        asked.append(words)
        return await fetch(self, *words)

    monkeypatch.setattr(asyncpg.Pool, "fetch", counted)
    await asyncio.gather(*(glance.visit("wechat", "gh_many", f"o{n}", "") for n in range(50)))
    assert len(asked) == 1, "the first asks alone, the other 49 with one another"


async def test_who_cannot_be_asked_for_spoils_nobody_elses_read(store: Store) -> None:
    """PostgreSQL takes no NUL in a text, and a body that nobody signed may hold one."""
    await _followed(store, 9)
    glance = FollowerGlance(store.reader)
    names = [*(f"o{n}" for n in range(4)), "o\0", *(f"o{n}" for n in range(4, 9))]
    found = await asyncio.gather(*(glance.visit("wechat", "gh_many", who, "") for who in names), return_exceptions=True)
    strange = found.pop(4)
    assert strange is None or isinstance(strange, OSError)
    assert [visit.me.who for visit in found if isinstance(visit, Visit)] == [f"o{n}" for n in range(9)]


async def test_who_hangs_up_keeps_nobody_waiting(store: Store) -> None:
    await _followed(store, 20)
    glance = FollowerGlance(store.reader)
    for gone in range(20):  # whoever it is: who asks, who is to ask next, who only waits
        reads = [asyncio.ensure_future(glance.visit("wechat", "gh_many", f"o{n}", "")) for n in range(20)]
        for _ in range(gone % 4):
            await asyncio.sleep(0)
        reads[gone].cancel()
        found = await asyncio.wait_for(asyncio.gather(*reads, return_exceptions=True), 5)
        assert sum(isinstance(one, Visit) for one in found) >= 19


async def test_what_is_asked_of_the_driver_is_asked_in_the_steps_own_transaction(store: Store) -> None:
    """It sees what an entity has changed and nobody has written yet, and is undone with everything else."""
    async with store.session() as session:
        work = Work(session, NOON)
        assert (await promise(work, FIGURES)).hours == FIGURES.order.promise_hours
        session.add(PromiseRow(made=NOON, hours=7, cutoff="", notice=""))
        assert (await promise(work, FIGURES)).hours == 7
        assert await inbox.note(work, "wechat", "gh", "o1", "1") is not None
        assert await inbox.note(work, "wechat", "gh", "o1", "1") is None
        assert (await promise(store.reader, FIGURES)).hours == FIGURES.order.promise_hours
        await session.rollback()
    async with store.session() as session:
        assert await inbox.note(Work(session, NOON), "wechat", "gh", "o1", "1") is not None


async def test_a_failed_statement_does_not_say_what_it_was_to_write(store: Store) -> None:
    """Parameters are addresses, pay codes, words: a log that shows them has them."""
    statement = text("SELECT :secret FROM nowhere").bindparams(secret="canary-13800138000")
    for attempt in (_written(store, statement), store.reader.all(statement)):  # type: ignore[arg-type]
        with pytest.raises(DBAPIError) as failure:
            await attempt
        assert "canary" not in str(failure.value)
        assert "nowhere" in str(failure.value)


async def _written(store: Store, statement: Any) -> None:
    async with store.session() as session, session.begin():
        await session.execute(statement)


async def test_a_connection_keeps_what_is_promised_of_it(blank: Blank, postgres: Postgres, tmp_path: Path) -> None:
    """SQLite: WAL, every commit on the disk, foreign keys; PostgreSQL: READ COMMITTED, no statement beyond 5 s.

    Each asked of connections of their own: those of other tests may have been told otherwise since.
    """

    async def said(store: Store, *questions: str) -> list[list[Any]]:
        async with store.engine.connect() as writer:
            written = [(await writer.exec_driver_sql(question)).scalar_one() for question in questions]
        read = [(await store.reader.all(text(question)))[0][0] for question in questions]
        return [written, read]

    with closing(sqlite3.connect(blank.file)) as source, closing(sqlite3.connect(tmp_path / "own.db")) as copy:
        source.backup(copy)
    full = 2
    own = Store(f"sqlite:///{tmp_path / 'own.db'}")
    await own.engine.dispose()
    pragmas = ("PRAGMA journal_mode", "PRAGMA synchronous", "PRAGMA foreign_keys")
    assert await said(own, *pragmas) == [["wal", full, 1]] * 2
    await own.close()
    far = Store(await postgres.fresh_database(blank.url))
    asked = ("SHOW statement_timeout", "SHOW lock_timeout", "SHOW transaction_isolation")
    assert await said(far, *asked) == [["5s", "4s", "read committed"]] * 2
    await far.close()


async def test_an_overdrawn_shelf_is_refused_by_the_database_itself(store: Store) -> None:
    """The last guard: whatever the rules and the conditional updates let through."""
    with pytest.raises(DBAPIError, match="ck_sku_held_within_stock"):
        async with store.session() as session, session.begin():
            await session.execute(update(Sku).values(held=Sku.on_hand + 1))


# -- sealed columns --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_what_an_old_key_sealed_opens_after_the_key_was_changed(
    kind: str, blank: Blank, postgres: Postgres, tmp_path: Path
) -> None:
    lived = await lived_in(kind, blank, postgres)
    old = lived.keys._keys[0].decode()
    async with copy_of(lived, tmp_path, postgres) as store:
        Sealed.keys = Keys("a new key of the shop 0123456789abcdef", (old,))
        rows = await store.reader.all(select(Address.id, Address.name, Address.phone, Address.detail))
        assert rows
        assert any(row.name in HOME and row.phone in HOME for row in rows)
        assert await store.reader.all(select(Talk.state))
        async with store.session() as session, session.begin():
            await session.execute(update(Address).where(Address.id == rows[0].id).values(phone="13700137000"))
        read = select(Address.phone).where(Address.id == rows[0].id)
        Sealed.keys = Keys("a new key of the shop 0123456789abcdef")
        found = await store.reader.one(read)
        assert found is not None
        assert found.phone == "13700137000", "what is written from now on needs the new key only"
        Sealed.keys = Keys(old)
        with pytest.raises(ValueError, match="no key opens"):
            await store.reader.one(read)


async def test_the_same_words_are_sealed_differently_each_time(store: Store) -> None:
    keys = Keys("k" * 32)
    first, second = keys.seal("13800138000"), keys.seal("13800138000")
    assert first != second
    assert b"13800138000" not in first
    with pytest.raises(ValueError, match="no key opens"):
        keys.open(first[:-1] + bytes([first[-1] ^ 1]))
