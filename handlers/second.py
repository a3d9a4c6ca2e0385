"""Second thoughts: another address, another spec, a note, while an order is not packed; afterwards a request."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from handlers.asking import Intent, address_asked
from handlers.intents import (
    Browse,
    CancelOrder,
    ChangeAddress,
    ChangeSpec,
    DropSupplement,
    MeanAddress,
    NoteOrder,
    PayOrder,
    Person,
    PickUp,
    SendTo,
    SetAddress,
    ShowAddress,
    ShowOrder,
)
from handlers.replies import Choice, Post, Reply, ask, listing, reply
from handlers.routing import Hearing, shop
from models import amend
from models.address import (
    BOOK,
    MOST,
    PIECES,
    TITLES,
    Addresses,
    AddressGlance,
    AddressUnclear,
    Label,
    read_label,
    titled,
)
from models.base import Work
from models.figures import Figures
from models.follower import Follower
from models.order import Orders
from models.orderglance import OrderGlance, OrderSeen
from models.prices import yuan
from models.request import Requests
from models.staff import Role, StaffRoom
from models.supplement import Supplement
from models.wayback import WayBack
from models.words import has_phone, is_no, looks_like_address, numeral, plain

LONGEST = 600  # characters of an address and its pieces
LINES = 6
OVER = ("closed", "closing", "completed")
_TO_THERE = re.compile(
    r"(?:请|麻烦)?(?:帮我)?(?:把)?(?:收货)?(?:地址)?(?:改|换)(?:一下|下|个)?(?:收货)?(?:地址|寄到|寄|到|成|为|送到|[\s::,])+"
    r"|(?:收货)?地址(?:写|填|选|搞)?(?:错|不对)了?[\s,，。]*(?:应该?(?:是|寄到?)?|改成|改为|是)?[\s::]*"
)
# Who asks (寄到…多少钱, 能不能寄到…) has not said where it goes.
_ASKS = re.compile(r"[?？吗么呢]|多少钱|贵不贵|[几多][天久]|能不能|可不可|可以|行不行|要不要|邮费|运费")
# The same about the order on screen; with none it is said of the book.
_HERE = re.compile(
    r"(?:(?:寄|发|送|填|写)错了?[\s,，。]*)?(?:麻烦|请|给我|帮我|还是|都)*(?:改?寄(?![件回出])|发(?![票件货出回])|送(?![个礼货回]))(?:到|去|给|往)?"
)


def _which(found: list[OrderSeen], act: type[Intent], **said: str) -> Reply:
    lines = [Choice(f"{o.no} {o.words}", act(order=o.no, **said)) for o in found[:LINES]]  # type: ignore[call-arg]
    return listing("orders/which", lines)


def _done(template: str, order: OrderSeen, **facts: object) -> Reply:
    step = Choice("去付款", PayOrder(order.no)) if order.state == "pending" else Choice("看订单", ShowOrder(order.no))
    return reply(template, step, order=order, **facts).now_seen("order", order.no)


def _costs_more(order: OrderSeen, asked: Supplement, to: str, figures: Figures) -> Reply:
    """Nothing has changed yet: the sum, its own pay link, and until when the order waits for it."""
    steps = (Choice("不换了", DropSupplement(order.no)), Choice("看订单", ShowOrder(order.no)))
    url = f"{figures.public_url}/pay/{asked.pay_code}" if figures.cashier else ""
    facts = {"asked": asked, "to": to, "url": url, "pay_words": figures.service.pay_words}
    return reply("supplement/asked", *steps, order=order, **facts).now_seen("order", order.no)


async def _request(order: OrderSeen, what: str, words: str, staff: StaffRoom, post: Post, now: datetime) -> Reply:
    """Packed or shipped: the merchant is asked, the buyer is told that this is a request and no promise."""
    if order.state in OVER:
        return reply("second/over", Choice("看订单", ShowOrder(order.no)), Choice("人工", Person()), order=order)
    for who in await staff.on_duty(Role.CLERK):
        said = reply("second/request", order=order, what=what, words=words)
        post.tell(who, said, key=f"request:{order.no}:{what}:{who}:{now:%Y%m%d%H%M%S}")
    steps = (Choice("看订单", ShowOrder(order.no)), Choice("人工", Person()))
    return reply("second/asked", *steps, order=order, what=what, words=words)


# -- where it goes ---------------------------------------------------------------------------------------


@shop.on(
    "改地址 {order} {line}",
    "改地址 {order}",
    "改地址 {line}",
    "改地址",
    "换地址 {order} {line}",
    "换地址 {order}",
    "换地址 {line}",
    "换地址",
    "change address {order} {line}",
    "change address",
)
async def change_address(
    wish: ChangeAddress,
    me: Follower,
    work: Work,
    orders: Orders,
    glance: OrderGlance,
    addresses: Addresses,
    book: AddressGlance,
    requests: Requests,
    staff: StaffRoom,
    post: Post,
    figures: Figures,
    now: datetime,
) -> Reply | Intent:
    """For this order only; with no order that may change, it is the book's matter."""
    found = await glance.changing(wish.order, me.id, LINES)
    if len(found) > 1:
        return _which(found, ChangeAddress, line=wish.line)
    if found and found[0].pickup_code:
        return reply(
            "second/fetched", Choice("看订单", ShowOrder(found[0].no)), Choice("人工", Person()), order=found[0]
        )
    if not found or found[0].state in ("closed", "completed") or not found[0].ships:
        meant = _of_the_book(wish.line)
        if not meant.startswith(BOOK):
            several = not wish.line and len(await book.book(me.id)) > 1
            return ShowAddress() if several else SetAddress(line=wish.line)
        place = meant.removeprefix(BOOK)
        return MeanAddress(int(place)) if place.isdigit() else SendTo(place)
    order = found[0]
    wish = wish.filled(order=order.no)
    if is_no(wish.more):
        return reply("address/left", Choice("看订单", ShowOrder(order.no)))
    said = PIECES.join(piece for piece in (wish.line, wish.more) if piece)[:LONGEST]
    if not said:
        options = [(f"{k.title} {k.label.masked()}".strip(), f"{BOOK}{k.n}") for k in await book.book(me.id)]
        if not options:
            return ask("second/where", ChangeAddress(order.no), "line", order=order)
        lines = [Choice(label, ChangeAddress(order.no, value)) for label, value in options]
        asked = ask("second/where", ChangeAddress(order.no), "line", order=order)
        return replace(asked, lines=tuple(lines))
    said = _of_the_book(said)
    typed = not said.startswith(BOOK)
    if typed:
        try:
            to = read_label(titled(said)[1], Label(order.receiver, order.phone, order.region, order.detail))
        except AddressUnclear as no:
            asking = ChangeAddress(order.no, said)
            return ask(f"address/ask_{no.facts['field']}", asking, "more", known=no.facts["known"])
    else:
        place = said.removeprefix(BOOK)
        which = int(place) if place.isascii() and place.isdigit() else place
        to = (await addresses.one(me.id, which)).label
    if not order.changeable:
        held = await orders.hold(order.no, me.id)
        if held.state == "paid":
            await requests.to(held, to, figures)
        return await _request(order, "address", to.one_line(), staff, post, now)
    changed = await amend.readdress(work, await orders.hold(order.no, me.id), to, figures)
    await work.session.flush()
    after = await glance.by_no(order.no, me.id)
    where = to.one_line() if typed else to.masked()
    if changed.supplement is not None:
        return _costs_more(after, changed.supplement, where, figures)
    return _done("second/address", after, where=where, way=changed.way, was_fen=order.total_fen)


