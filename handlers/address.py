"""Where parcels go: said in one line or piece by piece, read back in full once, masked ever after."""

from __future__ import annotations

from datetime import datetime

from handlers.asking import Intent, remembered, slot_of
from handlers.intents import Browse, PrivateWords, SetAddress, ShowAddress, ShowCart
from handlers.replies import Choice, Reply, ask, reply
from handlers.routing import Hearing, shop
from models.address import PIECES, Addresses, AddressGlance, AddressUnclear
from models.follower import Follower, Me
from models.words import has_phone, is_no, looks_like_address

LONGEST = 600  # characters of an address and its pieces


@shop.on("地址", "收货地址", "我的地址", "address")
async def show(what: ShowAddress, me: Me, addresses: AddressGlance) -> Reply:
    """The address that orders take, masked; who has none is asked for it."""
    label = await addresses.of(me.id)
    if label is None:
        return ask("address/none", SetAddress(), "line")
    return reply("address/show", Choice("换地址", SetAddress()), Choice("商品", Browse()), masked=label.masked())


@shop.on("地址 {line}", "收货地址 {line}", "换地址 {line}", "换地址", "address {line}")
async def set_address(what: SetAddress, me: Follower, addresses: Addresses, now: datetime) -> Reply:
    """An address in one line or in pieces; what is missing is asked, one thing at a time."""
    if is_no(what.more):
        return reply("address/left", Choice("商品", Browse()), Choice("购物车", ShowCart()))
    said = PIECES.join(piece for piece in (what.line, what.more) if piece)[:LONGEST]
    if not said:
        return ask("address/none", SetAddress(), "line")
    try:
        kept = await addresses.remember(me.id, said, now)
    except AddressUnclear as unclear:
        field = unclear.facts["field"]
        return ask(f"address/ask_{field}", SetAddress(line=said), "more", known=unclear.facts["known"])
    return reply("address/kept", Choice("购物车", ShowCart()), Choice("商品", Browse()), line=kept.one_line())


@shop.on()
async def private_words(what: PrivateWords) -> Reply:
    """A phone number or a place that nobody asked for: not searched, not counted as a question."""
    return reply("address/private", Choice("我的地址", ShowAddress()), Choice("商品", Browse()))


@shop.cue(90)
def pasted(hearing: Hearing) -> Intent | None:
    """A whole address that was pasted without a word is 地址, unless an open question wants one."""
    if not (has_phone(hearing.raw) and looks_like_address(hearing.raw)) or _address_asked(hearing):
        return None
    return SetAddress(line=hearing.raw)


@shop.cue(250)
def personal(hearing: Hearing) -> Intent | None:
    """Words with a phone number or an address never reach the search."""
    return PrivateWords() if has_phone(hearing.raw) or looks_like_address(hearing.raw) else None


def _address_asked(hearing: Hearing) -> bool:
    asked = hearing.talk.asked(hearing.now)
    intent = remembered(asked["intent"]) if asked else None
    return asked is not None and intent is not None and slot_of(type(intent), str(asked["field"])).name == "address"
