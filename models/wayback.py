"""By which way money goes back: the way it came, where the cashier has it, else by the hand that took it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select

from models.base import Glance, Invariant
from models.payment import Payment
from models.refund import Refund


@dataclass(frozen=True)
class WayBack:
    """A sum that goes back, in fen: of it what the cashier pays, and what the shop gives back itself."""

    till_fen: int = 0
    hand_fen: int = 0

    @property
    def fen(self) -> int:
        return self.till_fen + self.hand_fen


class WayBackGlance(Glance):
    """The ways of what is owed, and of what would be."""

    async def owed(self, order_id: int, reason: str, *numbers: int) -> WayBack:
        """Of what is owed of an order for this reason, under these numbers (none: all of it)."""
        mine = (Refund.order_id == order_id, Refund.reason == reason)
        rows = await self.reader.all(
            select(Payment.source, func.sum(Refund.amount_fen))
            .join(Payment, Payment.id == Refund.payment_id)
            .where(*mine, *((Refund.seq.in_(numbers),) if numbers else ()))
            .group_by(Payment.source)
        )
        return _parted((source, int(fen)) for source, fen in rows)

    async def coming(self, order_id: int, fen: int | None = None) -> WayBack:
        """Of `fen` (None: all that is left), were they owed back of an order now.

        As `Refunds.owe_back` takes them: the oldest payment first.
        """
        rows = await self.reader.all(
            select(Payment.source, (Payment.amount_fen - Payment.refund_reserved_fen).label("left"))
            .where(Payment.order_id == order_id, Payment.state == "credited")
            .order_by(Payment.id)
        )
        shares = []
        missing_fen = sum(left_fen for _, left_fen in rows) if fen is None else fen
        for source, left_fen in rows:
            shares.append((source, min(missing_fen, left_fen)))
            missing_fen -= shares[-1][1]
        return _parted(shares)


def _parted(shares: Iterable[tuple[str, int]]) -> WayBack:
    """Shares of payments, by where those came from."""
    known = list(shares)
    by_hand = sum(fen for source, fen in known if source == "hand")
    return WayBack(sum(fen for _, fen in known) - by_hand, by_hand)


INVARIANTS: tuple[Invariant, ...] = ()
