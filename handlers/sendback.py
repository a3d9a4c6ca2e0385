"""Goods on their way back: where they go and who pays for it, and the number under which they travel."""

from __future__ import annotations

import re
from datetime import datetime

from handlers.asking import Intent, remembered, slot_of
from handlers.intents import (
    AboutShop,
    Freight,
    ListCases,
    MyParcel,
    MyRefund,
    SendBack,
    ShipSomehow,
    ShowCase,
    WayOfReturn,
)
from handlers.replies import Choice, Reply, ask, listing, reply
from handlers.routing import Hearing, shop
from models import carrier
from models.aftersaleglance import CaseGlance, CaseSeen
from models.figures import Figures
from models.follower import Follower, Me
from models.orderglance import OrderGlance, Which
from models.remedy import Remedies
from models.staff import StaffRoom
from models.words import bare, unfill

PAGE = 8
_ASKS = re.compile("[?吗么呢嘛]|没|怎|哪|多久|不|别|卡|账|支付宝|身份证")
_SENT = re.compile("寄[回出走去过了]|已寄|[退发]回|退货|退件|寄给(?!我)")
_LABEL = re.compile(r"\W*(?:(?:快递|物流|运)?单号|快递|物流)?[是为]?\W*")
_OF_RETURN = (
    (
        "parcel",
        re.compile(
            "(?:退货|东西|货|应该|要|该|我|那)*(?:寄回?|发回?|邮寄?)(?:到|去|给)?(?:哪里?|哪儿|什么地方|什么地址|谁)(?:去|啊)?"
        ),
    ),
    (
        "refund",
        re.compile("(?:东西|货|要|该|我|那)*(?:退货?|退回)(?:到|去|给)?(?:哪里?|哪儿|什么地方|什么地址)(?:去|啊)?"),
    ),
    (
        "returns",
        re.compile(
            "(?:退货|寄回|退回|回寄)(?:去|来)?的?(?:收货|收件)?地址(?:是?(?:多少|什么|哪里?|在哪里?)|给我|发我|发一下|给一下)?"
            "|(?:退货|货|东西)?(?:怎么|咋|如何)(?:寄|退)回(?:去)?|(?:退货|货|东西)(?:怎么|咋|如何)寄"
        ),
    ),
    (
        "freight",
        re.compile(
            "(?:这个|那)?(?:运费|邮费|快递费|油费)(?:是|由|算|该)*(?:谁|你们|我|店家|商家|自己)(?:来)?(?:的|出|付|承担|负责|给|掏)的?"
        ),
    ),
)
OTHERWISE: dict[str, Intent] = {
    "parcel": MyParcel(),
    "refund": MyRefund(),
    "returns": AboutShop("returns"),
    "freight": Freight(),
}


@shop.on(
    "寄回 {order} {carrier} {tracking}",
    "寄回 {order} {tracking}",
    "寄回 {carrier} {tracking}",
    "寄回 {tracking}",
    "寄回",
)
async def send_back(
    wish: SendBack,
    me: Follower,
    glance: CaseGlance,
    cases: Remedies,
    orders: OrderGlance,
    staff: StaffRoom,
    figures: Figures,
    now: datetime,
) -> Reply | Intent:
    """The goods are on their way back, under this number; one that is `bare` may be asked about as well.

    Staff who wait for no number of their own have sent something out.
    """
    bought, _ = await orders.page(me.id, Which.ALL, "", PAGE) if wish.tracking else ([], False)
    if any(parcel.tracking == wish.tracking for order in bought for parcel in order.parcels):
        return MyParcel()  # it is the shop's own
    if any(order.no == wish.tracking for order in bought):  # 寄回 K7M2P9QA: which order, and no parcel's number yet
        wish = wish.filled(order=wish.tracking, tracking="")
    found = await glance.meant(me.id, wish.order, wish.line, "agreed")
    returns = [case for case in (found if isinstance(found, list) else [found]) if case.kind == "return"]
    if not returns:
        if not wish.order and await staff.role_of(me.id) >= ShipSomehow.role:
            return ShipSomehow()
        sent = await glance.meant(me.id, wish.order, wish.line, "returned")
        if not isinstance(sent, CaseSeen):
            nothing = reply("aftersale/nothing_to_return", Choice("售后进度", ListCases()))
            return MyParcel() if wish.bare else nothing
        if not wish.tracking or wish.tracking in sent.back_no:
            return ShowCase(sent.no, sent.place)
        returns = [sent]  # another number puts the first right
    if not wish.tracking:
        return ask("aftersale/which_number", wish.filled(order=returns[0].no), "tracking", case=returns[0])
    if len(returns) > 1:
        rows = [Choice(c.line, wish.filled(order=c.no, line=c.place)) for c in returns]
        return listing("aftersale/which_case", rows, order="")
    order, case = await cases.held(returns[0].id)
    fits = carrier.of_number(wish.tracking)
    name = wish.carrier or (fits[0] if len(fits) == 1 else "")
    number = f"{name} {wish.tracking}".strip()
    case.send_back(order, number, now, now + figures.waiting_for_return)
    said = reply("aftersale/on_its_way", Choice("售后进度", ShowCase(order.no)), case=returns[0], number=number)
    return said.now_seen("order", order.no)


def _wants_words(hearing: Hearing) -> bool:
    """Whether any words at all answer what is asked."""
    asked = hearing.talk.asked(hearing.now)
    intent = remembered(asked["intent"]) if asked is not None and not asked["options"] else None
    return asked is not None and intent is not None and slot_of(type(intent), str(asked["field"])).rank == 3


@shop.cue(98)
def sent_back(hearing: Hearing) -> Intent | None:
    """寄回去了 SF123…, 退货单号 SF123…, or nothing but the number."""
    found = carrier.spotted(hearing.said)
    if found is None or _wants_words(hearing):
        return None
    name, number, rest = found
    asked = hearing.talk.asked(hearing.now)
    if asked is not None and isinstance(begun := remembered(asked["intent"]), SendBack):
        return begun.filled(carrier=name, tracking=number)
    if _SENT.search(rest) and not _ASKS.search(rest):
        return SendBack("", name, number)
    known = bool(name or carrier.of_number(number))
    return SendBack("", name, number, bare=1) if known and _LABEL.fullmatch(rest) else None


@shop.cue(99)
def about_return(hearing: Hearing) -> Intent | None:
    """寄到哪里, 退货地址, 运费谁出: asked of a return, where one is under way."""
    said = bare(unfill(hearing.said))
    topic = next((topic for topic, words in _OF_RETURN if words.fullmatch(said)), "")
    return WayOfReturn(topic) if topic and not _wants_words(hearing) else None


@shop.on()
async def way_of_return(wish: WayOfReturn, me: Me, glance: CaseGlance, figures: Figures) -> Reply | Intent:
    """Where it goes and who pays for that, by the case that is open; without one it is an everyday question."""
    case = next((case for case in await glance.of_follower(me.id) if case.open and not case.sending), None)
    if case is None or (wish.topic != "freight" and case.kind != "return"):
        return OTHERWISE[wish.topic]
    if wish.topic != "freight" or (case.kind == "return" and case.state == "agreed"):
        return ShowCase(case.no, case.place)
    steps = Choice("售后进度", ShowCase(case.no, case.place))
    return reply("aftersale/who_pays", steps, case=case, service=figures.service).now_seen("order", case.no)
