"""What a change of mind costs more: its pay link again, leaving it, and what becomes of it when nobody pays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from handlers.asking import Intent
from handlers.errands import CloseTrade
from handlers.intents import DropSupplement, EndSupplement, ListToShip, PaySupplement, ShowOrder
from handlers.replies import Choice, Post, Reply, listing, reply
from handlers.routing import shop
from models.base import Work
from models.figures import Figures
from models.follower import Follower, Me
from models.order import OrderClosed, Orders
from models.orderglance import OrderGlance, OrderSeen
from models.settlement import end
from models.staff import Role, StaffRoom
from models.supplement import SupplementGlance, SupplementOver, SupplementPaid, Supplements

LINES = 6


async def _meant(no: str, me: int, orders: OrderGlance, act: type[Intent]) -> OrderSeen | Reply:
    """The order that is named, else the only one that waits for a supplement, else a list of them."""
    if no:
        return await orders.by_no(no, me)
    found = await orders.waiting(me)
    if len(found) > 1:
        lines = [Choice(f"{o.no} {o.words}", act(order=o.no)) for o in found[:LINES]]  # type: ignore[call-arg]
        return listing("orders/which", lines)
    return found[0] if found else reply("supplement/none")


@shop.on("补差价 {order}", "补差价", "补运费 {order}", "补运费", "pay difference {order}", "pay difference")
async def pay(
    ask: PaySupplement, me: Me, orders: OrderGlance, supplements: SupplementGlance, figures: Figures, now: datetime
) -> Reply:
    """The link again, with the sum and until when."""
    found = await _meant(ask.order, me.id, orders, PaySupplement)
    if isinstance(found, Reply):
        return found
    asked = await supplements.of_order(found.id)
    see = Choice("看订单", ShowOrder(found.no))
    if asked is None:
        return reply("supplement/none", see)
    if asked.state != "pending" or asked.pay_until <= now:
        return reply("supplement/closing", see, order=found)
    url = f"{figures.public_url}/pay/{asked.pay_code}" if figures.cashier else ""
    facts = {"asked": asked, "url": url, "pay_words": figures.service.pay_words}
    said = reply("supplement/pay", Choice("不换了", DropSupplement(found.no)), order=found, **facts)
    return said.now_seen("order", found.no)


@shop.on("不换了 {order}", "不换了", "不补了 {order}", "不补了", "keep it {order}", "keep it")
async def drop(
    wish: DropSupplement, me: Follower, work: Work, glance: OrderGlance, orders: Orders, supplements: Supplements
) -> Reply:
    """The order stays as it was; somebody who may be paying this moment is waited for."""
    found = await _meant(wish.order, me.id, glance, DropSupplement)
    if isinstance(found, Reply):
        return found
    order = await orders.hold(found.no, me.id)
    asked = await supplements.open_of(order.id)
    see = Choice("看订单", ShowOrder(order.no))
    if asked is None:
        return reply("supplement/none", see)
    being_paid = await end(work, order, asked, "buyer", actor="buyer")
    if being_paid is None:
        return reply("supplement/dropped", see, order=found).now_seen("order", order.no)
    return replace(reply("supplement/closing", see, order=found), errand=CloseTrade(being_paid))


# -- when nobody pays ------------------------------------------------------------------------------------


@shop.every(minutes=1)
async def close_overdue(supplements: SupplementGlance, now: datetime) -> Iterable[Intent]:
    """Supplements whose time to pay is over."""
    return [EndSupplement(no) for no in await supplements.overdue(now)]


@shop.on()
async def overdue(
    fact: EndSupplement, work: Work, orders: Orders, supplements: Supplements, post: Post, now: datetime
) -> Reply:
    """End one: at once if nobody can be paying it, else when the cashier has said so."""
    order = await orders.hold_any(fact.order)
    asked = await supplements.open_of(order.id)
    if asked is not None and asked.payable and asked.pay_until <= now:
        number = await end(work, order, asked, "timeout")
        if number is not None:
            post.send(CloseTrade(number), key=f"close:{number}:timeout")
    return reply("desk/silent")


@shop.when(OrderClosed)
async def order_closed(news: OrderClosed, work: Work, orders: Orders, supplements: Supplements, post: Post) -> None:
    """Nothing is left to be changed: what was held is free, and whoever still pays gets it back."""
    asked = await supplements.open_of(news.order_id)
    if asked is None:
        return
    order = await orders.hold_id(news.order_id)
    await supplements.let_go(order, asked)
    number = await end(work, order, asked, "order")
    if number is not None:
        post.send(CloseTrade(number), key=f"close:{number}:order")


# -- who is told -----------------------------------------------------------------------------------------


@shop.when(SupplementPaid)
async def tell_paid(news: SupplementPaid, orders: OrderGlance, staff: StaffRoom, post: Post) -> None:
    """The buyer hears that it is changed; staff, who were told to wait, that it may leave."""
    order = await orders.by_id(news.order_id)
    facts = {"order": order, "total_fen": news.total_fen, "what": news.what}
    key = f"more:{news.supplement_id}"
    post.tell(news.follower_id, reply("supplement/paid", Choice("看订单", ShowOrder(order.no)), **facts), key=key)
    for who in await staff.on_duty(Role.CLERK):
        said = reply("supplement/for_staff", Choice("待发货", ListToShip()), **facts)
        post.tell(who, said, key=f"{key}:{who}", patient=True)


@shop.when(SupplementOver)
async def tell_over(news: SupplementOver, orders: OrderGlance, post: Post) -> None:
    """Told unless the answer to the one who wanted it has said it already, or the order itself is gone."""
    if news.cause == "timeout" or (news.cause == "buyer" and news.waited):
        order = await orders.by_id(news.order_id)
        said = reply("supplement/over", order=order, total_fen=news.total_fen, cause=news.cause)
        post.tell(news.follower_id, said, key=f"more:{news.supplement_id}:over", patient=news.cause == "timeout")
