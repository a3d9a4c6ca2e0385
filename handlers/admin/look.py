"""Somebody's order as staff see it, by the words that its buyer has for it: 订单 NO, 物流 NO, 改地址 NO …."""

from __future__ import annotations

from datetime import datetime

from handlers.asking import Intent
from handlers.intents import ChangeAddress, ListCases, ListToShip, LookAtOrder, Person, SendElsewhere, ShowOrder
from handlers.replies import Choice, Post, Reply, ask, reply
from handlers.routing import shop
from models import amend
from models.address import PIECES, AddressUnclear, read_label
from models.aftersaleglance import CaseGlance
from models.base import Work
from models.figures import Figures
from models.follower import Me
from models.order import NoSuchOrder, NotNow, Orders
from models.orderglance import OrderGlance
from models.refundglance import RefundGlance
from models.request import Requests
from models.staff import Role, StaffGlance

LONGEST = 600  # characters of an address and its pieces
STILL_HERE = ("pending", "forming", "paid")


@shop.refused(NoSuchOrder)
async def of_a_buyer(wish: Intent, me: Me, staff: StaffGlance, orders: OrderGlance) -> Intent | None:
    """None of one's own: whoever works here means a buyer's."""
    no = getattr(wish, "order", "")
    if not no or await staff.role_of(me.id) == Role.ANYONE:
        return None
    try:
        await orders.any_by_no(no)
    except NoSuchOrder:
        return None
    return SendElsewhere(no, wish.line, wish.more) if isinstance(wish, ChangeAddress) else LookAtOrder(no)


@shop.on()
async def look(
    wish: LookAtOrder, me: Me, staff: StaffGlance, orders: OrderGlance, refunds: RefundGlance, cases: CaseGlance
) -> Reply:
    """What is in it, where it stands, and what this one of the staff can say about it; its label says where it goes."""
    order = await orders.any_by_no(wish.order)
    role = await staff.role_of(me.id)
    seen, back = await cases.of_order(order.id), await refunds.of_order(order.id)
    steps = [Choice("售后", ListCases())] if any(case.open for case in seen) else []
    steps += [Choice("待发货", ListToShip())] if role >= Role.CLERK else []
    facts = {"cases": seen, "refunds": back, "ships": role >= Role.CLERK, "pays": role >= Role.MANAGER}
    return reply("admin/order", *steps, order=order, **facts).now_seen("order", order.no)


@shop.on()
async def send_elsewhere(
    wish: SendElsewhere,
    work: Work,
    orders: Orders,
    glance: OrderGlance,
    requests: Requests,
    figures: Figures,
    post: Post,
    now: datetime,
) -> Reply:
    """Its buyer has told the shop: another address, at no more than was paid; what is cheaper goes back."""
    order = await orders.hold_any(wish.order)
    if order.state not in STILL_HERE or not order.ships or order.tracking:
        raise NotNow(order=order.no, state=order.state, word=order.word, act="amend")
    said = PIECES.join(piece for piece in (wish.line, wish.more) if piece)[:LONGEST]
    if not said:
        return ask("second/where", wish, "line", order=order).now_seen("order", order.no)
    try:
        to = read_label(said)
    except AddressUnclear as no:
        asked = wish.filled(line=said, more="")
        return ask(f"address/ask_{no.facts['field']}", asked, "more", known=no.facts["known"])
    packed = order.packed_at is not None
    if packed:
        await requests.in_the_way(order)  # what its buyer wishes in the chat is answered first
        order.unpack(now)
    changed = await amend.readdress(work, order, to, figures, actor="staff", no_dearer=True)
    await work.session.flush()
    after = await glance.any_by_no(order.no)
    steps = (Choice("看订单", ShowOrder(after.no)), Choice("人工", Person()))
    told = reply("second/moved", *steps, order=after, way=changed.way)
    post.tell(after.follower_id, told, key=f"moved:{after.no}:{now:%Y%m%d%H%M%S}")
    facts = {"where": to.one_line(), "way": changed.way, "packed": packed}
    return reply("admin/moved", Choice("待发货", ListToShip()), order=after, **facts).now_seen("order", after.no)
