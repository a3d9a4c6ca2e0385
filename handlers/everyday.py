"""Everyday questions: what is mine is answered from my orders, what is the shop's from its own answers."""

from __future__ import annotations

import re
from datetime import datetime

from handlers.asking import Intent, remembered
from handlers.data import topics
from handlers.intents import (
    AboutShop,
    Anger,
    AskBack,
    Browse,
    CancelOrder,
    Care,
    ChangeAddress,
    ChangeOrder,
    ChangeSpec,
    Discounts,
    Freight,
    Groups,
    Health,
    InviteCard,
    LateParcel,
    LeaveGroup,
    ListOrders,
    MyGroups,
    MyParcel,
    MyPayment,
    MyRefund,
    NoteOrder,
    PayOrder,
    Person,
    ProductFacts,
    RefundOrder,
    SaysPaid,
    ShowCase,
    ShowOrder,
    SmallTalk,
    TrackOrder,
)
from handlers.replies import Choice, Post, Reply, reply
from handlers.routing import Hearing, shop
from models.aftersaleglance import CaseGlance
from models.answer import AnswerGlance
from models.base import ORDER_NO
from models.figures import Figures
from models.follower import Follower, Me
from models.order import UNPAID
from models.orderglance import OrderGlance, OrderSeen, Which, with_goods
from models.promise import PromiseGlance
from models.refundglance import RefundGlance
from models.staff import Role, StaffRoom
from models.supplement import SupplementGlance
from models.talk import Talking
from models.words import is_no, is_yes

TOPICS = topics()
# What each topic of the data file is asked by; the shop's own answers by the name under which they are kept.
MINE: dict[str, Intent] = {
    "my_refund": MyRefund(),
    "freight": Freight(),
    "discounts": Discounts(),
    "anger": Anger(),
    "share": InviteCard(),
}
SHOPS = {
    "carrier": "快递",
    "delivery_time": "发货时间",
    "regions": "偏远",
    "returns": "退换",
    "shop_phone": "电话",
    "shop_where": "地址",
    "shop_hours": "营业时间",
    "invoice": "发票",
    "licence": "执照",
    "who_answers": "",
    "pay_ways": "",
    "group_rules": "",
}
_FETCH = re.compile(r"自提|到店取|上门取")
# What a second thought is about, tried in this order.
SUBJECTS = (
    ("address", re.compile(r"地址|门牌|楼号|收货|收件|电话|手机|名字|改寄|寄到")),
    ("spec", re.compile(r"规格|口味|大包|大份|小包|小份|换成|换大|换小")),
    ("note", re.compile(r"备注")),
    ("back", re.compile(r"退(?!团|出)|换货|能换|可以换")),
)
# Where one sentence says several things, the part that is meant: 菊花不要了，碧螺春照发.
_PARTS = re.compile(r"[,，。;；!！?？\n]+")
_CHANGES = re.compile(r"不要|不想要|不买|退|取消|换|改|错")
_CANCEL_THAT = re.compile(
    r"(?:我要|我想|帮我|麻烦|请|把)*取消(?!.*(?:订阅|推送|关注|提醒|通知|团))(.+?)(?:[那这][个单])?的?(?:订单)?[吧了]?"
)
_NUMBER = re.compile(ORDER_NO)
PAGE = 8
BACK = 3  # refunds that are told at once


def _goods(hearing: Hearing) -> str:
    """What a sentence names an order by: its number, else the codes of goods, in the part that wants a change first."""
    if number := _NUMBER.search(hearing.said):
        return number[0].upper()
    parts = [part for part in _PARTS.split(hearing.said) if _CHANGES.search(part)]
    return " ".join(next(filter(None, map(hearing.catalog.named, (*parts, hearing.said))), ()))


def _intent(topic: str, hearing: Hearing) -> Intent:
    if topic == "change_order":
        return ChangeOrder(next((what for what, words in SUBJECTS if words.search(hearing.said)), ""), _goods(hearing))
    if topic == "my_parcel":
        return MyParcel(_goods(hearing))
    if topic == "my_payment":
        return MyPayment(_goods(hearing))
    if topic == "care":
        return Care(hearing.raw[:60])
    if topic in ("regions", "return_freight") or (topic == "freight" and _FETCH.search(hearing.said)):
        return Freight("pickup" if topic == "freight" else topic)
    if topic == "something_wrong":
        return AskBack(words=hearing.raw[:100])
    if topic in MINE:
        return MINE[topic]
    shown = hearing.talk.shown("product", hearing.now)
    if topic == "product_facts":
        return ProductFacts(shown, hearing.said[:60])
    if topic == "health":
        return Health(shown, hearing.said[:60])
    if topic == "ok":  # 好 may answer what the shop has proposed; 我想想 and 收到 do not
        return SmallTalk(topic, "yes" if is_yes(hearing.said) else "no" if is_no(hearing.said) else "")
    return AboutShop(topic) if topic in SHOPS else SmallTalk(topic)


