"""Second thoughts told in passing: another phone, another name, a note that is said along with the word for it."""

from __future__ import annotations

import re
from dataclasses import replace

from handlers.asking import Intent, address_asked, address_begun
from handlers.intents import ChangeAddress, ChangePart, NoteOrder, PrivateWords
from handlers.replies import Choice, Reply, listing
from handlers.routing import Hearing, shop
from models.address import Label
from models.follower import Me
from models.orderglance import OrderGlance
from models.regions import Missing, parse_address
from models.words import looks_like_address

LINES = 6
_PHONE_IS = re.compile(r"(?:电话|手机|号码|联系方式).*(?:换|改|错|不对)|(?:换|改)(?:个|一下)?(?:电话|手机|号码)")
_NAME_IS = re.compile(
    r"(?:收货人|收件人|名字|姓名)"
    r"(?:(?:写错了?|填错了?|错了|不对)[,，\s]*(?:是|叫|应该?是)?|[,，\s]*(?:改成|改为|换成|换|应该是|应为))\s*"
    r"((?!什么|啥|谁|哪|别人|一下)[^\s,，。?？]{1,12}?)吧?"
)
_OTHERS = re.compile("[?？吗么呢]|客服|快递员|骑手|师傅|你们|店里|老板")  # whose number it is, or whether
_NOTE = re.compile(
    r"(?:请|麻烦|帮我|给我|帮忙|我?想|我?要)*(?P<add>[加写做留]一?个?)?备注(?:一下|下|上)?+[\s:：,，]*"
    r"(?P<words>(?![里在写错是能可怎有没改了要修删看加吧]|收到|多少|几个|还没|已经|好了|取消|清空|去掉|不要了|不用)[^?？吗]{2,})?"
)


@shop.cue(84)
def a_part(hearing: Hearing) -> Intent | None:
    """电话换了 139…, 收件人改成王五: a part of where it goes; the rest stays as it is."""
    order = hearing.talk.shown("order", hearing.now)
    asked = address_asked(hearing.talk, hearing.now)
    if asked is not None and (address_begun(asked[0]) or not isinstance(asked[0], ChangeAddress)):
        return None  # it is a part of what is being asked for
    if looks_like_address(hearing.raw) or _OTHERS.search(hearing.raw):
        return None
    if found := _NAME_IS.fullmatch(hearing.raw):
        return ChangePart(order, name=found[1])
    read = parse_address(hearing.raw) if _PHONE_IS.search(hearing.said) else None
    phone = read.known.phone if isinstance(read, Missing) else ""
    return ChangePart(order, phone=phone) if phone else None


@shop.on()
async def change_part(wish: ChangePart, me: Me, orders: OrderGlance) -> Reply | Intent:
    """The order's address with another phone or name; where no order may change it is a phone that nobody asked for."""
    found = await orders.changing(wish.order, me.id, LINES)
    if len(found) > 1:
        return listing("orders/which", [Choice(f"{o.no} {o.words}", replace(wish, order=o.no)) for o in found])
    if not found or not found[0].ships:
        return PrivateWords()
    at = found[0]
    to = Label(wish.name or at.receiver, wish.phone or at.phone, at.region, at.detail)
    return ChangeAddress(at.no, to.one_line())


@shop.cue(86)
def noted(hearing: Hearing) -> Intent | None:
    """帮我备注一下别放驿站, 加个备注 不要红的: the note is said along, or asked for."""
    found = _NOTE.fullmatch(hearing.raw)
    if not found or not (found["add"] or found["words"]):
        return None
    return NoteOrder(hearing.talk.shown("order", hearing.now), found["words"] or "")
