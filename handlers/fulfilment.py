"""What follows by itself: goods that do not travel, promises that end, parcels nobody confirmed, shops that cancel."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from handlers.asking import Intent
from handlers.intents import (
    BreakPromise,
    Browse,
    Person,
    ReceiveByItself,
    ReceiveOrder,
    RefundOrder,
    ShowOrder,
    TrackOrder,
    WarnPromise,
)
from handlers.replies import Choice, Post, Reply, reply
from handlers.routing import shop
from models.figures import Figures
from models.order import OrderClosed, OrderPaid, OrderReady, Orders, OrderShipped
from models.orderglance import OrderGlance, OrderSeen
from models.product import NotForSale, Products
from models.staff import Role, StaffRoom
from models.wayback import WayBackGlance

SILENT = reply("desk/silent")
HANDED = "交付"  # the product's fact that says what one gets


# -- what does not travel --------------------------------------------------------------------------------


@shop.when(OrderPaid)
async def paid(
    news: OrderPaid, orders: Orders, glance: OrderGlance, products: Products, post: Post, now: datetime
) -> None:
    """Goods that do not travel are the buyer's with the money; in a play, when it is decided."""
    if not news.play:
        await _hand_over(news.order_id, orders, glance, products, post, now)


@shop.when(OrderReady)
async def ready(
    news: OrderReady, orders: Orders, glance: OrderGlance, products: Products, post: Post, now: datetime
) -> None:
    """A group is full: what does not travel is handed over."""
    await _hand_over(news.order_id, orders, glance, products, post, now)


async def _hand_over(
    order_id: int, orders: Orders, glance: OrderGlance, products: Products, post: Post, now: datetime
) -> None:
    seen = await glance.by_id(order_id)
    virtual = [line for line in seen.lines if not line.ships]
    if not virtual or seen.state != "paid":
        return
    things = []
    for line in virtual:
        try:
            facts = (await products.get(line.code)).facts
        except NotForSale:
            facts = {}
        things.append((line.words, str(facts.get(HANDED, ""))))
    if not seen.ships and not seen.pickup_code:
        (await orders.hold_id(order_id)).deliver(now)
    said = reply("fulfilment/handed_over", Choice("看订单", ShowOrder(seen.no)), order=seen, things=things)
    post.tell(seen.follower_id, said, key=f"handed:{seen.no}")


# -- parcels ---------------------------------------------------------------------------------------------


@shop.when(OrderShipped)
async def tell_shipped(news: OrderShipped, glance: OrderGlance, post: Post) -> None:
    """The buyer hears of each parcel; a number put right is told again."""
    order = await glance.by_id(news.order_id)
    parcel = next((p for p in order.parcels if p.tracking == news.tracking), None)
    steps = [Choice("看物流", TrackOrder(order.no))]
    if not news.rest:
        steps.append(Choice("确认收货", ReceiveOrder(order.no)))
    said = reply(
        "orders/shipped",
        *steps,
        order=order,
        carrier=news.carrier,
        tracking=news.tracking,
        inside=parcel.words if parcel and len(order.parcels) > 1 else (),
        rest=[line.words for line in order.waiting],
    )
    post.tell(news.follower_id, said, key=f"shipped:{news.no}:{news.tracking}", patient=True)


@shop.every(minutes=30)
async def receiving(orders: OrderGlance, figures: Figures, now: datetime) -> Iterable[Intent]:
    """Orders that left so long ago that they count as received."""
    return [ReceiveByItself(no) for no in await orders.to_receive(now - timedelta(days=figures.order.receive_days))]


@shop.on()
async def receive_by_itself(fact: ReceiveByItself, orders: Orders, figures: Figures, now: datetime) -> Reply:
    """Nobody said otherwise: the goods have arrived."""
    order = await orders.hold_any(fact.order)
    long_ago = now - timedelta(days=figures.order.receive_days)
    if order.state == "shipped" and order.shipped_at is not None and order.shipped_at <= long_ago:
        order.receive(now, actor="house")
    return SILENT


# -- promises --------------------------------------------------------------------------------------------


@shop.every(minutes=5)
async def promises(orders: OrderGlance, figures: Figures, now: datetime) -> Iterable[Intent]:
    """Promises that are broken, and those that soon will be."""
    broken = await orders.broken(now)
    soon = await orders.to_warn(now + timedelta(hours=figures.order.promise_warn_hours))
    return [*(BreakPromise(no) for no in broken), *(WarnPromise(no) for no in soon if no not in broken)]


@shop.on()
async def warn(
    fact: WarnPromise, orders: Orders, glance: OrderGlance, staff: StaffRoom, post: Post, now: datetime
) -> Reply:
    """Staff hear of it while it can still be kept."""
    order = await orders.hold_any(fact.order)
    if order.state == "paid" and not order.promise_warned:
        order.promise_warned = True
        await _tell_staff("fulfilment/promise_soon", await glance.by_id(order.id), staff, post)
    return SILENT


@shop.on()
async def break_promise(
    fact: BreakPromise,
    orders: Orders,
    glance: OrderGlance,
    staff: StaffRoom,
    post: Post,
    figures: Figures,
    now: datetime,
) -> Reply:
    """The buyer is told first, with a new time and the way to the money; then staff."""
    order = await orders.hold_any(fact.order)
    due = order.promised_again or order.promised_at
    if order.state != "paid" or due is None or due > now:
        return SILENT
    order.break_promise(now + timedelta(hours=figures.order.promise_again_hours), now)
    await orders.session.flush()
    seen = await glance.by_id(order.id)
    steps = (Choice("想退款", RefundOrder(order.no)), Choice("人工", Person()))
    said = reply("fulfilment/promise_broken", *steps, order=seen)
    post.tell(order.follower_id, said, key=f"broken:{order.no}:{due:%Y%m%d%H%M}", patient=True)
    await _tell_staff("fulfilment/promise_late", seen, staff, post)
    return SILENT


async def _tell_staff(template: str, order: OrderSeen, staff: StaffRoom, post: Post) -> None:
    for who in await staff.on_duty(Role.CLERK):
        key = f"{template.rpartition('/')[2]}:{order.no}:{order.leaves_at:%Y%m%d%H%M}:{who}"
        post.tell(who, reply(template, order=order), key=key, patient=True)


# -- the shop cancels ------------------------------------------------------------------------------------


@shop.when(OrderClosed)
async def tell_cancelled(news: OrderClosed, glance: OrderGlance, ways: WayBackGlance, post: Post) -> None:
    """The shop could not keep it: the buyer hears why, and that the money is on its way."""
    cause, _, why = news.cause.partition(":")
    if cause == "seller":
        facts = {
            "order": await glance.by_id(news.order_id),
            "way": await ways.owed(news.order_id, "seller"),
            "why": why,
        }
        said = reply("fulfilment/seller_cancelled", Choice("再看看别的", Browse()), **facts)
        post.tell(news.follower_id, said, key=f"closed:{news.no}")
