"""Statements that are asked again and again: compiled once, and put to the driver itself."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import asyncpg
from sqlalchemy import JSON, Text, cast, func
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, sqlite3.Error)
BROKEN = (asyncpg.IntegrityConstraintViolationError, sqlite3.IntegrityError)
_PLACE = re.compile(r"\$(\d+)")


class Ready:
    """A statement that is asked again and again, compiled once: its SQL, what each value becomes on its way in and out.

    Going through SQLAlchemy each time costs three times what the database does (measured). `sets` are the columns that
    an INSERT or UPDATE is given. `together`, where there is one, asks for many at once on PostgreSQL: it takes a list
    for each value, and its first column says for which of them (from 1) the rest of the row is the answer.
    """

    def __init__(self, statement: Any, *, sets: Sequence[str] = (), together: Ready | None = None) -> None:
        self.statement = statement
        self.together = together
        self._sets = sets
        self._dialect = ""
        self.sql = ""
        self._in: list[tuple[str, Any]] = []
        self._fixed: dict[str, Any] = {}
        self._out: list[tuple[str, Any]] = []
        self._made: dict[str, tuple[Any, ...]] = {}  # by dialect: tests go from one database to the other

    def prepare(self, dialect: Dialect) -> None:
        """Compile for this dialect, unless that was done already."""
        if self._dialect == dialect.name:
            return
        if self.together is not None and dialect.name == "postgresql":
            self.together.prepare(dialect)
        if dialect.name not in self._made:
            self._made[dialect.name] = self._compiled(dialect)
        self.sql, self._in, self._fixed, self._out = self._made[dialect.name]
        self._dialect = dialect.name

    def _compiled(self, dialect: Dialect) -> tuple[Any, ...]:
        compiled: Any = self.statement.compile(dialect=dialect, column_keys=self._sets or None)
        binds = [(name, compiled.binds[name]) for name in compiled.positiontup or ()]
        into = [(name, bind.type.dialect_impl(dialect).bind_processor(dialect)) for name, bind in binds]
        fixed = {name: bind.value for name, bind in binds if not bind.required}
        columns = [(c.keyname, c.type.dialect_impl(dialect)) for c in compiled._result_columns]
        out = [(name, kind.result_processor(dialect, None)) for name, kind in columns]
        return str(compiled), into, fixed, out

    @property
    def places(self) -> int:
        """How many values the SQL takes."""
        return len(self._in)

    def given(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in the order of the SQL; what the statement itself says (a state, a limit) is not given."""
        values = {**self._fixed, **values} if self._fixed else values
        return [values[name] if made is None else made(values[name]) for name, made in self._in]

    def taken(self, row: Sequence[Any]) -> dict[str, Any]:
        """A driver's row by column."""
        return {
            name: value if made is None else made(value) for (name, made), value in zip(self._out, row, strict=True)
        }


class Round:
    """Several statements in one way to PostgreSQL and back: reads that do not need each other, or writes.

    Writes see the rows as they were before all of them.
    """

    def __init__(self, *parts: Ready, writes: bool = False) -> None:
        self._parts = parts if writes else tuple(map(_Nested, parts))
        self._writes = writes
        self.sql = ""

    def prepare(self, dialect: Dialect) -> None:
        """Compile for PostgreSQL, unless that was done already."""
        for part in self._parts:
            part.prepare(dialect)
        if self.sql:
            return
        words, places = [], 0
        for part in self._parts:
            words.append(_PLACE.sub(lambda found, before=places: f"${int(found[1]) + before}", part.sql))  # type: ignore[misc]
            places += part.places
        if self._writes:
            steps = (f"w{n} AS ({one})" for n, one in enumerate(words))
            self.sql = f"WITH {', '.join(steps)} SELECT 1"
        else:
            self.sql = f"SELECT {', '.join(f'ARRAY({one})' for one in words)}"

    def given(self, values: Sequence[Mapping[str, Any]]) -> list[Any]:
        """What each part is given, in the order of the SQL."""
        return [v for part, given in zip(self._parts, values, strict=True) for v in part.given(given)]

    def taken(self, row: Sequence[Any]) -> list[list[dict[str, Any]]]:
        """The rows of each part."""
        return [[part.taken(one) for one in rows] for part, rows in zip(self._parts, row, strict=True)]


