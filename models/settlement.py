"""Where the cashier's word becomes ours: money is credited exactly once, and what cannot be credited goes back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import exists, func, select

from models import hold
from models.base import Event, Invariant, Work
from models.figures import Figures
from models.hold import Hold
from models.order import PAID, UNPAID, Order, Orders
from models.payment import Attempts, Payment, Payments, Trade, mismatch
from models.refund import Refund, RefundDone, Refunds, RefundStuck


@dataclass(frozen=True)
class MoneyCameLate(Event):
    """Money came that pays nothing. `cause`: closed, twice, gone, amount, currency; it goes back in `minutes`."""

    order_id: int
    no: str
    follower_id: int
    amount_fen: int
    cause: str
    minutes: int
    transaction_id: str


@dataclass(frozen=True)
class Settled:
    """What a trade did: credited, again (known already), orphan, closed, waiting, foreign (no number of ours)."""

    outcome: str
    order: Order | None = None


async def known(work: Work, transaction_id: str) -> bool:
    """The guard of promise 2, together with the unique key behind it."""
    return await Payments(work).by_transaction(transaction_id) is not None


async def settle_trade(work: Work, trade: Trade, figures: Figures) -> Settled:
    """Apply what the cashier says of an attempt, whoever brought it and however often."""
    attempts, orders = Attempts(work), Orders(work)
    order_id = await attempts.order_of(trade.out_trade_no)
    if order_id is None:
        return Settled("foreign")
    order = await orders.hold_id(order_id)
    attempt = await attempts.hold(trade.out_trade_no)
    assert attempt is not None
    if not trade.was_paid:
        if trade.was_closed and attempt.open:
            attempt.state = "closed"
            if order.state == "closing":
                await orders.close(order, order.closed_cause)
            return Settled("closed", order)
        return Settled("waiting", order)
    if await known(work, trade.transaction_id):
        return Settled("again", order)
    cause = mismatch(attempt, trade)
    if not cause and trade.state == "REFUND":
        cause = "elsewhere"  # paid, and paid back by hand at the cashier's own desk, before we heard of it
    if not cause and order.state not in UNPAID:
        cause = "closed" if order.state == "closed" and order.paid_at is None else "twice"
    if not cause:
        try:
            await hold.take_all(work, order)
        except hold.GONE:
            cause = "gone"
            await orders.close(order, "gone")
    attempt.state = "paid"
    payment_id = await Payments(work).keep(
        transaction_id=trade.transaction_id,
        out_trade_no=trade.out_trade_no,
        attempt_id=attempt.id,
        order_id=order.id,
        amount_fen=trade.amount_fen,
        payer=trade.payer,
        at=trade.at,
        seen=work.now,
        source=trade.source,
        state="orphan" if cause else "credited",
        cause=cause,
    )
    if not cause:
        order.pay(work.now)
        return Settled("credited", order)
    if cause != "elsewhere":
        minutes = figures.order.late_money_minutes
        await Refunds(work).owe(payment_id, trade.amount_fen, "late", work.now + timedelta(minutes=minutes))
        work.tell(
            MoneyCameLate(order.id, order.no, order.follower_id, trade.amount_fen, cause, minutes, trade.transaction_id)
        )
    return Settled("orphan", order)


async def settle_refund(work: Work, out_refund_no: str, state: str, error: str) -> str:
    """Apply what the cashier says of a refund; its state afterwards, "foreign" for a number that is not ours."""
    refunds = Refunds(work)
    refund = await refunds.hold(out_refund_no)
    if refund is None:
        return "foreign"
    if not refund.said(state, error, work.now):
        return refund.state
    order = await Orders(work).hold_id(refund.order_id)
    if refund.state == "done":
        payment = await work.one(select(Payment.state).where(Payment.id == refund.payment_id))
        late = payment is not None and payment.state == "orphan"
        if not late:
            order.paid_back(refund.amount_fen)
        work.tell(
            RefundDone(
                order.id,
                order.no,
                order.follower_id,
                refund.amount_fen,
                refund.reason,
                late,
                refund.out_refund_no,
            )
        )
    elif refund.error and refund.state in ("due", "failed"):
        work.tell(RefundStuck(refund.out_refund_no, order.no, refund.amount_fen, refund.error, refund.state == "due"))
    return refund.state


_credited = (
    select(Payment.order_id.label("order_id"), func.sum(Payment.amount_fen).label("fen"))
    .where(Payment.state == "credited")
    .group_by(Payment.order_id)
    .subquery()
)
_back = (
    select(Refund.order_id.label("order_id"), func.sum(Refund.amount_fen).label("fen"))
    .join(Payment, Payment.id == Refund.payment_id)
    .where(Refund.state == "done", Payment.state == "credited")
    .group_by(Refund.order_id)
    .subquery()
)

INVARIANTS = (
    Invariant(
        "order_paid_in_full",
        "an order that counts as paid has its whole total, and an unpaid one has nothing",
        select(Order.id)
        .outerjoin(_credited, _credited.c.order_id == Order.id)
        .where(
            (Order.state.in_(PAID) & (func.coalesce(_credited.c.fen, 0) != Order.total_fen))
            | (Order.state.in_(UNPAID) & (func.coalesce(_credited.c.fen, 0) != 0))
        ),
    ),
    Invariant(
        "orphan_goes_back",
        "money that pays nothing is owed back in full",
        select(Payment.id).where(
            Payment.state == "orphan",
            Payment.cause != "elsewhere",
            Payment.refund_reserved_fen != Payment.amount_fen,
        ),
    ),
    Invariant(
        "order_refunds_add_up",
        "what an order counts as paid back is what went back",
        select(Order.id)
        .outerjoin(_back, _back.c.order_id == Order.id)
        .where(Order.refunded_fen != func.coalesce(_back.c.fen, 0)),
    ),
    Invariant(
        "hold_follows_order",
        "things are held for orders that may be paid, and for no others",
        select(Order.id).where(
            exists().where(Hold.order_id == Order.id, Hold.state == "held").correlate(Order),
            Order.state.not_in(UNPAID),
        ),
    ),
    Invariant(
        "hold_taken_if_paid",
        "what is on its way to a buyer has been taken from the shelf",
        select(Order.id).where(
            Order.state.in_(PAID),
            exists().where(Hold.order_id == Order.id, Hold.state != "taken").correlate(Order),
        ),
    ),
)
