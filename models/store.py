"""The two ways to the database: sessions for the changing path, plain rows for the asking path."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import asyncpg
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import StaticPool

from models.base import Reader, RowOf, Statement
from models.ready import FAILURES, Ready
from models.sqlite import shorten

BUSY_MS = 10_000
WAL_S, WAL_PAUSE_S = 10, 0.005  # a new file is WAL after this; each look for it
LOCK_MS = 4_000
STATEMENT_MS = 5_000
TOGETHER = 100  # reads of one kind in one statement
QUIET: Any = {"hide_parameters": True}  # a failed statement is logged, and not what it was to write
READS = {"tuanpu_reads": True}  # execution options of a connection that reads in one snapshot and blocks no writer


class Away(OSError):
    """The database did not answer; raised where the driver is asked directly."""


class Store:
    """The shop's memory: SQLite in a file, or PostgreSQL.

    `session()` is for what changes (the caller begins and commits), `reader` for what only asks.
    """

    def __init__(self, url: str) -> None:
        given = make_url(url)
        self.sqlite = given.get_backend_name() == "sqlite"
        if self.sqlite:
            self.path = given.database or ""
            self.engine = create_async_engine(
                given.set(drivername="sqlite+aiosqlite"), pool_size=1, max_overflow=0, pool_timeout=30, **QUIET
            )
            _sqlite_writer(self.engine)
            self.reader: Reader = _SqliteReader(self.path)
        else:
            self.path = ""
            drive = given.set(drivername="postgresql+asyncpg")
            settings = {
                "statement_timeout": str(STATEMENT_MS),
                "lock_timeout": str(LOCK_MS),
                "timezone": "UTC",
            }
            self.engine = create_async_engine(
                drive,
                **QUIET,
                pool_size=8,
                max_overflow=0,
                pool_timeout=10,
                connect_args={"server_settings": settings},
            )
            self._reading = create_async_engine(
                drive,
                **QUIET,
                pool_size=8,
                max_overflow=0,
                isolation_level="AUTOCOMMIT",
                pool_reset_on_return=None,
                connect_args={"server_settings": settings},
            )
            self.reader = _PostgresReader(self._reading, settings)

    def session(self) -> AsyncSession:
        """A session for one changing step; on SQLite its BEGIN is IMMEDIATE, so that writers queue and none fails."""
        return AsyncSession(self.engine, expire_on_commit=False, autoflush=True)

    async def close(self) -> None:
        await self.engine.dispose()
        if isinstance(self.reader, _SqliteReader):
            self.reader.close()
        elif isinstance(self.reader, _PostgresReader):
            await self.reader.close()


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except FAILURES as failure:
        raise Away(type(failure).__name__) from failure


_NEXT, _ALONE = object(), object()  # what somebody in a queue is told besides an answer: it is your turn, ask yourself


class _Queue:
    """Who wants the same kind of read while one is under way."""

    def __init__(self) -> None:
        self.asking = False
        self.waiting: list[tuple[Mapping[str, Any], asyncio.Future[Any]]] = []

    async def turn(self, values: Mapping[str, Any]) -> Any:
        """The answer, or what else one is told."""
        turn: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiting.append((values, turn))
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result() is _NEXT:
                self.hand_over()
            raise

    def hand_over(self) -> None:
        """The next one asks, for everybody who waits then."""
        while self.waiting:
            _, turn = self.waiting.pop(0)
            if _tell(turn, _NEXT):
                return
        self.asking = False


def _tell(turn: asyncio.Future[Any], what: Any) -> bool:
    if turn.done():  # has gone away
        return False
    turn.set_result(what)
    return True


class _PostgresReader:
    def __init__(self, engine: AsyncEngine, settings: dict[str, str]) -> None:
        self._engine = engine
        self._settings = settings
        self._pool: Any = None
        self._opening = asyncio.Lock()
        self._queues: dict[Ready, _Queue] = {}

    async def all(self, statement: Statement) -> Sequence[RowOf]:
        async with self._engine.connect() as connection:
            return (await connection.execute(statement)).all()

    async def one(self, statement: Statement) -> RowOf | None:
        async with self._engine.connect() as connection:
            return (await connection.execute(statement)).first()

    async def first(self, ready: Ready, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
        ready.prepare(self._engine.dialect)
        if ready.together is not None:
            return await self._among_others(ready, values)
        return await self._alone(ready, values)

    async def every(self, ready: Ready, values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        ready.prepare(self._engine.dialect)
        with _away():
            pool = self._pool or await self._open()
            return [ready.taken(row) for row in await pool.fetch(ready.sql, *ready.given(values))]

    async def _alone(self, ready: Ready, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
        with _away():
            pool = self._pool or await self._open()
            found = await pool.fetchrow(ready.sql, *ready.given(values))
        return None if found is None else ready.taken(found)

    async def _among_others(self, ready: Ready, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Whatever is asked while such a read is under way goes with the next one, in one statement."""
        queue = self._queues.setdefault(ready, _Queue())
        if queue.asking:
            found = await queue.turn(values)
            if found is _ALONE:
                return await self._alone(ready, values)
            if found is not _NEXT:
                return found  # type: ignore[no-any-return]
        queue.asking = True
        others, queue.waiting = queue.waiting[: TOGETHER - 1], queue.waiting[TOGETHER - 1 :]
        try:
            if not others:
                return await self._alone(ready, values)
            try:
                mine, *theirs = await self._asked(ready, [values, *(one for one, _ in others)])
            except Away:  # it may be one of them that cannot be asked: then it fails by itself
                for _, turn in others:
                    _tell(turn, _ALONE)
                return await self._alone(ready, values)
            for (_, turn), row in zip(others, theirs, strict=True):
                _tell(turn, row)
            return mine
        finally:
            queue.waiting[:0] = [(one, turn) for one, turn in others if not turn.done()]  # we were cancelled
            queue.hand_over()

    async def _asked(self, ready: Ready, many: list[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
        together = ready.together
        assert together is not None
        with _away():
            pool = self._pool or await self._open()
            lists = {name: [values[name] for values in many] for name in many[0]}
            rows = await pool.fetch(together.sql, *together.given(lists))
        found: list[Mapping[str, Any] | None] = [None] * len(many)
        for row in rows:
            found[row[0] - 1] = together.taken(row)
        return found

    async def _open(self) -> Any:
        """The driver's own pool, for what is asked with every message."""
        async with self._opening:
            if self._pool is None:
                dsn = self._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
                self._pool = await asyncpg.create_pool(
                    dsn, min_size=1, max_size=8, server_settings=self._settings, init=_json, reset=_nothing
                )
        return self._pool

    async def close(self) -> None:
        await self._engine.dispose()
        if self._pool is not None:
            await self._pool.close()


async def _json(connection: Any) -> None:
    # As SQLAlchemy's types expect it of this driver: they write the text themselves, and the driver reads it.
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=str, decoder=json.loads)


async def _nothing(connection: Any) -> None:
    """Nothing to reset after a read of one's own: the usual reset is a round trip for each."""


class _SqliteReader:
    """One connection in the loop's own thread: a short read costs 58 µs here and 390 through a thread (measured)."""

    def __init__(self, path: str) -> None:
        self._engine = create_engine(
            f"sqlite:///{path}",
            **QUIET,
            poolclass=StaticPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"check_same_thread": False, "timeout": BUSY_MS / 1000},
        )
        event.listen(self._engine, "connect", _pragmas)
        self._connection: Connection | None = None

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    async def all(self, statement: Statement) -> Sequence[RowOf]:
        return self._connect().execute(statement).all()

    async def one(self, statement: Statement) -> RowOf | None:
        return self._connect().execute(statement).first()

    async def first(self, ready: Ready, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
        found = await self.every(ready, values)
        return found[0] if found else None

    async def every(self, ready: Ready, values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        raw: Any = self._connect().connection.dbapi_connection
        ready.prepare(self._engine.dialect)
        try:
            found = raw.execute(ready.sql, ready.given(values)).fetchall()
        except sqlite3.Error as failure:
            raise Away(type(failure).__name__) from failure
        return [ready.taken(row) for row in found]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._engine.dispose()


def _pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        _to_wal(cursor)
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
    finally:
        cursor.close()


def _to_wal(cursor: Any) -> None:
    """A new file that several open together: one makes it WAL, the others are told at once that it is locked."""
    until = time.monotonic() + WAL_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as failure:
            if failure.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(WAL_PAUSE_S)


def _sqlite_writer(engine: AsyncEngine) -> None:
    shorten(engine)

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        _pragmas(connection, record)

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Connection) -> None:
        plain = READS.items() <= connection.get_execution_options().items()
        connection.exec_driver_sql("BEGIN" if plain else "BEGIN IMMEDIATE")


SQLITE_VERSION = sqlite3.sqlite_version_info
