"""Paid or not: what the cashier says, what is done when it says nothing, and who is told."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from handlers.asking import Intent
from handlers.errands import AskRefund, AskTrade, CloseTrade, PayBack
from handlers.intents import (
    AskAgain,
    CloseOverdue,
    ListToShip,
    PayBackAgain,
    RefundSeen,
    RemindRefused,
    SealLedger,
    ShowOrder,
    TradeSeen,
)
from handlers.replies import Choice, Post, Reply, reply
from handlers.routing import shop
from models.base import Refusal, Work
from models.figures import Figures
from models.ledger import BATCH, Ledger, LedgerGlance
from models.order import OrderClosed, OrderPaid, OrderReady, Orders
from models.orderglance import OrderGlance, OrderSeen
from models.payment import AttemptGlance, Attempts, Trade
from models.quarantine import LOUD
from models.refund import HOPE_DAYS, NO_CASHIER, REMIND_DAYS, RefundDone, Refunds, RefundStuck
from models.refundglance import RefundGlance
from models.settlement import CLOSING_AGAIN, MoneyCameLate, held, settle_refund, settle_trade
from models.staff import Role, StaffRoom

log = logging.getLogger(__name__)

SILENT = reply("desk/silent")
SEALS = 20  # batches of the ledger that are chained in one minute


# -- what the cashier says -------------------------------------------------------------------------------


@contextmanager
def _a_fact() -> Iterator[None]:
    """What the cashier says is not refused: acknowledged without being kept, it would never be said again."""
    try:
        yield
    except Refusal as no:
        raise RuntimeError(f"{type(no).__name__} {no.facts}") from no


@shop.on()
async def trade_seen(
    fact: TradeSeen, work: Work, figures: Figures, attempts: Attempts, staff: StaffRoom, post: Post
) -> Reply:
    """Paid, not paid, or closed: applied once, whoever brings it and however often.

    Money under a number that is not here (a backup was restored that knew it not yet) is no news that was heard: the
    cashier shall say it again, and the merchant looks. So does the merchant of a shop that gave up its cashier, where
    what was open is over, for nobody can ask any more.
    """
    at = datetime.fromtimestamp(fact.success_time, UTC) if fact.success_time else work.now
    unasked = fact.state == NO_CASHIER
    trade = Trade(
        fact.out_trade_no,
        "CLOSED" if unasked else fact.state,
        fact.transaction_id,
        fact.amount_fen,
        fact.currency,
        fact.payer,
        at,
        fact.source,
    )
    with _a_fact():
        settled = await settle_trade(work, trade, figures)
    if settled.outcome == "foreign" and trade.was_paid:
        log.error("money under a number that is not ours", extra={"out_trade_no": trade.out_trade_no})
        said = reply("payment/foreign", number=trade.out_trade_no, amount_fen=trade.amount_fen)
        for who in await staff.on_duty(Role.MANAGER):
            post.tell(who, said, key=f"foreign:{trade.out_trade_no}:{who}")
        return replace(SILENT, refused=True)
    if settled.outcome not in ("waiting", "closed"):
        return SILENT
    attempt = await attempts.hold(fact.out_trade_no)
    if attempt is None or settled.order is None:
        return SILENT
    if unasked and settled.outcome == "closed":
        said = reply("payment/unasked", no=settled.order.no, amount_fen=attempt.amount_fen, number=fact.out_trade_no)
        for who in await staff.on_duty(Role.MANAGER):
            post.tell(who, said, key=f"{LOUD}unasked:{fact.out_trade_no}:{who}")
    elif fact.source == "close" and not attempt.open and settled.outcome == "waiting" and work.now < attempt.expires:
        # Ended with us, and the cashier has not said that it is so there; nothing else would ask again.
        due = work.now + CLOSING_AGAIN
        post.send(CloseTrade(fact.out_trade_no), key=f"close:{fact.out_trade_no}:{due.timestamp()}", due=due)
    return SILENT


@shop.on()
async def refund_seen(fact: RefundSeen, work: Work, staff: StaffRoom, post: Post) -> Reply:
    """What became of a refund; of one that is not here the merchant hears, and the cashier says it again."""
    with _a_fact():
        state = await settle_refund(work, fact.out_refund_no, fact.state, fact.error, fact.amount_fen)
    if state != "foreign":
        return SILENT
    log.error("a refund under a number that is not ours", extra={"out_refund_no": fact.out_refund_no})
    said = reply("payment/foreign_refund", number=fact.out_refund_no, amount_fen=fact.amount_fen)
    for who in await staff.on_duty(Role.MANAGER):
        post.tell(who, said, key=f"foreign:{fact.out_refund_no}:{who}")
    return replace(SILENT, refused=True)


# -- when nobody says anything ---------------------------------------------------------------------------


@shop.every(minutes=1)
async def ask_the_cashier(attempts: AttemptGlance, now: datetime) -> Iterable[Intent]:
    """Attempts of which no callback has told the end: after a minute, then ever more seldom."""
    return [AskAgain(number) for number in await attempts.to_ask(now)]


@shop.on()
async def ask_again(fact: AskAgain, work: Work, attempts: Attempts, post: Post) -> Reply:
    """One question to the cashier; for what is to be closed, the wish to close it."""
    found = await held(work, fact.out_trade_no)
    if found is not None:
        _, bill, attempt = found
        asked = attempt.asked
        if attempt.open and await attempts.ask_again(attempt):
            closing = not bill.payable  # to be closed, or paid under another number: nobody is to pay this one
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


@shop.every(minutes=24 * 60)
async def hope(refunds: RefundGlance, now: datetime) -> Iterable[Intent]:
    """Refunds that were refused for good: the merchant may have put them right at the cashier's desk."""
    return [PayBackAgain(number) for number in await refunds.hopeless(now - timedelta(days=HOPE_DAYS))]


@shop.on()
async def pay_back_again(fact: PayBackAgain, refunds: Refunds, post: Post) -> Reply:
    """Ask for a refund under its own number, or what became of it."""
    refund = await refunds.hold(fact.out_refund_no)
    if refund is None or refund.state == "done":
        return SILENT
    if refund.state == "failed":
        post.send(AskRefund(refund.out_refund_no), key=f"hope:{refund.out_refund_no}:{refunds.work.now:%Y%m%d}")
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
            post.tell(who, said, key=f"{LOUD}{news.transaction_id}:{who}")
        return
    facts = {"cause": news.cause, "minutes": news.minutes, "extra": news.extra, "by_hand": news.by_hand}
    said = reply("payment/late", no=news.no, amount_fen=news.amount_fen, **facts)
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


@shop.every(minutes=60)
async def refused_refunds(refunds: RefundGlance, now: datetime) -> Iterable[Intent]:
    """Refunds that were refused for good yesterday or before, and still are."""
    count, _, _ = await refunds.refused(now - timedelta(days=REMIND_DAYS), now - timedelta(days=1))
    return [RemindRefused()] if count else []


@shop.on()
async def remind_refused(
    fact: RemindRefused, staff: StaffRoom, refunds: RefundGlance, figures: Figures, post: Post, now: datetime
) -> Reply:
    """Said again every day for a week: somebody's money has not gone back."""
    count, total_fen, no = await refunds.refused(now - timedelta(days=REMIND_DAYS), now - timedelta(days=1))
    if count:
        said = reply("payment/refunds_refused", count=count, total_fen=total_fen, no=no)
        day = now.astimezone(ZoneInfo(figures.zone)).date().isoformat()
        for who in await staff.on_duty(Role.MANAGER):
            post.tell(who, said, key=f"refused:{day}:{who}", patient=True)
    return SILENT


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
