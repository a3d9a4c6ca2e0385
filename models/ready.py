"""Statements that are asked again and again: compiled once, and put to the driver itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, IntegrityError

FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, sqlite3.Error)
BROKEN = (asyncpg.IntegrityConstraintViolationError, sqlite3.IntegrityError)


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

    def prepare(self, dialect: Dialect) -> None:
        """Compile for this dialect, unless that was done already."""
        if self._dialect == dialect.name:
            return
        compiled: Any = self.statement.compile(dialect=dialect, column_keys=self._sets or None)
        if self.together is not None and dialect.name == "postgresql":
            self.together.prepare(dialect)
        self.sql, self._dialect = str(compiled), dialect.name
        binds = [(name, compiled.binds[name]) for name in compiled.positiontup or ()]
        self._in = [(name, bind.type.dialect_impl(dialect).bind_processor(dialect)) for name, bind in binds]
        self._fixed = {name: bind.value for name, bind in binds if not bind.required}
        columns = [(c.keyname, c.type.dialect_impl(dialect)) for c in compiled._result_columns]
        self._out = [(name, kind.result_processor(dialect, None)) for name, kind in columns]

    def given(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in the order of the SQL; what the statement itself says (a state, a limit) is not given."""
        values = {**self._fixed, **values} if self._fixed else values
        return [values[name] if made is None else made(values[name]) for name, made in self._in]

    def taken(self, row: Sequence[Any]) -> dict[str, Any]:
        """A driver's row by column."""
        return {
            name: value if made is None else made(value) for (name, made), value in zip(self._out, row, strict=True)
        }


class Driver:
    """The driver under a session's connection: in the same transaction, without SQLAlchemy in between."""

    def __init__(self, connection: Any, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect
        self._rows = self._sqlite if dialect.name == "sqlite" else self._postgres

    async def every(self, ready: Ready, values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """All rows; fails as the session would."""
        ready.prepare(self._dialect)
        try:
            rows = await self._rows(ready.sql, ready.given(values))
        except FAILURES as failure:
            kind = IntegrityError if isinstance(failure, BROKEN) else DBAPIError
            raise kind(None, None, failure, hide_parameters=True) from failure
        return [ready.taken(row) for row in rows]

    async def _postgres(self, sql: str, given: list[Any]) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = await self._connection.fetch(sql, *given)
        return rows

    async def _sqlite(self, sql: str, given: list[Any]) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = await self._connection.execute_fetchall(sql, given)
        return rows
