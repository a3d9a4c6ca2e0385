"""Where the cashier's word becomes ours: money is credited exactly once, and what cannot be credited goes back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import case, exists, func, select

from models import hold, ledger
from models.base import Event, Invariant, Work
from models.figures import Figures
from models.hold import Hold
from models.ledger import Entry, standing
from models.order import PAID, UNPAID, Order, OrderLine, Orders
from models.payment import OPEN, Attempt, Attempts, Payment, Payments, Trade, mismatch
from models.refund import GIVEN, QUIET, Refund, RefundDone, Refunds, RefundStuck
from models.supplement import Bill, Supplement, Supplements


@dataclass(frozen=True)
class MoneyCameLate(Event):
    """Money came that pays nothing. `cause`: closed, twice, gone, amount, currency; it goes back in `minutes`.

    elsewhere: it has gone back already, by somebody's hand at the cashier's own desk. `extra`: it was to pay a
    supplement, and the order itself is as it was. `by_hand`: the shop has it, and no cashier.
    """

    order_id: int
    no: str
    follower_id: int
    amount_fen: int
    cause: str
    minutes: int
    transaction_id: str
    extra: bool = False
    by_hand: bool = False


@dataclass(frozen=True)
class Settled:
    """What a trade did: credited, again (known already), orphan, closed, waiting, foreign (no number of ours)."""

    outcome: str
    order: Order | None = None


CLOSING_AGAIN = timedelta(minutes=2)
UNPAID_CAUSES = ("", "buyer", "timeout")  # for which something ends, and its buyer hears that it was not paid


async def known(work: Work, transaction_id: str) -> bool:
    """The guard of promise 2, together with the unique key behind it."""
    return await Payments(work).by_transaction(transaction_id) is not None


async def held(work: Work, out_trade_no: str) -> tuple[Order, Bill, Attempt] | None:
    """The order, what of it is paid under this number, and the attempt, all locked; None for a number not ours."""
    attempts = Attempts(work)
    found = await attempts.order_of(out_trade_no)
    if found is None:
        return None
    (order_id, group_id), orders = found, Orders(work)
    if group_id is not None:
        await orders.of_group(group_id)  # who fills a group changes all of its orders: all of them before their group
    order = await orders.hold_id(order_id)
    attempt = await attempts.hold(out_trade_no)
    assert attempt is not None
    bill: Bill = order
    if attempt.supplement_id is not None:
        bill = await Supplements(work).by_id(attempt.supplement_id)
    return order, bill, attempt


async def settle_trade(work: Work, trade: Trade, figures: Figures) -> Settled:
    """Apply what the cashier says of an attempt, whoever brought it and however often."""
    found = await held(work, trade.out_trade_no)
    if found is None:
        return Settled("foreign")
    order, bill, attempt = found
    if not trade.was_paid:
        if trade.was_closed and attempt.open:
            attempt.state = "closed"
            if bill.state == "closing":
                await end(work, order, bill, bill.closed_cause)
            return Settled("closed", order)
        if bill.state == "closing" and attempt.open:  # somebody waits for the end of it: asked again soon
            attempt.ask_next = min(attempt.ask_next, work.now + CLOSING_AGAIN)
        return Settled("waiting", order)
    if await known(work, trade.transaction_id):
        return Settled("again", order)
    # REFUND: paid, and paid back by hand at the cashier's own desk, before we heard of it.
    why_not = mismatch(attempt, trade) or too_late(order, bill) or another_sum(bill, trade)
    cause = "elsewhere" if trade.state == "REFUND" else why_not
    if not cause and not await _take(work, order, bill):
        cause = "gone"
    attempt.state = "paid"
    payment_id = await Payments(work).keep(
        transaction_id=trade.transaction_id,
        out_trade_no=trade.out_trade_no,
        attempt_id=attempt.id,
        order_id=order.id,
        supplement_id=attempt.supplement_id,
        amount_fen=trade.amount_fen,
        payer=trade.payer,
        at=trade.at,
        seen=work.now,
        source=trade.source,
        state="orphan" if cause else "credited",
        cause=cause,
    )
    await ledger.came_in(work, payment_id, order.id, trade.amount_fen, trade.source, orphan=bool(cause))
    if not cause:
        await _credit(work, order, bill)
        if (other := await Attempts(work).open_for(bill)) is not None:  # paid twice, it would go back: closed first
            other.ask_next = work.now
        return Settled("credited", order)
    minutes = 0
    if cause == "elsewhere":
        await ledger.went_elsewhere(work, payment_id, order.id, trade.amount_fen)
    else:
        minutes = figures.order.late_money_minutes
        await Refunds(work).owe(payment_id, trade.amount_fen, "late", work.now + timedelta(minutes=minutes))
    facts = (order.id, order.no, order.follower_id, trade.amount_fen, cause, minutes, trade.transaction_id)
    work.tell(MoneyCameLate(*facts, extra=bill is not order, by_hand=trade.source == "hand"))
    if bill.state == "closing" or (bill.state == "pending" and cause in ("gone", "elsewhere")):  # nothing is waited for
        # Who waited for the end of it is told what came, and not that nobody paid.
        await end(work, order, bill, cause if bill.closed_cause in UNPAID_CAUSES else bill.closed_cause)
    return Settled("orphan", order)


def too_late(order: Order, bill: Bill) -> str:
    """The guard of late money: why a bill takes none, or ""."""
    if bill.state not in UNPAID:
        never = bill.state == "closed" and bill.paid_at is None
        return "closed" if never else "twice"
    return "closed" if bill is not order and order.state == "closed" else ""


def another_sum(bill: Bill, trade: Trade) -> str:
    """The guard of a sum that changed after a number for it was closed, under which it is paid all the same."""
    return "amount" if trade.amount_fen != bill.total_fen else ""


async def _take(work: Work, order: Order, bill: Bill) -> bool:
    """What was held is the order's own; False when it is not there any more, and then nothing has changed."""
    if isinstance(bill, Supplement):  # its pieces are taken when the change is made
        return await Supplements(work).fits(order, bill)
    try:
        await hold.take_all(work, order)
    except hold.GONE:
        return False
    return True


