"""Column types that mean the same on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, LargeBinary, String
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(TypeDecorator[datetime]):
    """The only type for a moment: timestamptz on PostgreSQL, integer microseconds UTC on SQLite; never naive."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a zone is no moment")
        if dialect.name == "postgresql":
            return value
        return (value - EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        return EPOCH + timedelta(microseconds=value)


Json = JSON().with_variant(JSONB(), "postgresql")


# STRICT tables on SQLite know INTEGER, TEXT, REAL, BLOB and ANY, and nothing else.
@compiles(BigInteger, "sqlite")
@compiles(Boolean, "sqlite")
def _integer(element: Any, compiler: Any, **kw: Any) -> str:
    return "INTEGER"


@compiles(String, "sqlite")
@compiles(JSON, "sqlite")
def _text(element: Any, compiler: Any, **kw: Any) -> str:
    return "TEXT"


@compiles(LargeBinary, "sqlite")
def _blob(element: Any, compiler: Any, **kw: Any) -> str:
    return "BLOB"


class earlier(FunctionElement[datetime]):
    """`earlier(column, 15)`: the moment 15 seconds before; for what verifies. Deadlines are columns of their own."""

    type = Moment()
    inherit_cache = False

    def __init__(self, moment: Any, seconds: int) -> None:
        super().__init__(moment)
        self.seconds = seconds


@compiles(earlier)
def _earlier(element: Any, compiler: Any, **kw: Any) -> str:
    return f"({compiler.process(element.clauses, **kw)} - INTERVAL '{element.seconds:d} seconds')"


@compiles(earlier, "sqlite")
def _earlier_here(element: Any, compiler: Any, **kw: Any) -> str:
    return f"({compiler.process(element.clauses, **kw)} - {element.seconds * 1_000_000:d})"
