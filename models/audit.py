"""Who did what to the shop: one line a changing staff command, never changed afterwards."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Glance, Invariant, Json, Work


class Audit(Base):
    """One act; append-only by trigger."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    follower_id: Mapped[int | None] = mapped_column(ForeignKey("follower.id"))  # None: the house or the command line
    act: Mapped[str]
    facts: Mapped[dict[str, Any]] = mapped_column(Json)


async def record(work: Work, follower_id: int | None, act: str, facts: dict[str, Any]) -> None:
    """Write the act down in the same transaction as its effect."""
    work.session.add(Audit(at=work.now, follower_id=follower_id, act=act, facts=facts))


class AuditGlance(Glance):
    """What was done lately."""

    async def latest(self, limit: int) -> list[tuple[datetime, int | None, str, dict[str, Any]]]:
        rows = await self.reader.all(
            select(Audit.at, Audit.follower_id, Audit.act, Audit.facts).order_by(Audit.id.desc()).limit(limit)
        )
        return [(r.at, r.follower_id, r.act, r.facts) for r in rows]


INVARIANTS = (Invariant("audit_named", "every act has a name", select(Audit.id).where(Audit.act == "")),)