async def _credit(work: Work, order: Order, bill: Bill) -> None:
    """The money pays what it was meant for."""
    if isinstance(bill, Supplement):
        more = (bill.goods_fen, bill.discount_fen, bill.freight_fen)
        await ledger.sold_more(work, order.id, bill.id, *more)
        await Supplements(work).apply(order, bill)
        return
    await ledger.sold(work, order)
    order.pay(work.now)


async def end(work: Work, order: Order, bill: Bill, cause: str, *, actor: str = "house") -> str | None:
    """Close what nobody has paid, unless it may still be paid under a number: that is closed first, and returned."""
    await work.session.flush()
    attempt = await Attempts(work).open_for(bill)
    if attempt is None:
        if isinstance(bill, Supplement):
            await Supplements(work).end(order, bill, cause, actor=actor)
        else:
            await Orders(work).close(bill, cause, actor=actor)
        return None
    attempt.ask_next = work.now
    if bill.state == "pending":
        bill.begin_closing(cause, work.now)
    return attempt.out_trade_no


async def settle_refund(
    work: Work, out_refund_no: str, state: str, error: str, fen: int = 0, *, by_hand: bool = False
) -> str:
    """Apply what the cashier says of a refund (`fen`: of how much, 0 where it has not said), or staff `by_hand`.

    Its state afterwards, "foreign" for a number that is not ours.
    """
    refunds = Refunds(work)
    order_id = await refunds.order_of(out_refund_no)
    if order_id is None:
        return "foreign"
    order = await Orders(work).hold_id(order_id)  # the order first: everybody locks in this order
    refund = await refunds.hold(out_refund_no)
    assert refund is not None
    if fen and fen != refund.amount_fen:  # the cashier speaks of another sum: a person has to look
        state, error = "ABNORMAL", "amount"
    before = refund.state
    given = select(Refund.id).where(Refund.id == refund.id, GIVEN)
    if before == "done" and state == "SUCCESS" and not by_hand and await work.one(given) is not None:
        work.tell(RefundStuck(refund.out_refund_no, order.no, refund.amount_fen, "twice", False))
    if not refund.said(state, error, work.now):
        return refund.state
    if refund.state == "done":
        payment = await work.one(select(Payment.state, Payment.source).where(Payment.id == refund.payment_id))
        assert payment is not None
        late = payment.state == "orphan"
        if not late:
            order.paid_back(refund.amount_fen)
        source = "hand" if by_hand else payment.source
        await ledger.went_back(work, refund.id, refund.payment_id, order.id, refund.amount_fen, source)
        work.tell(
            RefundDone(
                order.id,
                order.no,
                order.follower_id,
                refund.amount_fen,
                refund.reason,
                late,
                refund.out_refund_no,
                source == "hand",
            )
        )
    elif refund.error and refund.error not in QUIET and refund.state != "asked":
        again = refund.state != "failed"
        if again or before != "failed":
            work.tell(RefundStuck(refund.out_refund_no, order.no, refund.amount_fen, refund.error, again))
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

