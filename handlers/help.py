"""What one can do now, what the shop says to what is no words, and how a question is left."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from handlers.asking import Intent, remembered, slot_of
from handlers.intents import (
    AskBack,
    BeyondList,
    Browse,
    CancelQuestion,
    ChangeOrder,
    DropCommand,
    Groups,
    Help,
    ListGone,
    ListOrders,
    MySubscriptions,
    NotOffered,
    Person,
    Search,
    ShowAddress,
    Silent,
    Simple,
    StrangeThing,
    Subscribe,
    TakeOffer,
)
from handlers.replies import Choice, Question, Reply, reply
from handlers.routing import Hearing, shop
from models.aftersale import CHANGE_OF_MIND
from models.aftersaleglance import CaseGlance
from models.catalog import Catalog
from models.figures import Figures
from models.follower import Me
from models.order import OrderPlaced
from models.orderglance import OrderGlance
from models.staff import Role, StaffGlance
from models.talk import Talking
from models.words import asks

ALONE = 10  # a number of this size that is no line may be a price
MY_DATA = "我的数据"
REMINDERS = ("到货提醒", "降价提醒")
_CODE = r"(?:\s?(?P<product>a[0-9]{1,5}))?"
_NOT_YET = (
    ("评价", re.compile(r"评价(?!\w*[怎哪])|review ")),
    ("建议", re.compile(r"(?:我?建议|我?提[个一]?个?建议|suggest\b)(?!\w*[怎哪])")),
    ("优惠券", re.compile(r"(?:领|领取|claim)\s?c[0-9a-z]{1,5}$")),
    ("送礼", re.compile(r"送礼\s?a[0-9]{1,5}|附言")),
    *((what, re.compile(rf"{what}{_CODE}(?:\s?[0-9.]{{1,8}})?$")) for what in REMINDERS),
    (MY_DATA, re.compile(r"(?:导出|查看|看)?我的数据$|my data$")),
)

shop.hears("beyond", make=lambda told: BeyondList(int(told.data["n"]), int(told.data["of"])))
shop.hears("stale", make=lambda told: ListGone())
shop.hears("no", make=lambda told: CancelQuestion())
shop.hears("job", "view", make=lambda told: Silent())
shop.hears("video", "location", "link", "other", "wordless", make=lambda told: StrangeThing(told.kind))


@shop.on("帮助", "怎么用", "怎么买", "怎么下单", "怎么操作", "能做什么", "你能做什么", "菜单", "help", "?")
async def help(ask: Help, me: Me, staff: StaffGlance, talk: Talking) -> Reply | Intent:
    """The commands that make sense for this person now; asked for twice, they were too many."""
    role = await staff.role_of(me.id)
    if role > Role.ANYONE:
        return reply("help/staff", role=role.word)
    if talk.simple or talk.last == "help/help":
        return Simple()
    steps = (Choice("商品", Browse()), Choice("订单", ListOrders()), Choice("正在拼的团", Groups()))
    return reply("help/help", *steps)


@shop.on("秒杀", "限时秒杀", what="秒杀")
@shop.on("砍价 {product}", "帮砍 {code}", "帮砍", "bargain {product}", what="砍价")
@shop.on("积分", "我的积分", "points", what="积分")
@shop.on("签到", "打卡", "checkin", what="签到")
@shop.on("抽奖", "draw", what="抽奖")
@shop.on("会员", "会员卡", "level", what="会员")
@shop.on("投票", "vote", what="投票")
@shop.on("奖励", "我的奖励", "我的邀请", "invites", what="邀请奖励")
async def not_offered(ask: NotOffered, catalog: Catalog, figures: Figures, talk: Talking, now: datetime) -> Reply:
    """What other shops have and this one has not: said as it is, with what there is instead."""
    deals = sum(bool(goods.deals) for goods in catalog.goods.values())
    steps = [Choice("正在拼的团", Groups())] if deals else [Choice("商品", Browse())]
    if ask.what in REMINDERS and (goods := catalog.get(ask.product or talk.shown("product", now))) is not None:
        steps = [Choice(f"订阅 {goods.name}", Subscribe(goods.name))]
    elif ask.what == MY_DATA:
        steps = [Choice("订单", ListOrders()), Choice("地址", ShowAddress()), Choice("我的订阅", MySubscriptions())]
    free = figures.order.freight_free_from_fen
    return reply("help/not_offered", *steps, what=ask.what, deals=deals, free=free).aside()


@shop.cue(60)
def not_yet(hearing: Hearing) -> Intent | None:
    """评价 NO 5 很好喝, 建议 多进红茶, 到货提醒 A12: answered as what they are, and not searched for."""
    if asks(hearing.said):
        return None
    for what, words in _NOT_YET:
        found = words.match(hearing.said)
        if found is not None and not (what == "建议" and _asked_for_words(hearing)):
            return NotOffered(what, (found.groupdict().get("product") or "").upper())
    return None


def _asked_for_words(hearing: Hearing) -> bool:
    """建议用纸箱 may be the note, or the reason, that a question asks for."""
    asked = hearing.talk.asked(hearing.now)
    intent = remembered(asked["intent"]) if asked is not None else None
    return asked is not None and intent is not None and slot_of(type(intent), str(asked["field"])).rank == 3


@shop.on("简单点", "简单模式")
async def simple(ask: Simple, talk: Talking) -> Reply:
    """Three digits, one question at a time, until the next order."""
    talk.simple = True
    steps = (Choice("看看有什么卖", Browse()), Choice("我的订单", ListOrders()), Choice("找人帮忙", Person()))
    return reply("help/simple", *steps)


@shop.when(OrderPlaced)
async def managed(news: OrderPlaced, talk: Talking) -> None:
    """Whoever has ordered has found the way."""
    talk.simple = False


@shop.on()
async def silent(ask: Silent) -> Reply:
    """Nothing is to be said to this."""
    return reply("desk/silent").aside()


@shop.on()
async def beyond(ask: BeyondList) -> Reply | Intent:
    """A number beyond the list is asked back; the list stays."""
    if ask.answer == "yes":
        return Search(f"{ask.n}元左右")
    if ask.answer == "no":
        return reply("help/fine")
    said = reply("help/beyond", n=ask.n, of=ask.of, price=ask.n >= ALONE).aside()
    return replace(said, question=Question(ask, "answer")) if ask.n >= ALONE else said


@shop.on()
async def list_gone(ask: ListGone, talk: Talking) -> Reply:
    """A number of a list that is too old: what had brought it is not done again, its choices are offered once more."""
    meant = [remembered(one) for one in talk.offered]
    again = [Choice(label, intent) for label, intent in zip(talk.labels, meant, strict=False) if intent is not None]
    if again and len(again) == len(meant):
        return replace(reply("desk/list_stale", *again), personal=True)  # whose orders they name, is nobody else's
    return reply("help/list_gone", Choice("商品", Browse()), Choice("订单", ListOrders()))


@shop.on()
async def strange(ask: StrangeThing) -> Reply:
    """A picture, a link, a place: one friendly line."""
    return reply("help/strange", kind=ask.kind).aside()


@shop.on()
async def drop_command(ask: DropCommand, talk: Talking) -> Reply:
    """A command of staff that was shown and not confirmed is not carried out by a later 确认."""
    talk.pending = None
    return reply("help/not_done")


@shop.on("算了", "算了吧", "算啦", "不用", "不用了", "不用啦")
@shop.on("不要了", "不要啦", goods=1)
@shop.on("不想要了", goods=2)
async def cancel_question(
    ask: CancelQuestion, me: Me, talk: Talking, orders: OrderGlance, cases: CaseGlance, now: datetime
) -> Reply | Intent:
    """No, to an open question only; it never cancels an order, and says how that is done where one may be meant."""
    if talk.waiting(now) is not None:
        return DropCommand()
    asked = talk.asked(now)
    intent = remembered(asked["intent"]) if asked is not None else None
    if asked is not None and intent is not None:
        field = str(asked["field"])
        if ask.goods == 2 and isinstance(intent, AskBack) and field == "reason":  # why it goes back, not a no to that
            return intent.filled(reason=CHANGE_OF_MIND)
        takes_no = not asked["options"] and slot_of(type(intent), field).name == "yes"
        talk.drop()
        return intent.filled(**{field: "no"}) if takes_no else reply("help/never_mind")
    talk.hushed = now.timestamp()
    if talk.last == "orders/which":
        talk.drop()
    if (offer := await cases.offered_to(me.id, talk, now)) is not None and offer[1]:  # a no to what was just proposed
        return TakeOffer(offer[0].no, offer[0].place, "no")
    if ask.goods and await orders.unfinished(me.id, 1):
        return ChangeOrder()
    return reply("help/fine").aside()