@shop.cue(100)
def everyday(hearing: Hearing) -> Intent | None:
    """A sentence that is one of the everyday questions, before anything is searched."""
    found = TOPICS.match(hearing.said, hearing.catalog.index.words)
    if found is None:
        return SmallTalk("ok", "no") if is_no(hearing.said) else None
    return _intent(found.name, hearing)


@shop.cue(98)
def cancel_that(hearing: Hearing) -> Intent | None:
    """取消碧螺春那单: what can still be done with the order that has it."""
    found = _CANCEL_THAT.fullmatch(hearing.said)
    goods = hearing.catalog.named(found[1]) if found else []
    return ChangeOrder("", " ".join(goods)) if goods else None


async def _newest(orders: OrderGlance, me: Me, shown: str, among: Which, goods: str = "") -> OrderSeen | None:
    """The one that is named by its number, one with the goods that are named; else the one on screen, if it is among
    these; else the newest that is under way, unpaid, or anything."""
    if _NUMBER.fullmatch(goods.lower()):
        return await orders.by_no(goods, me.id)
    page, _ = await orders.page(me.id, among, "", PAGE)
    named = with_goods(page, goods.split())
    on_screen = next((o for o in named or page if o.no == shown), None)
    if on_screen is not None or named:
        return on_screen or named[0]
    for which in (Which.UNDER_WAY, Which.UNPAID, Which.ALL):
        page, _ = await orders.page(me.id, which, "", 1)
        if page:
            return page[0]
    return None


@shop.on()
async def parcel(ask: MyParcel, me: Me, orders: OrderGlance, talk: Talking, now: datetime) -> Reply | Intent:
    """State, promised time, number alone on its line; of several, the one that is late."""
    shown = talk.shown("order", now)
    broken = [] if shown or ask.goods else [o for o in await orders.unfinished(me.id, PAGE) if o.promised_again]
    order = await _newest(orders, me, broken[0].no if broken else shown, Which.UNDER_WAY, ask.goods)
    if order is None:
        return reply("everyday/no_order", Choice("商品", Browse())).aside()
    if order.waiting and order.state == "paid" and order.promised_at is not None and order.promised_at < now:
        return LateParcel(order.no)
    if order.state in ("paid", "shipped") and order.parcels and (len(order.parcels) > 1 or order.waiting):
        return TrackOrder(order.no)
    steps = [Choice("看这个订单", ShowOrder(order.no))]
    _, more = await orders.page(me.id, Which.UNDER_WAY, "", 1)
    if more:
        steps.append(Choice("别的在走的订单", ListOrders(Which.UNDER_WAY.value)))
    if order.state in UNPAID:
        steps.insert(0, Choice("去付款", PayOrder(order.no)))
    said = reply("everyday/parcel", *steps, order=order).now_seen("order", order.no)
    return _meanwhile(said, talk, now)


def _meanwhile(said: Reply, talk: Talking, now: datetime) -> Reply:
    """What is asked in between leaves open what the shop has asked."""
    return said.aside() if talk.asked(now) is not None else said


@shop.on()
async def late(
    ask: LateParcel, me: Follower, orders: OrderGlance, staff: StaffRoom, talk: Talking, post: Post, now: datetime
) -> Reply:
    """The promise is broken: an apology, the merchant is told (once a day), and the money back is offered."""
    order = await orders.by_no(ask.order, me.id)
    for one in await staff.on_duty(Role.CLERK):
        post.tell(one, reply("everyday/late_parcel", order=order), key=f"late:{order.no}:{one}:{now:%Y%m%d}")
    steps = (
        Choice("看这个订单", ShowOrder(order.no)),
        Choice("想退款", RefundOrder(order.no)),
        Choice("人工", Person()),
    )
    return _meanwhile(reply("everyday/late", *steps, order=order).now_seen("order", order.no), talk, now)


@shop.on()
async def payment(
    ask: MyPayment, me: Me, orders: OrderGlance, refunds: RefundGlance, talk: Talking, figures: Figures, now: datetime
) -> Reply | Intent:
    """Whether it has been paid."""
    order = await _newest(orders, me, talk.shown("order", now), Which.ALL, ask.goods)
    if order is None:
        return reply("everyday/no_order", Choice("商品", Browse())).aside()
    if order.state == "closed" and (order.paid_at is not None or await refunds.of_order(order.id)):
        return MyRefund()
    unpaid = order.state in UNPAID
    if not figures.cashier and (order.state == "pending" or order.waits_until is not None):
        return SaysPaid(order.no)
    step = Choice("去付款", PayOrder(order.no)) if unpaid else Choice("看这个订单", ShowOrder(order.no))
    said = reply("everyday/payment", step, order=order, unpaid=unpaid).now_seen("order", order.no)
    return _meanwhile(said, talk, now)


