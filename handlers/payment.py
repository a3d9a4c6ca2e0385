"""Paying: the page that anybody with the link may use, what the cashier says, and what is done when it says nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from handlers.asking import Intent
from handlers.errands import AskRefund, AskTrade, CloseTrade, PayBack, Prepay
from handlers.intents import (
    AskAgain,
    CloseOverdue,
    ListToShip,
    PayBackAgain,
    PrepayMade,
    PrepayRefused,
    RefundSeen,
    SealLedger,
    ShowOrder,
    ShowPay,
    StartPay,
    TradeSeen,
)
from handlers.replies import Choice, Post, Reply, reply
from handlers.routing import shop
from models.base import Refusal, Work
from models.figures import Figures
from models.ledger import BATCH, Ledger, LedgerGlance
from models.order import Order, OrderClosed, OrderPaid, OrderReady, Orders
from models.orderglance import OrderGlance, OrderSeen
from models.payment import Attempt, AttemptGlance, Attempts, Trade
from models.refund import RefundDone, RefundGlance, Refunds, RefundStuck
from models.settlement import CLOSING_AGAIN, MoneyCameLate, settle_refund, settle_trade
from models.staff import Role, StaffRoom

log = logging.getLogger(__name__)

SILENT = reply("desk/silent")
SEALS = 20  # batches of the ledger that are chained in one minute


# -- the pay page ----------------------------------------------------------------------------------------


@shop.on()
async def show_pay(
    ask: ShowPay, orders: OrderGlance, attempts: AttemptGlance, figures: Figures, now: datetime
) -> Reply:
    """Shop, sum, time left and nothing personal; an attempt that is open is shown again."""
    seen = await orders.by_pay_code(ask.code)
    if seen.state == "pending" and not figures.cashier:
        return _page(seen.state, seen.total_fen, seen.pay_until, now, state="hand")
    attempt = await attempts.open_of(seen.order_id)
    code_url = attempt[1] if attempt is not None and seen.state == "pending" else ""
    return _page(seen.state, seen.total_fen, seen.pay_until, now, code_url)


@shop.on()
async def start_pay(ask: StartPay, orders: Orders, attempts: Attempts, figures: Figures, now: datetime) -> Reply:
    """The button: makes the attempt, or uses the one that is open; asked twice, it is the same attempt."""
    order = await orders.by_pay_code(ask.code)
    if not order.payable or order.pay_until <= now:
        return _page(order.state, order.total_fen, order.pay_until, now)
    if not figures.cashier:
        return _page(order.state, order.total_fen, order.pay_until, now, state="hand")
    attempt = await attempts.start(order, "native")
    if attempt.code_url:
        return _page(order.state, order.total_fen, order.pay_until, now, attempt.code_url)
    errand = Prepay(
        attempt.out_trade_no,
        attempt.amount_fen,
        f"{figures.shop_name} 订单 {order.no}",
        int(attempt.expires.timestamp()),
        attempt.way,
    )
    waiting = _page(order.state, order.total_fen, order.pay_until, now, state="asking")
    return replace(waiting, errand=errand, awaits=True)


def _page(
    order_state: str, total_fen: int, until: datetime, now: datetime, code_url: str = "", state: str = ""
) -> Reply:
    """`state`: pending, asking, refused, hand, expired, closing, closed or paid."""
    if not state:
        if order_state == "pending":
            state = "pending" if now < until else "expired"
        else:
            state = order_state if order_state in ("closing", "closed") else "paid"
    left = max(until - now, timedelta())
    return reply("payment/show", state=state, total_fen=total_fen, left=left, code_url=code_url)


# -- what the cashier says -------------------------------------------------------------------------------


@contextmanager
def _a_fact() -> Iterator[None]:
    """What the cashier says is not refused: acknowledged without being kept, it would never be said again."""
    try:
        yield
    except Refusal as no:
        raise RuntimeError(f"{type(no).__name__} {no.facts}") from no


async def _held(out_trade_no: str, orders: Orders, attempts: Attempts) -> tuple[Order, Attempt] | None:
    """The order, then its attempt, both locked; None for a number that is not ours."""
    order_id = await attempts.order_of(out_trade_no)
    if order_id is None:
        return None
    order = await orders.hold_id(order_id)
    attempt = await attempts.hold(out_trade_no)
    return (order, attempt) if attempt is not None else None


@shop.on()
async def prepay_made(fact: PrepayMade, orders: Orders, attempts: Attempts, post: Post, now: datetime) -> Reply:
    """There is a way to pay; one that comes after the order was closed is closed at once."""
    held = await _held(fact.out_trade_no, orders, attempts)
    if held is None:
        return SILENT
    order, attempt = held
    if attempt.open:
        attempt.state, attempt.code_url = "live", fact.code_url
    elif attempt.state == "closed":
        post.send(CloseTrade(attempt.out_trade_no), key=f"close:{attempt.out_trade_no}:late")
    shown = attempt.code_url if order.payable and attempt.open else ""
    return _page(order.state, order.total_fen, order.pay_until, now, shown)


@shop.on()
async def prepay_refused(fact: PrepayRefused, orders: Orders, attempts: Attempts, post: Post, now: datetime) -> Reply:
    """The cashier takes no such order; "paid" means that we have missed something."""
    held = await _held(fact.out_trade_no, orders, attempts)
    if held is None:
        return SILENT
    order, attempt = held
    if fact.means in ("paid", "used"):
        post.send(AskTrade(attempt.out_trade_no), key=f"ask:{attempt.out_trade_no}:{fact.means}")
    elif attempt.state == "new":
        attempt.state = "refused"
        if order.state == "closing":
            await orders.close(order, order.closed_cause)
    return _page(order.state, order.total_fen, order.pay_until, now, state="refused" if order.payable else "")


@shop.on()
async def trade_seen(fact: TradeSeen, work: Work, figures: Figures, attempts: Attempts, post: Post) -> Reply:
    """Paid, not paid, or closed: applied once, whoever brings it and however often."""
    at = datetime.fromtimestamp(fact.success_time, UTC) if fact.success_time else work.now
    trade = Trade(
        fact.out_trade_no,
        fact.state,
        fact.transaction_id,
        fact.amount_fen,
        fact.currency,
        fact.payer,
        at,
        fact.source,
    )
    with _a_fact():
        settled = await settle_trade(work, trade, figures)
    if settled.outcome == "waiting" and fact.source == "close":
        attempt = await attempts.hold(fact.out_trade_no)
        if attempt is not None and not attempt.open and work.now < attempt.expires:
            # Ended with us, and the cashier has not said that it is so there; nothing else would ask again.
            due = work.now + CLOSING_AGAIN
            post.send(CloseTrade(fact.out_trade_no), key=f"close:{fact.out_trade_no}:{due.timestamp()}", due=due)
    return SILENT


@shop.on()
async def refund_seen(fact: RefundSeen, work: Work) -> Reply:
    """What became of a refund."""
    with _a_fact():
        await settle_refund(work, fact.out_refund_no, fact.state, fact.error, fact.amount_fen)
    return SILENT


# -- when nobody says anything ---------------------------------------------------------------------------


@shop.every(minutes=1)
async def ask_the_cashier(attempts: AttemptGlance, now: datetime) -> Iterable[Intent]:
    """Attempts of which no callback has told the end: after a minute, then ever more seldom."""
    return [AskAgain(number) for number in await attempts.to_ask(now)]


@shop.on()
async def ask_again(fact: AskAgain, orders: Orders, attempts: Attempts, post: Post) -> Reply:
    """One question to the cashier; for an order that is to be closed, the wish to close it."""
    held = await _held(fact.out_trade_no, orders, attempts)
    if held is not None:
        order, attempt = held
        asked = attempt.asked
        if attempt.open and await attempts.ask_again(attempt):
            closing = not order.payable  # to be closed, or paid under another number: nobody is to pay this one
            errand = CloseTrade(attempt.out_trade_no) if closing else AskTrade(attempt.out_trade_no)
            post.send(errand, key=f"{'close' if closing else 'ask'}:{attempt.out_trade_no}:{asked}")
    return SILENT


@shop.every(minutes=1)
async def close_overdue(orders: OrderGlance, now: datetime) -> Iterable[Intent]:
    """Orders whose time to pay is over."""
    return [CloseOverdue(no) for no in await orders.overdue(now)]


@shop.on()
async def overdue(fact: CloseOverdue, orders: Orders, attempts: Attempts, post: Post, now: datetime) -> Reply:
    """Close one: at once if nobody can be paying it, else when the cashier has said so."""
    order = await orders.hold_any(fact.order)
    if order.state == "pending" and order.pay_until <= now:
        attempt = await attempts.open_of(order.id)
        if attempt is None:
            await orders.close(order, "timeout")
        else:
            order.begin_closing("timeout", now)
            post.send(CloseTrade(attempt.out_trade_no), key=f"close:{attempt.out_trade_no}:timeout")
    return SILENT


@shop.every(minutes=1)
async def pay_back(refunds: RefundGlance, now: datetime) -> Iterable[Intent]:
    """Refunds that are due, or whose end is not known yet."""
    return [PayBackAgain(number) for number in await refunds.due(now)]


@shop.on()
async def pay_back_again(fact: PayBackAgain, refunds: Refunds, post: Post) -> Reply:
    """Ask for a refund under its own number, or what became of it."""
    refund = await refunds.hold(fact.out_refund_no)
    if refund is None or refund.ended:
        return SILENT
    key = f"payback:{refund.out_refund_no}:{refund.tries}"
    if refund.state == "asked":
        post.send(AskRefund(refund.out_refund_no), key=key)
    else:
        out_trade_no, total_fen = await refunds.trade_of(refund)
        errand = PayBack(refund.out_refund_no, out_trade_no, refund.amount_fen, total_fen, "订单退款")
        post.send(errand, key=key)
    await refunds.try_again(refund)
    return SILENT


# -- who is told -----------------------------------------------------------------------------------------


@shop.when(OrderPaid)
async def tell_paid(news: OrderPaid, orders: OrderGlance, staff: StaffRoom, post: Post) -> None:
    """The buyer hears that the money is here; staff that something is to be shipped. A play tells its own story."""
    if news.play:
        return
    order = await orders.by_id(news.order_id)
    said = reply("payment/paid", Choice("看订单", ShowOrder(order.no)), order=order)
    post.tell(news.follower_id, said, key=f"paid:{order.no}")
    await _tell_staff(order, staff, post)


@shop.when(OrderReady)
async def tell_ready(news: OrderReady, orders: OrderGlance, staff: StaffRoom, post: Post) -> None:
    """A group is full: its orders are to be shipped like any other."""
    await _tell_staff(await orders.by_id(news.order_id), staff, post)


async def _tell_staff(order: OrderSeen, staff: StaffRoom, post: Post) -> None:
    if not order.ships:
        return
    said = reply("payment/to_ship", Choice("待发货", ListToShip()), order=order)
    for who in await staff.on_duty(Role.CLERK):
        post.tell(who, said, key=f"toship:{order.no}:{who}", patient=True)


@shop.when(OrderClosed)
async def tell_closed(news: OrderClosed, orders: OrderGlance, post: Post) -> None:
    """Told unless the answer to the one who wanted it has said it already; a failed group has its own words."""
    if news.cause == "timeout" or (news.cause == "buyer" and news.waited):
        order = await orders.by_id(news.order_id)
        said = reply("payment/closed", order=order, cause=news.cause)
        post.tell(news.follower_id, said, key=f"closed:{news.no}", patient=news.cause == "timeout")


@shop.when(MoneyCameLate)
async def tell_late(news: MoneyCameLate, staff: StaffRoom, post: Post) -> None:
    """Money that pays nothing: the buyer hears what came, why it goes back, and when."""
    if news.cause == "elsewhere":  # the buyer was paid back by a hand of the shop's, which has to know what stays open
        said = reply("payment/elsewhere", no=news.no, amount_fen=news.amount_fen)
        for who in await staff.on_duty(Role.MANAGER):
            post.tell(who, said, key=f"elsewhere:{news.transaction_id}:{who}")
        return
    said = reply("payment/late", no=news.no, amount_fen=news.amount_fen, cause=news.cause, minutes=news.minutes)
    post.tell(news.follower_id, said, key=f"late:{news.transaction_id}")


@shop.when(RefundDone)
async def tell_refunded(news: RefundDone, post: Post) -> None:
    """The amount, the way, and how long it takes."""
    said = reply("payment/refunded", no=news.no, amount_fen=news.amount_fen, by_hand=news.by_hand)
    post.tell(news.follower_id, said, key=f"refunded:{news.out_refund_no}", patient=True)


@shop.when(RefundStuck)
async def tell_stuck(
    news: RefundStuck, staff: StaffRoom, refunds: RefundGlance, figures: Figures, post: Post, now: datetime
) -> None:
    """A refund that does not go through reaches those who can do something about it.

    What keeps all of them waiting (an empty balance) is said once a day, however many wait.
    """
    said = reply("payment/refund_stuck", no=news.no, amount_fen=news.amount_fen, error=news.error)
    about = news.out_refund_no
    if news.again:
        count, total_fen = await refunds.waiting()
        said = reply("payment/refunds_wait", error=news.error, count=count, total_fen=total_fen)
        about = now.astimezone(ZoneInfo(figures.zone)).date().isoformat()
    for who in await staff.on_duty(Role.MANAGER):
        post.tell(who, said, key=f"stuck:{about}:{news.error}:{who}")


# -- the ledger ------------------------------------------------------------------------------------------


@shop.every(minutes=1)
async def seal_the_ledger(ledger: LedgerGlance, now: datetime) -> Iterable[Intent]:
    """What was booked is chained; the log keeps the chain's committed end, where nobody who changes rows can reach."""
    waiting, head = await ledger.unsealed(), await ledger.head()
    if head.n and (waiting or now - head.at < timedelta(minutes=2)):  # each head at least once, after its commit
        log.info("ledger head", extra={"n": head.n, "hash": head.hash})
    return [SealLedger()] * min(-(-waiting // BATCH), SEALS)


@shop.on()
async def seal(fact: SealLedger, ledger: Ledger) -> Reply:
    """Chain one batch."""
    await ledger.seal()
    return SILENT
