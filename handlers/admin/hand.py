"""Money past the cashier: taken by staff for an order (收款), and given back by them (已退); four digits confirm it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from handlers.asking import Intent
from handlers.errands import CloseTrade
from handlers.intents import GiveBack, GiveBackNow, ListToShip, RemindOwed, TakeMoney, TakeMoneyNow
from handlers.replies import Choice, Post, Reply, ask, confirm, digits, reply
from handlers.routing import shop
from models import hand
from models.base import Work
from models.figures import Figures
from models.follower import Follower
from models.hand import HandGlance, NothingOwed, OtherSum
from models.order import NotNow, Orders
from models.orderglance import OrderGlance, OrderSeen
from models.payment import AttemptGlance, Attempts
from models.prices import yuan
from models.refund import Refunds
from models.refundglance import RefundGlance
from models.staff import Role, StaffRoom
from models.supplement import SupplementGlance, SupplementSeen

LINES = 6
SILENT = reply("desk/silent")


def _due(order: OrderSeen, asked: SupplementSeen | None) -> int:
    """Fen that are to be paid now: of the order, or of what a change of it costs more. Raises NotNow."""
    if order.state == "pending":
        return order.total_fen
    if asked is None or asked.state != "pending":
        raise NotNow(order=order.no, state=order.state, word=order.word, act="take")
    return asked.total_fen


@shop.on("收款 {order} {fen}", "收款 {order}", "收款", "collect {order} {fen}", "collect {order}")
async def take(
    wish: TakeMoney, orders: OrderGlance, supplements: SupplementGlance, attempts: AttemptGlance, now: datetime
) -> Reply | Intent:
    """Shows the order and its sum; nothing is paid before the four digits come."""
    if not wish.order:
        waiting = await orders.unpaid(now, LINES)
        if not waiting:
            return reply("hand/nothing_unpaid", Choice("待发货", ListToShip()))
        return ask(
            "hand/which", wish, "order", options=[(f"{o.no} {o.words} ¥{yuan(o.total_fen)}", o.no) for o in waiting]
        )
    order = await orders.any_by_no(wish.order)
    asked = await supplements.of_order(order.id)
    due_fen = _due(order, asked)
    if wish.fen and wish.fen != due_fen:
        raise OtherSum(order=order.no, due_fen=due_fen, said_fen=wish.fen)
    taking = TakeMoneyNow(order.no, due_fen)
    more = asked.what if asked is not None and order.state != "pending" else ""
    being_paid = await attempts.open_of(order.id) is not None
    return confirm(
        "hand/take", taking, digits(), order=order, due_fen=due_fen, more=more, being_paid=being_paid
    ).now_seen("order", order.no)


@shop.on()
async def take_now(
    wish: TakeMoneyNow,
    me: Follower,
    work: Work,
    orders: Orders,
    attempts: Attempts,
    figures: Figures,
    post: Post,
) -> Reply:
    """Confirmed: settled like any payment; while it may be being paid at the cashier, that is closed first."""
    await orders.of_its_group(wish.order)
    order = await orders.hold_any(wish.order)
    bill = await hand.bill_of(work, order)
    attempt = await attempts.open_for(bill)
    if attempt is not None:
        attempt.ask_next = work.now
        post.send(CloseTrade(attempt.out_trade_no), key=f"close:{attempt.out_trade_no}:hand:{attempt.asked}")
        return reply("hand/being_paid", no=order.no)
    settled = await hand.take(work, bill, wish.fen, me.id, figures)
    steps = [Choice("待发货", ListToShip())] if settled.outcome == "credited" and order.ships else []
    said = reply("hand/taken", *steps, no=order.no, fen=wish.fen, credited=settled.outcome == "credited")
    return said.now_seen("order", order.no)


@shop.on("已退 {order}", "已退", "gave back {order}")
async def give_back(wish: GiveBack, owed: HandGlance) -> Reply:
    """What is to be given back by hand; the four digits say that it has been."""
    if not wish.order:
        all_owed = await owed.owed()
        if not all_owed:
            raise NothingOwed(order="")
        if len(all_owed) > 1:
            return ask(
                "hand/which_back",
                wish,
                "order",
                options=[(f"{o.no} ¥{yuan(o.amount_fen)}", o.no) for o in all_owed[:LINES]],
            )
        wish = wish.filled(order=all_owed[0].no)
    found = await owed.owed_of(wish.order)
    if found is None:
        raise NothingOwed(order=wish.order)
    return confirm("hand/back", GiveBackNow(found.no, found.amount_fen), digits(), owed=found)


@shop.on()
async def give_back_now(wish: GiveBackNow, work: Work, orders: Orders) -> Reply:
    """Confirmed: booked, and the buyer is told."""
    order = await orders.hold_any(wish.order)
    owed = await hand.gave_back(work, order, wish.fen)
    return reply("hand/gave_back", no=owed.no, fen=owed.amount_fen)


@shop.every(minutes=1)
async def owed_by_hand(refunds: RefundGlance, now: datetime) -> Iterable[Intent]:
    """What is to be given back by hand and has not been yet."""
    return [RemindOwed(number) for number in await refunds.due(now, by_hand=True)]


@shop.on()
async def remind_owed(fact: RemindOwed, refunds: Refunds, orders: OrderGlance, staff: StaffRoom, post: Post) -> Reply:
    """Staff are told, once a day, until they say that it is done."""
    refund = await refunds.hold(fact.out_refund_no)
    if refund is None or refund.ended:
        return SILENT
    said = reply("hand/give_back", order=await orders.by_id(refund.order_id), fen=refund.amount_fen)
    for who in await staff.on_duty(Role.MANAGER):
        key = f"handback:{refund.out_refund_no}:{refunds.work.now:%Y%m%d}:{who}"
        post.tell(who, said, key=key, patient=True)
    await refunds.try_again(refund)
    return SILENT