class _Nested(Ready):
    """A read whose rows are one value; JSON in them comes as text, as the driver reads no other within a row."""

    def __init__(self, plain: Ready) -> None:
        columns = list(plain.statement.selected_columns)
        self._json = [isinstance(column.type, JSON) for column in columns]
        row = func.row(*(cast(c, Text) if said else c for c, said in zip(columns, self._json, strict=True)))
        super().__init__(plain.statement.with_only_columns(row, maintain_column_froms=True))
        self._plain = plain

    def prepare(self, dialect: Dialect) -> None:
        super().prepare(dialect)
        self._plain.prepare(dialect)

    def taken(self, row: Sequence[Any]) -> dict[str, Any]:
        read = (json.loads(v) if said and v is not None else v for v, said in zip(row, self._json, strict=True))
        return self._plain.taken(tuple(read))


_round = lru_cache(256)(Round)  # what is asked together once is asked together again


Ask = tuple[Ready, Mapping[str, Any]]  # a statement and what it is given


class Driver:
    """The driver under a session's connection: in the same transaction, without SQLAlchemy in between.

    On PostgreSQL the first statement goes through SQLAlchemy, which says BEGIN with it and knows a connection that is
    dead.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._sql = connection
        self._dialect = connection.dialect
        self._near = self._dialect.name == "sqlite"  # in the same process: nothing is gained by asking more at once
        self._connection = self._under() if self._near else None

    def _under(self) -> Any:
        assert self._sql.sync_connection is not None
        return self._sql.sync_connection.connection.driver_connection

    async def every(self, ready: Ready, values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """All rows; fails as the session would."""
        ready.prepare(self._dialect)
        return [ready.taken(row) for row in await self._fetch(ready.sql, ready.given(values))]

    async def several(self, asked: Sequence[Ask]) -> Sequence[Sequence[Mapping[str, Any]]]:
        """The rows of each, all asked at once."""
        if self._near or len(asked) == 1:
            return [await self.every(ready, values) for ready, values in asked]
        round_ = _round(*(ready for ready, _ in asked))
        round_.prepare(self._dialect)
        rows = await self._fetch(round_.sql, round_.given([values for _, values in asked]))
        return round_.taken(rows[0])

    async def write(self, rows: Sequence[Ask]) -> None:
        """All of these at once."""
        if self._near or len(rows) == 1:
            for ready, values in rows:
                await self.every(ready, values)
            return
        round_ = _round(*(ready for ready, _ in rows), writes=True)
        round_.prepare(self._dialect)
        await self._fetch(round_.sql, round_.given([values for _, values in rows]))

    async def say(self, words: str) -> None:
        """A word about the transaction itself."""
        if self._connection is None:
            await self._sql.exec_driver_sql(words)
            self._connection = self._under()
            return
        try:
            if self._near:
                await self._connection.execute_fetchall(words, ())
            else:
                await self._connection.execute(words)
        except FAILURES as failure:
            raise DBAPIError(None, None, failure, hide_parameters=True) from failure

    async def _fetch(self, sql: str, given: list[Any]) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]]
        if self._connection is None:
            result = await self._sql.exec_driver_sql(sql, tuple(given))
            self._connection = self._under()
            return result.all() if result.returns_rows else ()
        try:
            if self._near:
                rows = await self._connection.execute_fetchall(sql, given)
            else:
                rows = await self._connection.fetch(sql, *given)
        except FAILURES as failure:
            kind = IntegrityError if isinstance(failure, BROKEN) else DBAPIError
            raise kind(None, None, failure, hide_parameters=True) from failure
        return rows
