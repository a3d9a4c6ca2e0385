"""Numbers about the shop that join several nouns, for the merchant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from models.base import Glance, Invariant
from models.order import Order


@dataclass(frozen=True)
class DayFigures:
    """One day of the shop's zone so far; sums in fen."""

    paid: int  # orders
    paid_fen: int
    to_ship: int
    forming: int
    unpaid: int


def day_start(now: datetime, zone: str) -> datetime:
    """The midnight (aware) with which the shop's day of `now` began."""
    local = now.astimezone(ZoneInfo(zone))
    return datetime.combine(local.date(), time(0), tzinfo=ZoneInfo(zone))


class Report(Glance):
    """What the merchant wants to know."""

    async def day(self, since: datetime) -> DayFigures:
        """Orders paid since then, and what waits now."""
        paid = await self.reader.one(
            select(func.count(Order.id).label("n"), func.coalesce(func.sum(Order.total_fen), 0).label("fen")).where(
                Order.paid_at >= since
            )
        )
        waits = await self.reader.all(
            select(Order.state, func.count(Order.id).label("n"))
            .where(Order.state.in_(["paid", "forming", "pending", "closing"]))
            .group_by(Order.state)
        )
        by_state: dict[str, int] = {row.state: row.n for row in waits}
        assert paid is not None
        return DayFigures(
            paid=paid.n,
            paid_fen=int(paid.fen),
            to_ship=by_state.get("paid", 0),
            forming=by_state.get("forming", 0),
            unpaid=by_state.get("pending", 0) + by_state.get("closing", 0),
        )


INVARIANTS: tuple[Invariant, ...] = ()
