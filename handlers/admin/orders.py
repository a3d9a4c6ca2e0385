"""Shipping from a phone: what has to leave, its labels, the parcels in which it left; and orders the shop cancels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from handlers.asking import Intent
from handlers.errands import CloseTrade
from handlers.intents import (
    HandOut,
    KeepAsIs,
    ListToShip,
    Person,
    PickList,
    SellerCancel,
    SellerCancelNow,
    Ship,
    ShipSomehow,
    ShowLabel,
)
from handlers.replies import Choice, Post, Reply, ask, confirm, digits, listing, reply
from handlers.routing import Hearing, shop
from models import carrier
from models.aftersaleglance import CaseGlance
from models.figures import Figures
from models.order import UNPAID, NotNow, Orders
from models.orderglance import OrderGlance, OrderSeen
from models.parcel import Parcels
from models.payment import Attempts
from models.refund import Refunds
from models.remedy import Remedies
from models.request import ChangeRequest, NothingAsked, RequestGlance, Requests
from models.staff import Role
from models.wayback import WayBack, WayBackGlance

PAGE, MANY = 4, 8
WISHES = 3
PICKS, NOTES = 10, 3
_SHIP = re.compile(
    r"发货(?:[\s:]*(?P<no>(?=[a-z]*[0-9])(?=[0-9]*[a-z])[2-9a-hjkmnp-z]{8})(?![0-9a-z])|\s+[^?吗么呢没了]+$)"
)


@shop.on("发货", "待发货", "to ship")
async def to_ship(
    wish: ListToShip, orders: OrderGlance, requests: RequestGlance, cases: CaseGlance, now: datetime
) -> Reply:
    """What is paid and has to leave, first promised first; above it what buyers wish of orders that are packed.

    What is wanted back says so, and what is sent again stands below.
    """
    page, more = await orders.to_ship(wish.after, PAGE)
    wishes, count = await requests.waiting(WISHES)
    again = [] if wish.after else await cases.to_resend(PAGE)
    wanted = await cases.open_in([order.id for order in page])
    if not page and not again:
        return reply("admin/nothing_to_ship")
    late = sum(1 for o in page if o.promised_at is not None and o.promised_at < now)
    following = ListToShip(page[-1].no) if more else None
    facts = {"orders": page, "late": late, "wishes": wishes, "count": count, "wanted": wanted, "again": again}
    said = listing("admin/to_ship", (), more=following, **facts)
    only = [order.no for order in page] + [case.no for case in again]
    return said.now_seen("order", only[0]) if len(only) == 1 else said


@shop.on("面单 {order}", "打单 {order}", "面单", "打单", "label {order}")
async def label(
    wish: ShowLabel,
    orders: Orders,
    requests: Requests,
    glance: OrderGlance,
    cases: CaseGlance,
    figures: Figures,
    post: Post,
    now: datetime,
) -> Reply:
    """One order's label to copy; from now on its buyer's changes are requests, and opening it again grants them."""
    if not wish.order:
        waiting, _ = await glance.to_ship("", PAGE)
        if len(waiting) != 1:
            return _which(wish, waiting, "admin/which_label")
        wish = wish.filled(order=waiting[0].no)
    order = await orders.hold_any(wish.order)
    wishes: Sequence[ChangeRequest] = ()
    if order.state not in ("paid", "shipped", "completed"):
        raise NotNow(order=order.no, state=order.state, word=order.word, act="ship")
    if order.state == "paid":
        wishes, changed = await requests.grant(order, figures)
        order.pack(now)
        await orders.session.flush()
    seen = await glance.any_by_no(order.no)
    if wishes:
        kinds = [one.kind for one in wishes]
        said = reply("second/granted", order=seen, kinds=kinds, way=changed.way if changed else WayBack())
        post.tell(order.follower_id, said, key=f"granted:{wishes[0].id}:{now:%Y%m%d%H%M%S}", patient=True)
    new = [one.kind for one in wishes]
    wanted = (await cases.open_in([seen.id])).get(seen.id, [])
    said = reply("admin/label", Choice("待发货", ListToShip()), order=seen, new=new, wanted=wanted)
    return said.now_seen("order", order.no)


@shop.on("不改 {order} {reason}", "不改 {order}", "不改 {reason}", "不改", "keep {order} {reason}", "keep {order}")
async def keep_as_is(
    wish: KeepAsIs,
    orders: Orders,
    requests: Requests,
    wished: RequestGlance,
    glance: OrderGlance,
    post: Post,
    now: datetime,
) -> Reply:
    """What its buyer wishes comes too late: it goes as it was, and the buyer hears so."""
    if not wish.order:
        numbers = list(dict.fromkeys(one.no for one in (await wished.waiting(MANY))[0]))
        if not numbers:
            raise NothingAsked(order="")
        if len(numbers) > 1:
            return ask("orders/which", wish, "order", options=[(no, no) for no in numbers])
        wish = wish.filled(order=numbers[0])
    order = await orders.hold_any(wish.order)
    wishes = await requests.refuse(order)
    said = reply(
        "second/kept",
        Choice("人工", Person()),
        order=await glance.by_id(order.id),
        kinds=[one.kind for one in wishes],
        why=wish.reason.strip()[:40],
    )
    post.tell(order.follower_id, said, key=f"kept:{wishes[0].id}:{now:%Y%m%d%H%M%S}")
    return reply("admin/kept", Choice("待发货", ListToShip()), no=order.no).now_seen("order", order.no)


@shop.on(
    "发货 {order} {carrier} {tracking} 行 {lines}",
    "发货 {order} {tracking} 行 {lines}",
    "发货 {order} {carrier} {tracking}",
    "发货 {order} {tracking}",
    "发货 {carrier} {tracking}",
    "发货 {tracking}",
    "ship {order} {carrier} {tracking} lines {lines}",
    "ship {order} {tracking} lines {lines}",
    "ship {order} {carrier} {tracking}",
    "ship {order} {tracking}",
    "ship {tracking}",
)
async def ship(
    wish: Ship, orders: Orders, parcels: Parcels, requests: Requests, glance: OrderGlance, cases: Remedies
) -> Reply | Intent:
    """A parcel left with this number; the same text again changes nothing, another number puts the first right.

    Not while its buyer's other address waits to be seen, nor what its buyer wants back. An order's number is none of
    a parcel: 发货 K7M2P9QA lacks one.
    """
    if await glance.is_number(wish.tracking):
        return ShipSomehow(wish.tracking)
    if not wish.order:
        waiting, more = await glance.to_ship("", PAGE)
        if len(waiting) != 1 or more:
            return _which(wish, waiting, "admin/which_order", tracking=wish.tracking)
        wish = wish.filled(order=waiting[0].no)
    name = wish.carrier
    if not name:
        fits = carrier.of_number(wish.tracking)
        if len(fits) != 1:
            options = [(n, n) for n in (fits or carrier.NAMES[:6])]
            return ask("admin/which_carrier", wish, "carrier", options=options, tracking=wish.tracking)
        name = fits[0]
    order = await orders.hold_any(wish.order)
    if order.state == "paid":
        await requests.in_the_way(order)
    places = sorted({int(n) for n in wish.lines.replace(",", " ").replace("、", " ").split()})
    await cases.stop_shipping(order, tuple(places))
    facts = {"no": order.no, "carrier": name, "tracking": wish.tracking}
    if order.state != "paid" and (again := await cases.send_again(order, name, wish.tracking)) is not None:
        said = reply("aftersale/sent_again", Choice("待发货", ListToShip()), words=again, **facts)
        return said.now_seen("order", order.no)
    sent = await parcels.send(order, name, wish.tracking, places)
    said = reply("admin/shipped", Choice("待发货", ListToShip()), sent=sent, split=bool(places or sent.rest), **facts)
    return said.now_seen("order", order.no)


@shop.on("拣货", "拣货单", "picking")
async def pick(wish: PickList, orders: OrderGlance) -> Reply:
    """What to take off the shelf for all that has to leave, summed by spec, and what its buyers ask to mind."""
    picks, notes = await orders.picking()
    if not picks:
        return reply("admin/nothing_to_ship")
    facts = {"picks": picks[:PICKS], "more": len(picks) - PICKS, "notes": notes[:NOTES], "others": len(notes) - NOTES}
    return reply("admin/picking", Choice("待发货", ListToShip()), **facts)


@shop.cue(60)
def somehow(hearing: Hearing) -> Intent | None:
    """发货 and something that does not read: said so, and how it is written, instead of searched."""
    if hearing.role < Role.CLERK or hearing.tapped:
        return None
    found = _SHIP.match(hearing.said)
    return ShipSomehow((found["no"] or "").upper()) if found else None


@shop.on()
async def ship_somehow(wish: ShipSomehow) -> Reply:
    """Nothing has left."""
    return reply("admin/ship_how", Choice("待发货", ListToShip()), no=wish.order)


def _which(wish: Intent, waiting: list[OrderSeen], template: str, **facts: object) -> Reply:
    """Which of those that have to leave is meant."""
    if not waiting:
        return reply("admin/nothing_to_ship")
    options = [(f"{o.no} {o.words}", o.no) for o in waiting]
    return ask(template, wish, "order", options=options, **facts)


@shop.on("核销 {code}", "核销", "hand out {code}")
async def hand_out(wish: HandOut, orders: Orders, glance: OrderGlance, cases: Remedies, now: datetime) -> Reply:
    """Its buyer stands at the counter and shows the code: it is theirs now."""
    if not wish.code:
        return ask("admin/which_code", HandOut(), "code")
    order = await orders.by_pickup_code(wish.code)
    new = order.state == "paid"
    if new:
        await cases.stop_shipping(order)
        order.deliver(now, "picked up", actor="staff")
    return reply("admin/handed_out", order=await glance.by_id(order.id), new=new).now_seen("order", order.no)


# -- the shop cannot keep it -----------------------------------------------------------------------------


@shop.on(
    "取消 {order} {reason}", "退单 {order} {reason}", "退单 {order}", "退单", "void {order} {reason}", "void {order}"
)
async def seller_cancel(wish: SellerCancel, orders: OrderGlance, ways: WayBackGlance) -> Reply:
    """Shows what goes back to whom; four digits confirm it."""
    if not wish.order:
        return _which(wish, (await orders.to_ship("", PAGE))[0], "orders/which")
    order = await orders.any_by_no(wish.order)
    _cancellable(order)
    way = await ways.coming(order.id)
    now = SellerCancelNow(order.no, wish.reason.strip()[:40])
    return confirm("admin/cancel", now, digits(), order=order, way=way, reason=now.reason)


def _cancellable(order: OrderSeen) -> None:
    if order.state not in ("pending", "paid") or order.tracking:
        raise NotNow(order=order.no, state=order.state, word=order.word, act="cancel")


@shop.on()
async def seller_cancel_now(
    wish: SellerCancelNow,
    orders: Orders,
    glance: OrderGlance,
    attempts: Attempts,
    refunds: Refunds,
    ways: WayBackGlance,
    post: Post,
    now: datetime,
) -> Reply:
    """Confirmed: the goods return to the shelf, what was paid goes back, the buyer is told."""
    order = await orders.hold_any(wish.order)
    _cancellable(await glance.by_id(order.id))
    cause = f"seller:{wish.reason}"
    if order.state in UNPAID:
        attempt = await attempts.open_of(order.id)
        if attempt is None:
            await orders.close(order, cause, actor="staff")
        else:
            order.begin_closing(cause, now, actor="staff")
            post.send(CloseTrade(attempt.out_trade_no), key=f"close:{attempt.out_trade_no}:seller")
    else:
        await orders.undo(order, cause, actor="staff")
        await refunds.owe_all(order.id, "seller", now)
    way = await ways.owed(order.id, "seller")
    return reply("admin/cancelled", Choice("待发货", ListToShip()), no=order.no, way=way, state=order.state)
