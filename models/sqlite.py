"""SQLite's connection for the changing path: one way to its thread and back for a statement."""

from __future__ import annotations

from collections import deque
from typing import Any

from sqlalchemy import event
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection, AsyncAdapt_aiosqlite_cursor
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util.concurrency import await_


class OneTrip(AsyncAdapt_aiosqlite_cursor):
    """A cursor that opens, executes, fetches and closes in the thread at once.

    SQLAlchemy's own goes there four times, and each way costs what a short statement does (measured).
    """

    __slots__ = ("_about",)

    def __init__(self, adapt_connection: Any) -> None:
        self._adapt_connection = adapt_connection
        self._connection = adapt_connection._connection
        self._rows = deque()
        self._about: tuple[Any, int, Any] = (None, -1, None)

    @property
    def description(self) -> Any:
        return self._about[0]

    @property
    def rowcount(self) -> int:
        return self._about[1]

    @property
    def lastrowid(self) -> Any:
        return self._about[2]

    def execute(self, operation: Any, parameters: Any = None) -> Any:
        self._go("execute", operation, () if parameters is None else parameters)

    def executemany(self, operation: Any, seq_of_parameters: Any) -> Any:
        self._go("executemany", operation, seq_of_parameters)

    def _go(self, how: str, operation: Any, given: Any) -> None:
        try:
            self._rows, self._about = await_(self._there(how, operation, given))
        except Exception as error:
            self._adapt_connection._handle_exception(error)

    async def _there(self, how: str, operation: Any, given: Any) -> Any:
        async with self._adapt_connection._execute_mutex:
            return await self._connection._execute(_done, self._connection._conn, how, operation, given)

    async def _async_soft_close(self) -> None:
        """It is closed already, and its rows are here."""

    def close(self) -> None:
        self._rows.clear()


def _done(connection: Any, how: str, operation: Any, given: Any) -> tuple[deque[Any], tuple[Any, int, Any]]:
    cursor = connection.cursor()
    try:
        getattr(cursor, how)(operation, given)
        rows = deque(cursor.fetchall()) if cursor.description else deque()
        return rows, (cursor.description, cursor.rowcount, cursor.lastrowid)
    finally:
        cursor.close()


class Connection(AsyncAdapt_aiosqlite_connection):
    __slots__ = ()
    _cursor_cls = OneTrip


def shorten(engine: AsyncEngine) -> None:
    """All that this engine executes goes one way there and back."""

    @event.listens_for(engine.sync_engine, "do_connect")
    def connect(dialect: Any, record: Any, arguments: Any, named: Any) -> Connection:
        made = dialect.connect(*arguments, **named)
        return Connection(made.dbapi, made._connection)
