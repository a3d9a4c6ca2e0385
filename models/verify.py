"""Whether everything that must always hold does hold: every model's INVARIANTS, read in one snapshot."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from models import tables
from models.base import Invariant
from models.store import Store


async def offenders(store: Store, now: datetime) -> list[tuple[str, Invariant, list[Any]]]:
    """(module, invariant, offending ids) of every invariant that is broken at this moment; [] when all hold."""
    found = []
    async with store.engine.connect() as connection:
        if not store.sqlite:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            await connection.execute(text("SET TRANSACTION READ ONLY"))
        for module, invariant in tables.invariants():
            late = now - timedelta(minutes=invariant.grace_minutes or 0)
            given = {"now": now, "late": late}
            wanted = {b.key for b in _binds(invariant)}
            rows = await connection.execute(invariant.statement, {k: v for k, v in given.items() if k in wanted})
            ids = [row[0] for row in rows]
            if ids:
                found.append((module, invariant, ids))
        await connection.rollback()
    return found


def _binds(invariant: Invariant) -> list[Any]:
    compiled = invariant.statement.compile()
    return [b for b in compiled.binds.values() if b.key in ("now", "late")]