@shop.cue(85)
def to_there(hearing: Hearing) -> Intent | None:
    """改地址张三138…, 地址改成…, 帮我改寄…: without a space, too, it is the order's matter and not the book's."""
    order = hearing.talk.shown("order", hearing.now)
    asked = address_asked(hearing.talk, hearing.now)
    if asked is not None:  # what is said answers that; 改地址 … may be about the order it is asked for
        order = asked[0].order if isinstance(asked[0], ChangeAddress) else ""
        if not order:
            return None
    found = _TO_THERE.match(hearing.raw) or (_HERE.match(hearing.raw) if order else None)
    if not found or _ASKS.search(hearing.raw) or not (has_phone(hearing.raw) or looks_like_address(hearing.raw)):
        return None
    return ChangeAddress(order, hearing.raw[found.end() :])


def _of_the_book(said: str) -> str:
    """改地址 2, 换地址 爸妈: a place of the book by its number or its name; anything else is as it was said."""
    n = numeral(said.strip())
    name = TITLES.get(said.strip().removesuffix("的地址").removesuffix("地址"), "")
    return f"{BOOK}{n}" if n is not None and n <= MOST else f"{BOOK}{name}" if name else said


@shop.on("自提 {order}", "自提", "到店自提", "我自己来取", "pick up {order}", "pick up")
async def pick_up(
    wish: PickUp, me: Follower, work: Work, orders: Orders, glance: OrderGlance, figures: Figures
) -> Reply:
    """Fetched at the shop: the freight goes back, and a code is shown at the counter."""
    if not figures.order.pickup_at:
        return reply("second/no_pickup", Choice("看看商品", Browse()))
    found = [o for o in await glance.changing(wish.order, me.id, LINES) if o.ships or o.pickup_code]
    if len(found) > 1:
        return _which(found, PickUp)
    if not found:
        return reply("second/none", Choice("看看商品", Browse()))
    order, way = found[0], WayBack()
    if not order.pickup_code:
        changed = await amend.pick_up(work, await orders.hold(order.no, me.id))
        way = changed.way
        await work.session.flush()
        order = await glance.by_no(order.no, me.id)
    return _done("second/pickup", order, at=figures.order.pickup_at, way=way)