@shop.on()
async def says_paid(
    ask: SaysPaid,
    me: Follower,
    orders: OrderGlance,
    supplements: SupplementGlance,
    staff: StaffRoom,
    post: Post,
    now: datetime,
) -> Reply:
    """Paid to the shop itself, and only the shop can tell: staff are asked to look, once an hour."""
    order = await orders.by_no(ask.order, me.id)
    more = await supplements.of_order(order.id) if order.state != "pending" else None
    facts = {"order": order, "fen": more.total_fen if more else order.total_fen}
    for one in await staff.on_duty(Role.MANAGER):
        key = f"sayspaid:{order.no}:{facts['fen']}:{one}:{now:%Y%m%d%H}"
        post.tell(one, reply("everyday/customer_paid", **facts), key=key)
    until = more.pay_until if more else order.pay_until
    said = reply("everyday/says_paid", Choice("怎么付", PayOrder(order.no)), until=until, **facts)
    return said.now_seen("order", order.no)


@shop.on()
async def refund(ask: MyRefund, me: Me, refunds: RefundGlance, cases: CaseGlance) -> Reply | Intent:
    """Where the money is: amount, state, way back, days, the newest first; or what is being done about it."""
    back = await refunds.of_follower(me.id, BACK)
    case = next((case for case in await cases.of_follower(me.id, 1) if case.open), None)
    if case is not None and not back:
        return ShowCase(case.no, case.place)
    steps = (Choice("订单", ListOrders()), Choice("人工", Person()))
    return reply("everyday/refund", *steps, back=back).aside()


@shop.on()
async def change(ask: ChangeOrder, me: Me, orders: OrderGlance, talk: Talking, now: datetime) -> Reply | Intent:
    """A second thought: straight to what is to be changed, else what can still be done with the order."""
    order = await _newest(orders, me, talk.shown("order", now), Which.ALL, ask.goods)
    if order is None:
        return reply("everyday/no_order", Choice("商品", Browse())).aside()
    meant = order.no if order.no == ask.goods or with_goods([order], ask.goods.split()) else talk.shown("order", now)
    wishes = {"address": ChangeAddress(meant), "spec": ChangeSpec(meant), "note": NoteOrder(meant)}
    if ask.what in wishes and order.state not in ("closed", "completed"):
        return wishes[ask.what]
    if ask.what == "back" and order.state in ("shipped", "completed"):
        asked = talk.asked(now)
        begun = remembered(asked["intent"]) if asked is not None else None
        return begun if isinstance(begun, AskBack) else RefundOrder(order.no)  # what is asked already is asked again
    steps = [Choice("看这个订单", ShowOrder(order.no)), Choice("人工", Person())]
    if order.state == "pending":
        steps = [Choice("取消订单", CancelOrder(order.no)), Choice("去付款", PayOrder(order.no))]
    elif order.state == "forming":
        steps.insert(0, Choice("退团", LeaveGroup(word="look")))
    elif order.state in ("paid", "shipped"):
        steps.insert(0, Choice("想退款", RefundOrder(order.no)))
    said = reply("everyday/change", *steps, order=order, unpaid=order.state in UNPAID)
    return said.now_seen("order", order.no)


@shop.on()
async def care(ask: Care, me: Me, orders: OrderGlance) -> Reply:
    """千万别压坏了: a wish and no complaint; who packs it reads it, if it is written on the order."""
    order = next((o for o in await orders.unfinished(me.id, PAGE) if o.changeable), None)
    steps = [Choice("写进备注", NoteOrder(order.no, ask.words))] if order is not None and not order.note else []
    return reply("everyday/care", *steps, order=order).aside()


@shop.on()
async def about(
    ask: AboutShop, answers: AnswerGlance, promises: PromiseGlance, figures: Figures, now: datetime
) -> Reply:
    """The shop's own answer; when things leave, its promise goes before what was once written about it."""
    if ask.topic == "delivery_time":
        rule = await promises.now(figures)
        if rule.resting(now) or rule.cutoff or rule.hours != figures.order.promise_hours:
            return reply("everyday/leaves", rule=rule, resting=rule.resting(now)).aside()
    if ask.topic == "pay_ways":
        return reply("everyday/pay_ways", cashier=figures.cashier, pay_words=figures.service.pay_words).aside()
    if ask.topic == "group_rules":
        return reply("everyday/group_rules", Choice("看看能拼什么", Groups()), Choice("我的团", MyGroups())).aside()
    if ask.topic == "who_answers":
        return reply("everyday/who_answers").aside()
    words = await answers.of(SHOPS.get(ask.topic, "")) if ask.topic in SHOPS else ""
    if not words and ask.topic == "shop_phone":
        words = figures.service.phone
    if not words and ask.topic == "shop_hours":
        words = f"每天 {figures.service.hours.replace('-', '–')} 有人回您。"
    if not words:
        return reply("everyday/unknown", Choice("人工", Person())).aside()
    return reply("everyday/about", words=words, page="licence" if ask.topic == "licence" else "").aside()