_of_payment = Entry.payment_id == Payment.id
_gone_back = (
    select(func.coalesce(func.sum(Refund.amount_fen), 0))
    .where(Refund.payment_id == Payment.id, Refund.state == "done")
    .scalar_subquery()
)
_open = (
    exists()
    .where(Attempt.order_id == Order.id, Attempt.supplement_id.is_(None), Attempt.state.in_(OPEN))
    .correlate(Order)
)
_credited_to_it = (
    exists().where(Payment.supplement_id == Supplement.id, Payment.state == "credited").correlate(Supplement)
)
_being_paid = exists().where(Attempt.supplement_id == Supplement.id, Attempt.state.in_(OPEN)).correlate(Supplement)
_stays_here = (  # paid back before it left
    exists()
    .where(
        OrderLine.order_id == Hold.order_id,
        OrderLine.sku_id == Hold.thing,
        OrderLine.back_at.is_not(None),
        Hold.kind == "stock",
        Hold.state == "freed",
    )
    .correlate(Hold)
)

INVARIANTS = (
    Invariant(
        "attempt_of_its_supplement",
        "an attempt at a supplement is for the order of that supplement",
        select(Attempt.id)
        .outerjoin(Supplement, Supplement.id == Attempt.supplement_id)
        .where(
            Attempt.supplement_id.is_not(None),
            Supplement.id.is_(None) | (Supplement.order_id != Attempt.order_id),
        ),
    ),
    Invariant(
        "supplement_paid_once",
        "a supplement counts as paid exactly when one payment is credited to it",
        select(Supplement.id).where((Supplement.state == "paid") != _credited_to_it),
    ),
    Invariant(
        "supplement_closing_waits_for_somebody",
        "a supplement is closing only while it may still be paid, and nobody can pay one that is over",
        select(Supplement.id).where(
            ((Supplement.state == "closing") & ~_being_paid) | ((Supplement.state == "closed") & _being_paid)
        ),
    ),
    Invariant(
        "ledger_cash_is_payments_less_refunds",
        "what lies at the cashier of a payment is what came in less what went back",
        select(Payment.id).where(
            standing("cash", "hand", of=_of_payment)
            != case((Payment.cause == "elsewhere", 0), else_=Payment.amount_fen - _gone_back)
        ),
    ),
    Invariant(
        "ledger_orphans_are_owed_back",
        "money that pays nothing is nobody's for no moment",
        select(Payment.id).where(standing("orphan", of=_of_payment) != 0),
    ),
    Invariant(
        "ledger_payable_is_refunds_under_way",
        "what is owed back is what has not gone back yet",
        select(Refund.id).where(
            standing("payable", of=Entry.refund_id == Refund.id)
            != case((Refund.state == "done", 0), else_=-Refund.amount_fen)
        ),
    ),
    Invariant(
        "order_closing_waits_for_somebody",
        "an order is closing only while it may still be paid",
        select(Order.id).where(Order.state == "closing", ~_open),
    ),
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
        "closed_goes_back",
        "what was paid for an order that was closed is owed back in full",
        select(Payment.id)
        .join(Order, Order.id == Payment.order_id)
        .where(
            Order.state == "closed",
            Payment.state == "credited",
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
            exists().where(Hold.order_id == Order.id, Hold.kind != "spec", Hold.state == "held").correlate(Order),
            Order.state.not_in(UNPAID),
        ),
    ),
    Invariant(
        "hold_taken_if_paid",
        "what is on its way to a buyer has been taken from the shelf",
        select(Order.id).where(
            Order.state.in_(PAID),
            exists()
            .where(Hold.order_id == Order.id, Hold.kind != "spec", Hold.state != "taken", ~_stays_here)
            .correlate(Order),
        ),
    ),
)
