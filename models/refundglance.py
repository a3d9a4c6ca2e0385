"""Refunds as the asking path sees them: what is due, what hangs, what one person was paid back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, func, or_, select, tuple_
from sqlalchemy.orm import aliased

from models.base import Glance, Invariant
from models.order import Order
from models.payment import Payment
from models.refund import GIVEN, NO_CASHIER, Refund

_BY_HAND = or_(Payment.source == "hand", GIVEN, Refund.error == NO_CASHIER)


@dataclass(frozen=True)
class RefundSeen:
    """A refund as its order's owner sees it."""

    amount_fen: int
    state: str
    done_at: datetime | None


@dataclass(frozen=True)
class RefundTold:
    """A refund as its owner is told of it among others; `by_hand`: the shop gives it back itself."""

    no: str
    amount_fen: int
    state: str
    done_at: datetime | None
    by_hand: bool


class RefundGlance(Glance):
    """Refunds, read only."""

    async def due(self, now: datetime, limit: int = 100, *, by_hand: bool = False) -> list[str]:
        """The numbers of the refunds that are to be asked for, or asked about, now, one of each payment.

        The cashier takes two of one payment at least a minute apart. `by_hand`: of those that no cashier carries out.
        """
        other = aliased(Refund)
        earlier = exists().where(
            other.payment_id == Refund.payment_id,
            other.state.in_(["due", "unknown"]),
            other.next_try <= now,
            tuple_(other.next_try, other.id) < tuple_(Refund.next_try, Refund.id),
        )
        rows = await self.reader.all(
            select(Refund.out_refund_no)
            .join(Payment, Payment.id == Refund.payment_id)
            .where(
                Refund.state.in_(["due", "asked", "unknown"]),
                Refund.next_try <= now,
                (Payment.source == "hand").is_(by_hand),
                (Refund.state == "asked") | (Payment.source == "hand") | ~earlier,
            )
            .order_by(Refund.next_try, Refund.id)
            .limit(limit)
        )
        return [row.out_refund_no for row in rows]

    async def hopeless(self, since: datetime, limit: int = 100) -> list[str]:
        """The numbers of those the cashier refused for good since then: somebody may put them right over there."""
        rows = await self.reader.all(
            select(Refund.out_refund_no)
            .join(Payment, Payment.id == Refund.payment_id)
            .where(Refund.state == "failed", Refund.next_try >= since, Payment.source != "hand")
            .order_by(Refund.next_try.desc(), Refund.id.desc())
            .limit(limit)
        )
        return [row.out_refund_no for row in rows]

    async def waiting(self) -> tuple[int, int]:
        """How many refunds have not gone back yet and are not given up, and their sum in fen; by the cashier."""
        total = func.coalesce(func.sum(Refund.amount_fen), 0)
        row = await self.reader.one(
            select(func.count(), total)
            .join(Payment, Payment.id == Refund.payment_id)
            .where(Refund.state.not_in(["done", "failed"]), Refund.tries > 0, Payment.source != "hand")
        )
        return (int(row[0]), int(row[1])) if row is not None else (0, 0)

    async def under_way(self, follower_id: int) -> int:
        """How many of one person's refunds have not gone back yet."""
        row = await self.reader.one(
            select(func.count())
            .select_from(Refund)
            .join(Order, Order.id == Refund.order_id)
            .where(Order.follower_id == follower_id, Refund.state != "done")
        )
        return int(row[0]) if row is not None else 0

    async def of_follower(self, follower_id: int, limit: int) -> list[RefundTold]:
        """One person's refunds, the newest first."""
        rows = await self.reader.all(
            select(Order.no, Refund.amount_fen, Refund.state, Refund.done_at, _BY_HAND)
            .join(Payment, Payment.id == Refund.payment_id)
            .join(Order, Order.id == Refund.order_id)
            .where(Order.follower_id == follower_id)
            .order_by(Refund.id.desc())
            .limit(limit)
        )
        return [RefundTold(no, fen, state, at, bool(by_hand)) for no, fen, state, at, by_hand in rows]

    async def refused(self, since: datetime, until: datetime) -> tuple[int, int, str]:
        """How many were refused for good in this time and still are, their sum in fen, the order of the oldest."""
        rows = await self.reader.all(
            select(Refund.amount_fen, Order.no)
            .join(Order, Order.id == Refund.order_id)
            .where(Refund.state == "failed", Refund.next_try >= since, Refund.next_try < until)
            .order_by(Refund.id)
        )
        return len(rows), sum(row.amount_fen for row in rows), rows[0].no if rows else ""

    async def of_order(self, order_id: int) -> list[RefundSeen]:
        rows = await self.reader.all(
            select(Refund.amount_fen, Refund.state, Refund.done_at)
            .where(Refund.order_id == order_id)
            .order_by(Refund.id)
        )
        return [RefundSeen(*row) for row in rows]


INVARIANTS: tuple[Invariant, ...] = ()
