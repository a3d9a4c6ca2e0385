"""Whether everything that must always hold does hold: every model's INVARIANTS, read in one snapshot."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from models import ledger, tables
from models.base import Invariant
from models.store import READS, Store


async def offenders(store: Store, now: datetime) -> list[tuple[str, Invariant, list[Any]]]:
    """(module, invariant, offending ids) of every invariant that is broken at this moment; [] when all hold."""
    async with store.engine.connect() as connection:
        if store.sqlite:
            await connection.execution_options(**READS)
        else:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            await connection.execute(text("SET TRANSACTION READ ONLY"))
        found = await broken(connection, now)
        await connection.rollback()
    return found


async def broken(connection: AsyncConnection, now: datetime) -> list[tuple[str, Invariant, list[Any]]]:
    """The same in the snapshot that a connection is looking at; it stays open, and as it was."""
    found = []
    for module, invariant in tables.invariants():
        if ids := await breaking(connection, invariant, now):
            found.append((module, invariant, ids))
    for invariant, read in ledger.READ_THROUGH:
        if ids := await read(await connection.stream(invariant.statement)):
            found.append((ledger.__name__, invariant, ids))
    return found


async def breaking(connection: AsyncConnection, invariant: Invariant, now: datetime) -> list[Any]:
    """The offending ids of one invariant as this connection sees them, each once; [] when it holds."""
    late = now - timedelta(minutes=invariant.grace_minutes or 0)
    rows = await connection.execute(invariant.statement, {"now": now, "late": late})  # it takes what it names
    return list(dict.fromkeys(row[0] for row in rows))
