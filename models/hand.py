"""Money that passes the cashier by (收款): taken and given back by hand, credited and booked like any other.

Two numbers name the fact: one attempt of its own, which stands in the way of every other, and the order's number as the
transaction's id. So it is credited once, and never beside a payment at the cashier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, exists, or_, select

from models.audit import Audit
from models.base import Contended, Glance, Invariant, Reader, Refusal, Work
from models.figures import Figures
from models.order import NotNow, Order
from models.payment import Attempt, Attempts, Payment, Trade
from models.refund import NO_CASHIER, Refund
from models.settlement import Settled, settle_refund, settle_trade
from models.supplement import Bill, Supplement, Supplements

BY_HAND = "hand"  # an attempt's way, and a payment's source
TOOK = "takemoneynow"  # the act under which the audit has it
_BY_HAND = and_(Payment.source == BY_HAND, Refund.state.not_in(["done", "failed"]))
_UNHEARD = and_(Refund.state == "due", Refund.error == NO_CASHIER)  # the shop has given up its cashier
_REFUSED = and_(Payment.source != BY_HAND, or_(Refund.state == "failed", _UNHEARD))


class OtherSum(Refusal):
    """Another sum than the order costs. Facts: order, due_fen, said_fen."""


class NothingOwed(Refusal):
    """Nothing is to be given back by hand. Facts: order ("" for any)."""


class OwedChanged(Refusal):
    """What is to be given back is no longer what was read back. Facts: order, owed_fen."""


@dataclass(frozen=True)
class Owed:
    """What is to be given back by hand of one order, in fen, and under which numbers."""

    no: str
    amount_fen: int
    numbers: tuple[str, ...]


def named(bill: Bill) -> str:
    """The transaction's id of a bill's money by hand: there is one of it, whoever writes it down."""
    return f"hand:{bill.no}:{bill.id}" if isinstance(bill, Supplement) else f"hand:{bill.no}"


async def bill_of(work: Work, order: Order) -> Bill:
    """What is to be paid of an order now: the order, else what a change of it costs more. Raises NotNow."""
    asked = None if order.payable else await Supplements(work).open_of(order.id)
    bill: Bill = order if asked is None else asked
    if not bill.payable:
        raise NotNow(order=order.no, state=order.state, word=order.word, act="take")
    return bill


async def take(work: Work, bill: Bill, said_fen: int, who: int, figures: Figures) -> Settled:
    """Staff `who` (follower id) has this bill's money in hand: settled like the cashier's word, once.

    The caller has seen to it that no attempt is open. Raises OtherSum, PayOver; Contended when somebody is paying.
    """
    if said_fen != bill.total_fen:
        raise OtherSum(order=bill.no, due_fen=bill.total_fen, said_fen=said_fen)
    attempt = await Attempts(work).start(bill, BY_HAND)
    if attempt.way != BY_HAND:  # somebody has pressed the button of the pay page meanwhile
        raise Contended
    trade = Trade(
        attempt.out_trade_no,
        "SUCCESS",
        named(bill),
        said_fen,
        "CNY",
        f"staff:{who}",
        work.now,
        BY_HAND,
    )
    return await settle_trade(work, trade, figures)


async def gave_back(work: Work, order: Order, said_fen: int) -> Owed:
    """What was owed of this order by hand has been given back. Raises NothingOwed, OwedChanged."""
    owed = await owed_of(work, order.no)
    if owed is None:
        raise NothingOwed(order=order.no)
    if owed.amount_fen != said_fen:
        raise OwedChanged(order=order.no, owed_fen=owed.amount_fen)
    for number in owed.numbers:
        await settle_refund(work, number, "SUCCESS", "", by_hand=True)
    return owed


async def owed_of(reader: Reader, no: str) -> Owed | None:
    """What is owed by hand of the order with this number, else what the cashier refused for good; None for neither."""
    found = await _owed(reader, _BY_HAND, Order.no == no) or await _owed(reader, _REFUSED, Order.no == no)
    return next(iter(found), None)


async def _owed(reader: Reader, *conditions: Any) -> list[Owed]:
    rows = await reader.all(
        select(Order.no, Refund.amount_fen, Refund.out_refund_no)
        .join(Payment, Payment.id == Refund.payment_id)
        .join(Order, Order.id == Refund.order_id)
        .where(*conditions)
        .order_by(Refund.id)
    )
    found: dict[str, Owed] = {}
    for no, fen, number in rows:
        before = found.get(no, Owed(no, 0, ()))
        found[no] = Owed(no, before.amount_fen + fen, (*before.numbers, number))
    return list(found.values())


class HandGlance(Glance):
    """Money by hand, read only."""

    async def owed(self) -> list[Owed]:
        """All that is to be given back by hand, oldest first."""
        return await _owed(self.reader, _BY_HAND)

    async def owed_of(self, no: str) -> Owed | None:
        return await owed_of(self.reader, no)


INVARIANTS = (
    Invariant(
        "hand_money_has_a_taker",
        "money taken by hand says who took it, and the log of acts says so too",
        select(Payment.id).where(
            Payment.source == BY_HAND,
            ~Payment.payer.startswith("staff:", autoescape=True)
            | ~exists().where(Audit.act == TOOK, Audit.at == Payment.seen).correlate(Payment),
        ),
    ),
    Invariant(
        "hand_money_passes_the_cashier_by",
        "an attempt by hand is money at once, and money by hand has no other attempt",
        select(Attempt.id)
        .outerjoin(Payment, Payment.attempt_id == Attempt.id)
        .where(
            ((Attempt.way == BY_HAND) & (Payment.source.is_(None) | (Payment.source != BY_HAND)))
            | ((Attempt.way != BY_HAND) & (Payment.source == BY_HAND))
        ),
    ),
    Invariant(
        "hand_refund_is_never_asked_for",
        "what was taken by hand is not asked back from the cashier",
        select(Refund.id)
        .join(Payment, Payment.id == Refund.payment_id)
        .where(Payment.source == BY_HAND, Refund.state.not_in(["due", "done"])),
    ),
)
