"""Where parcels go: said in one line or piece by piece, read back in full once, masked ever after."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from handlers.asking import Intent, address_asked
from handlers.intents import (
    Browse,
    ChangeAddress,
    DropAddress,
    MeanAddress,
    PrivateWords,
    SendTo,
    SetAddress,
    ShowAddress,
    ShowCart,
)
from handlers.replies import Choice, Reply, ask, listing, reply
from handlers.routing import Hearing, shop
from models.address import BOOK, PIECES, Address, Addresses, AddressGlance, AddressUnclear, Kept
from models.follower import Follower, Me
from models.orderglance import OrderGlance
from models.talk import Talking
from models.words import has_phone, is_no, looks_like_address

LONGEST = 600  # characters of an address and its pieces


@shop.on("地址", "收货地址", "我的地址", "地址簿", "address")
async def show(what: ShowAddress, me: Me, addresses: AddressGlance, talk: Talking, now: datetime) -> Reply:
    """The places that orders can go to, masked; who has none is asked for one, for what waits for it already."""
    book = await addresses.book(me.id)
    if not book:
        return ask("address/none", *(address_asked(talk, now) or (SetAddress(), "line")))
    if len(book) == 1:
        masked = named(book[0])
        return reply("address/show", Choice("换地址", SetAddress()), Choice("商品", Browse()), masked=masked)
    first = next(kept.n for kept in book if kept.first)
    lines = [Choice(named(kept), MeanAddress(kept.n)) for kept in book]
    return listing("address/book", lines, Choice("加一个", SetAddress()), first=first)


def named(kept: Kept) -> str:
    """公司 张* 138****8000 浙江省杭州市西湖区***"""
    return f"{kept.title} {kept.label.masked()}".strip()


@shop.on("地址 {line}", "收货地址 {line}", "加地址 {line}", "加地址", "address {line}")
async def set_address(
    what: SetAddress,
    me: Follower,
    addresses: Addresses,
    book: AddressGlance,
    orders: OrderGlance,
    talk: Talking,
    now: datetime,
) -> Reply | Intent:
    """An address in one line or in pieces; what is missing is asked, one thing at a time.

    Where an order waits for its address, 地址 and a line is the answer to that.
    """
    if what.line and (waiting := address_asked(talk, now)) is not None and not isinstance(waiting[0], SetAddress):
        return waiting[0].filled(**{waiting[1]: what.line})
    if is_no(what.more):
        return reply("address/left", Choice("商品", Browse()), Choice("购物车", ShowCart()))
    said = PIECES.join(piece for piece in (what.line, what.more) if piece)[:LONGEST]
    if not said:
        return ask("address/another" if await book.book(me.id) else "address/none", SetAddress(), "line")
    try:
        kept = await addresses.remember(me.id, said, now)
    except AddressUnclear as unclear:
        field = unclear.facts["field"]
        return ask(f"address/ask_{field}", SetAddress(line=said), "more", known=unclear.facts["known"])
    shown = talk.shown("order", now)
    order = await orders.by_no(shown, me.id) if shown else None
    if order is not None and order.changeable and order.where and order.where != kept.masked():
        here = Choice("这一单也寄这里", ChangeAddress(order.no, f"{BOOK}{kept.n}"))  # it goes where it was to go
        return reply("address/kept", here, line=kept.one_line(), title=kept.title, order=order)
    steps = (Choice("购物车", ShowCart()), Choice("商品", Browse()))
    return reply("address/kept", *steps, line=kept.one_line(), title=kept.title, order=None)


@shop.on()
async def mean(what: MeanAddress, me: Follower, addresses: Addresses, now: datetime) -> Reply:
    """Orders go to this place of the book from now on."""
    return _meant(await addresses.mean(me.id, what.which, now))


@shop.on(
    "寄 {title}",
    "寄到 {title}",
    "寄给 {title}",
    "寄去 {title}",
    "送到 {title}",
    "发到 {title}",
    "寄 {title}吧",
    "寄到 {title}吧",
    "send to {title}",
)
async def send_to(
    what: SendTo, me: Follower, addresses: Addresses, orders: OrderGlance, now: datetime
) -> Reply | Intent:
    """寄公司: this order, if one is on screen that may still change; else the orders to come."""
    if what.order and (await orders.by_no(what.order, me.id)).changeable:
        place = await addresses.one(me.id, what.title)
        return ChangeAddress(what.order, f"{BOOK}{place.n}")
    return _meant(await addresses.mean(me.id, what.title, now))


def _meant(place: Address) -> Reply:
    steps = (Choice("购物车", ShowCart()), Choice("商品", Browse()))
    return reply("address/meant", *steps, title=place.title, masked=place.masked())


@shop.on("删地址 {which}", "删除地址 {which}", "删掉地址 {which}", "删地址", "remove address {which}")
async def drop(what: DropAddress, me: Follower, addresses: Addresses) -> Reply:
    """Strike a place out of the book; orders that were made keep theirs."""
    book = await addresses.book(me.id)
    which = what.which or (1 if len(book) == 1 else 0)
    if book and not which:
        options = [(f"{a.title} {a.masked()}".strip(), str(a.n)) for a in book]
        asked = reply("address/which", count=len(book))
        lines = tuple(Choice(label, DropAddress(int(n))) for label, n in options)
        return replace(asked, lines=lines)
    gone = await addresses.forget(me.id, which)
    return reply("address/dropped", Choice("我的地址", ShowAddress()), title=gone.title, masked=gone.masked())


@shop.on()
async def private_words(what: PrivateWords) -> Reply:
    """A phone number or a place that nobody asked for: not searched, not counted as a question."""
    return reply("address/private", Choice("我的地址", ShowAddress()), Choice("商品", Browse()))


@shop.cue(90)
def pasted(hearing: Hearing) -> Intent | None:
    """A whole address that was pasted without a word is 地址, unless an open question wants one."""
    if not (has_phone(hearing.raw) and looks_like_address(hearing.raw)) or address_asked(hearing.talk, hearing.now):
        return None
    return SetAddress(line=hearing.raw)


@shop.cue(250)
def personal(hearing: Hearing) -> Intent | None:
    """Words with a phone number or an address never reach the search."""
    return PrivateWords() if has_phone(hearing.raw) or looks_like_address(hearing.raw) else None
