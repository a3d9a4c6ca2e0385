"""Shipping from a phone: what has to leave, and the parcel numbers under which it left."""

from __future__ import annotations

from datetime import datetime

from handlers.intents import ListToShip, Ship
from handlers.replies import Choice, Reply, ask, listing, reply
from handlers.routing import shop
from models import carrier
from models.order import Orders
from models.orderglance import OrderGlance, OrderSeen

PAGE = 4


@shop.on("待发货", "to ship")
async def to_ship(wish: ListToShip, orders: OrderGlance, now: datetime) -> Reply:
    """What is paid and has to leave, first promised first."""
    page, more = await orders.to_ship(wish.after, PAGE)
    if not page:
        return reply("admin/nothing_to_ship")
    late = sum(1 for o in page if o.promised_at is not None and o.promised_at < now)
    following = ListToShip(page[-1].no) if more else None
    said = listing("admin/to_ship", (), more=following, orders=page, late=late)
    return said.now_seen("order", page[0].no) if len(page) == 1 else said


@shop.on(
    "发货 {order} {carrier} {tracking}",
    "发货 {order} {tracking}",
    "发货 {carrier} {tracking}",
    "发货 {tracking}",
    "ship {order} {carrier} {tracking}",
    "ship {order} {tracking}",
    "ship {tracking}",
)
async def ship(wish: Ship, orders: Orders, glance: OrderGlance, now: datetime) -> Reply:
    """It left with this number; the same text again changes nothing, another number puts the first right."""
    if not wish.order:
        waiting, more = await glance.to_ship("", PAGE)
        if len(waiting) != 1 or more:
            return _which(wish, waiting)
        wish = wish.filled(order=waiting[0].no)
    name = wish.carrier
    if not name:
        fits = carrier.of_number(wish.tracking)
        if len(fits) != 1:
            options = [(n, n) for n in (fits or carrier.NAMES[:6])]
            return ask("admin/which_carrier", wish, "carrier", options=options, tracking=wish.tracking)
        name = fits[0]
    order = await orders.hold_any(wish.order)
    new = order.ship(name, wish.tracking, now)
    said = reply(
        "admin/shipped", Choice("待发货", ListToShip()), no=order.no, carrier=name, tracking=wish.tracking, new=new
    )
    return said.now_seen("order", order.no)


def _which(wish: Ship, waiting: list[OrderSeen]) -> Reply:
    if not waiting:
        return reply("admin/nothing_to_ship")
    options = [(f"{o.no} {o.words}", o.no) for o in waiting]
    return ask("admin/which_order", wish, "order", options=options, tracking=wish.tracking)