# -- what is in it ---------------------------------------------------------------------------------------


@shop.on(
    "换规格 {order} {spec}", "换规格 {order}", "换规格 {spec}", "换规格", "change spec {order} {spec}", "change spec"
)
async def change_spec(
    wish: ChangeSpec,
    me: Follower,
    work: Work,
    orders: Orders,
    glance: OrderGlance,
    staff: StaffRoom,
    post: Post,
    figures: Figures,
    now: datetime,
) -> Reply:
    """Another spec of the same goods; both stocks move in one step, the difference goes back or is asked for first."""
    found = await glance.changing(wish.order, me.id, LINES)
    if len(found) > 1:
        return _which(found, ChangeSpec, spec=wish.spec)
    if not found:
        return reply("second/none", Choice("看看商品", Browse()))
    seen = found[0]
    if seen.state in ("pending", "closing"):
        return reply("second/unpaid", Choice("取消订单", CancelOrder(seen.no)), order=seen).now_seen("order", seen.no)
    if not seen.changeable:
        return await _request(seen, "spec", wish.spec, staff, post, now)
    wish = wish.filled(order=seen.no)
    if not wish.line and len(seen.lines) > 1:
        lines = [Choice(x.words, wish.filled(line=n)) for n, x in enumerate(seen.lines[:LINES], 1)]
        return listing("second/which_line", lines, order=seen)
    order = await orders.hold(seen.no, me.id)
    rows = await orders.lines(order.id)
    line = rows[min(max(wish.line, 1), len(rows)) - 1]
    others = await amend.other_specs(work, order, line)
    if not others or order.play:
        raise amend.SpecStays(order=order.no, why="play" if order.play else "none")
    want = plain(wish.spec).replace(" ", "")
    fits = [pair for pair in others if plain(pair[1].label).replace(" ", "") == want]
    fits = fits or [pair for pair in others if len(want) > 1 and want in plain(pair[1].label).replace(" ", "")]
    if len(fits) != 1:
        options = [(f"{sku.label} ¥{yuan(sku.price_fen)}", sku.label) for _, sku in others if sku.left > 0]
        if not options:
            raise amend.SpecStays(order=order.no, why="none")
        asked = ask("second/which_spec", wish.filled(spec=""), "spec", options=options, line=line.words)
        return asked.now_seen("order", seen.no)
    goods, sku = fits[0]
    before = line.words
    changed = await amend.respec(work, order, line, sku, goods, figures)
    await work.session.flush()
    after = await glance.by_no(seen.no, me.id)
    if changed.supplement is not None:
        now_is = " ".join(part for part in (line.name, sku.label, f"×{line.quantity}") if part)
        return _costs_more(after, changed.supplement, now_is, figures)
    return _done("second/spec", after, before=before, now_is=line.words, way=changed.way)


# -- a note ----------------------------------------------------------------------------------------------


@shop.on("备注 {order} {words}", "备注 {order}", "备注 {words}", "备注", "note {order} {words}", "note {words}")
async def note(
    wish: NoteOrder,
    me: Follower,
    work: Work,
    orders: Orders,
    glance: OrderGlance,
    requests: Requests,
    staff: StaffRoom,
    post: Post,
    now: datetime,
) -> Reply:
    """A word to the merchant that stands on the packing list."""
    found = await glance.changing(wish.order, me.id, LINES)
    if len(found) > 1:
        return _which(found, NoteOrder, words=wish.words)
    if not found:
        return reply("second/none", Choice("看看商品", Browse()))
    order = found[0]
    if order.state in OVER:
        return reply("second/over", Choice("看订单", ShowOrder(order.no)), Choice("人工", Person()), order=order)
    if not wish.words:
        asked = ask("second/what_note", NoteOrder(order.no), "words", order=order, most=amend.LONGEST_NOTE)
        return asked.now_seen("order", order.no)
    if not order.changeable:
        held = await orders.hold(order.no, me.id)
        if held.state == "paid":
            await requests.noted(held, wish.words)
        return await _request(order, "note", wish.words[: amend.LONGEST_NOTE], staff, post, now)
    await amend.note(work, await orders.hold(order.no, me.id), wish.words)
    return _done("second/noted", order, words=wish.words.strip()[: amend.LONGEST_NOTE])
