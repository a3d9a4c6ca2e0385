"""Second thoughts told in passing: another phone or name, a note said along, money back for goods that are named."""

from __future__ import annotations

import re
from dataclasses import replace

from handlers.asking import Intent, address_asked, address_begun
from handlers.intents import AskBack, ChangeAddress, ChangePart, NoteOrder, PrivateWords, RefundOrder
from handlers.replies import Choice, Reply, listing
from handlers.routing import Hearing, shop
from models.address import Label
from models.complaints import why
from models.follower import Me
from models.orderglance import OrderGlance
from models.regions import Missing, parse_address
from models.words import looks_like_address, unfill

LINES = 6
_PHONE_IS = re.compile(r"(?:电话|手机|号码|联系方式).*(?:换|改|错|不对)|(?:换|改)(?:个|一下)?(?:电话|手机|号码)")
_NAME_IS = re.compile(
    r"(?:收货人|收件人|名字|姓名)(?:(?:(?:写|填)?错了|不对)[,，\s]*(?:是|叫)|(?:(?:写|填)?错了?|不对)?[,，\s]*"
    r"(?:改成|改为|换成|应该是|应该叫|应为))\s*((?!什么|啥|谁|哪|别人|一下)[^\s,，。?？]{1,12}?)吧?"
)
_OTHERS = re.compile("[?？吗么呢]|客服|快递员|骑手|师傅|你们|店里|老板")  # whose number it is, or whether
_NOTE = re.compile(
    r"(?:请|麻烦|帮我|给我|帮忙|我?想|我?要)*(?P<add>[加写做留]一?个?)?备注"
    r"(?:(?:一下|下|上)[\s:：,，]*(?!吧$)(?P<along>[^?？吗]{2,})|[\s:：,，]*"
    r"(?P<words>(?![里在写错是能可怎有没改了要修删看加吧]|收到|多少|几个|还没|已经|好了|取消|清空|去掉|不要了|不用|一下|下|上)[^?？吗]{2,})?)"
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
    words = (found["along"] or found["words"] or "") if found else ""
    if not found or not (found["add"] or words):
        return None
    return NoteOrder(hearing.talk.shown("order", hearing.now), words)


# -- money back -----------------------------------------------------------------------------------------


_BACK = re.compile(
    r"(?:请|麻烦|给我|快点?|赶紧|赶快|马上|立刻|立即|现在|我要)*(?:退[钱款](?:给我?|回给?我?|还给?我?)?|把[钱款]退(?:给|回|还|还给|回给)?我?)"
    r"|我(?:要|想|还是想)退(?:了|掉|了它)"
)


_WANTS_BACK = re.compile(
    r"(?:我?(?:要|想|想要)?(?:申请)?(?:退款|退货|退钱)[\s,，:：。]*(?P<after>.+)"
    r"|(?:我?(?:要|想|想要)?把?)?(?P<before>[^,，。;；]+?)(?:那[个单]|这[个单]|的)?(?:我?(?:要|想|想要))?(?:申请)?"
    r"(?:退款|退货|退了|退掉|退一下|不想要了|不要了)(?:吧|了|哈)?)[\s。.!~]*"
)
_ALL_BACK = re.compile(r"(?:[两三几]|所有|全部|这些)(?:个|单|笔|的)?(?:订单)?(?:都|全)(?:退|不要)(?:[了掉款吧])*")
_MIND = re.compile(r"(?:因为|我|就?是|的?话|,|，|\s)*(?:买错|拍错|下错|不想要|不喜欢|不合适|用不上|等太久).{0,6}")
_NO_WISH = re.compile(
    "不退|别退|不用|不需要|取消|撤|已|收到|谁|运费|邮费|[?吗呢]|怎|如何|多久|什么|能不能|可以|支持|到账|进度|没|不能|哪"
)


@shop.cue(94)
def back_in_passing(hearing: Hearing) -> Intent | None:
    """退款 买错了, 胎菊退款, 把碧螺春退了吧: goods or a reason beside the word for it."""
    if _ALL_BACK.fullmatch(hearing.said):
        return RefundOrder()
    found = _WANTS_BACK.fullmatch(hearing.said) if not _NO_WISH.search(hearing.said) else None
    if found is None:
        return None
    if found["after"] and _MIND.fullmatch(found["after"]):
        return AskBack(words=hearing.raw[:100])
    goods = found["after"] or found["before"]  # why is still asked: 不要了 says of which, and no more
    return AskBack(words=goods[:100]) if hearing.catalog.named(goods) and not why(goods) else None


@shop.cue(55)
def money_back(hearing: Hearing) -> Intent | None:
    """把钱退给我, 快退钱, 退钱给我: the same in a hurry."""
    return RefundOrder(hearing.talk.shown("order", hearing.now)) if _BACK.fullmatch(unfill(hearing.said)) else None
