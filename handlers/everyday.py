"""Everyday questions: what is mine is answered from my orders, what is the shop's from its own answers."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from handlers.asking import Intent, remembered
from handlers.data import topics
from handlers.intents import (
    AboutShop,
    Anger,
    AskBack,
    Browse,
    Buy,
    CancelOrder,
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
    Search,
    ShowCase,
    ShowOrder,
    ShowProduct,
    SmallTalk,
    TrackOrder,
)
from handlers.replies import Choice, Post, Reply, reply
from handlers.routing import Hearing, shop
from models.aftersaleglance import CaseGlance
from models.answer import AnswerGlance
from models.catalog import Catalog
from models.figures import Figures
from models.follower import Follower, Me
from models.order import UNPAID
from models.orderglance import OrderGlance, OrderSeen, Which
from models.promise import PromiseGlance
from models.refundglance import RefundGlance
from models.search import understand, words_of
from models.staff import Role, StaffRoom
from models.supplement import SupplementGlance
from models.talk import Talking
from models.words import is_no, is_yes

TOPICS = topics()
# What each topic of the data file is asked by; the shop's own answers by the name under which they are kept.
MINE: dict[str, Intent] = {
    "my_parcel": MyParcel(),
    "my_payment": MyPayment(),
    "my_refund": MyRefund(),
    "change_order": ChangeOrder(),
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
# What is asked of a product, by the words for it, tried in this order; "" is what its card shows: price and stock.
ASPECTS = (
    ("", "多少钱|几钱|几多|什么价|啥价|价格|价钱|售价|报价|单价|怎么卖|贵吗|几块"),
    ("储存", "储存|保存|存放|怎么存|怎么放|冰箱|冷藏|防潮|受潮"),
    ("净含量", "净含量|多少克|几克|多重|多大|几两|规格|分量|多少颗|几包|几泡"),
    ("生产日期", "生产日期|哪天生产|什么时候生产|日期新|新茶|今年|新不新鲜|新鲜吗"),
    ("保质期", "保质|保值期|保鲜|过期|多久坏|放多久|能放|存多久|放几"),
    ("配料", "配料|成分|原料|材料|添加|防腐|色素|含糖|无糖|咖啡因|过敏|什么做"),
    ("产地", "产地|哪里产|哪产|产自|原产|哪里的|哪儿的|哪的"),
    ("冲泡", "泡|冲|水温|几度|怎么喝|怎么煮|煮"),
    ("", "有货|现货|库存|卖完|补货|到货|断货|缺货|还有|没有了|没货"),
)
_GENUINE = re.compile("真的|假的|正品|真假|假货|正宗|保真|真货|靠谱")
_FOR_THINGS = re.compile("有(?!货|现货)")
_POINTS = re.compile(r"这|那|它")
_FETCH = re.compile(r"自提|到店取|上门取")
# What a second thought is about, tried in this order.
SUBJECTS = (
    ("address", re.compile(r"地址|门牌|楼号|收货|收件|电话|手机|名字|改寄|寄到")),
    ("spec", re.compile(r"规格|口味|大包|大份|小包|小份|换成|换大|换小")),
    ("note", re.compile(r"备注")),
    ("back", re.compile(r"退(?!团|出)|换货|能换|可以换")),
)
PAGE = 8
BACK = 3  # refunds that are told at once


def _intent(topic: str, hearing: Hearing) -> Intent:
    if topic == "change_order":
        return ChangeOrder(next((what for what, words in SUBJECTS if words.search(hearing.said)), ""))
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


def _aside(said: Reply) -> Reply:
    """An answer in passing: the open question and the list on screen stay."""
    return replace(said, keeps=True)


async def _newest(orders: OrderGlance, me: Me, shown: str, among: Which) -> OrderSeen | None:
    """The order on screen, if it is among these; else the newest that is under way, unpaid, or anything."""
    page, _ = await orders.page(me.id, among, "", PAGE)
    on_screen = next((o for o in page if o.no == shown), None)
    if on_screen is not None:
        return on_screen
    for which in (Which.UNDER_WAY, Which.UNPAID, Which.ALL):
        page, _ = await orders.page(me.id, which, "", 1)
        if page:
            return page[0]
    return None


@shop.on()
async def parcel(ask: MyParcel, me: Me, orders: OrderGlance, talk: Talking, now: datetime) -> Reply | Intent:
    """State, promised time, number alone on its line."""
    order = await _newest(orders, me, talk.shown("order", now), Which.UNDER_WAY)
    if order is None:
        return _aside(reply("everyday/no_order", Choice("商品", Browse())))
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
    return reply("everyday/parcel", *steps, order=order).now_seen("order", order.no)


@shop.on()
async def late(
    ask: LateParcel, me: Follower, orders: OrderGlance, staff: StaffRoom, post: Post, now: datetime
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
    return reply("everyday/late", *steps, order=order).now_seen("order", order.no)


@shop.on()
async def payment(
    ask: MyPayment, me: Me, orders: OrderGlance, refunds: RefundGlance, talk: Talking, figures: Figures, now: datetime
) -> Reply | Intent:
    """Whether it has been paid."""
    order = await _newest(orders, me, talk.shown("order", now), Which.ALL)
    if order is None:
        return _aside(reply("everyday/no_order", Choice("商品", Browse())))
    if order.state == "closed" and (order.paid_at is not None or await refunds.of_order(order.id)):
        return MyRefund()
    unpaid = order.state in UNPAID
    if not figures.cashier and (order.state == "pending" or order.waits_until is not None):
        return SaysPaid(order.no)
    step = Choice("去付款", PayOrder(order.no)) if unpaid else Choice("看这个订单", ShowOrder(order.no))
    return reply("everyday/payment", step, order=order, unpaid=unpaid).now_seen("order", order.no)


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
    return _aside(reply("everyday/refund", *steps, back=back, done=any(one.state == "done" for one in back)))


@shop.on()
async def change(ask: ChangeOrder, me: Me, orders: OrderGlance, talk: Talking, now: datetime) -> Reply | Intent:
    """A second thought: straight to what is to be changed, else what can still be done with the order."""
    order = await _newest(orders, me, talk.shown("order", now), Which.ALL)
    if order is None:
        return _aside(reply("everyday/no_order", Choice("商品", Browse())))
    meant = talk.shown("order", now)
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
async def facts(ask: ProductFacts, catalog: Catalog, answers: AnswerGlance) -> Reply | Intent:
    """From the product's facts: the one that is named, else the one on screen; what is not known is said to be so."""
    named = words_of(ask.words, catalog.index)
    found = _named(named, catalog) if not (ask.product and _POINTS.search(ask.words)) else [ask.product]
    code = ask.product if not found or ask.product in found else found[0] if len(found) == 1 else ""
    goods = catalog.get(code)
    if _GENUINE.search(ask.words):
        words = await answers.of("真伪")
        if not words:
            return _aside(reply("everyday/unknown", Choice("人工", Person())))
        return _aside(reply("everyday/about", words=words, page=""))
    if found and not ask.product and _FOR_THINGS.match(ask.words):
        return Search(" ".join(named))  # 有礼盒吗: not about one thing, but for things
    aspect = next((name for name, words in ASPECTS if re.search(words, ask.words)), None)
    if goods is None:
        if found:
            return Search(" ".join(named))
        stored = await answers.of("保存") if aspect == "储存" else ""
        if not stored:
            return _aside(reply("everyday/which_goods", Choice("商品", Browse()), Choice("人工", Person())))
        return _aside(reply("everyday/facts", Choice("商品", Browse()), goods=None, aspect=aspect, known=stored))
    if aspect == "":
        steps = (Choice("买", Buy(goods.code)), Choice("看详细的", ShowProduct(goods.code)))
        return _aside(reply("everyday/price", *steps, goods=goods)).now_seen("product", goods.code)
    known = goods.facts.get(aspect, "") if aspect else goods.line
    said = reply("everyday/facts", Choice("看详细的", ShowProduct(goods.code)), goods=goods, aspect=aspect, known=known)
    return _aside(said).now_seen("product", goods.code)


def _named(words: tuple[str, ...], catalog: Catalog) -> list[str]:
    """The codes of what the words name."""
    if not words:
        return []
    return [hit.doc.code for hit in catalog.index.find(understand(" ".join(words), catalog.index))]


@shop.on()
async def about(
    ask: AboutShop, answers: AnswerGlance, promises: PromiseGlance, figures: Figures, now: datetime
) -> Reply:
    """The shop's own answer; when things leave, its promise goes before what was once written about it."""
    if ask.topic == "delivery_time":
        rule = await promises.now(figures)
        if rule.resting(now) or rule.cutoff or rule.hours != figures.order.promise_hours:
            return _aside(reply("everyday/leaves", rule=rule, resting=rule.resting(now)))
    if ask.topic == "pay_ways":
        return _aside(reply("everyday/pay_ways", cashier=figures.cashier, pay_words=figures.service.pay_words))
    if ask.topic == "group_rules":
        return _aside(reply("everyday/group_rules", Choice("看看能拼什么", Groups()), Choice("我的团", MyGroups())))
    if ask.topic == "who_answers":
        return _aside(reply("everyday/who_answers"))
    words = await answers.of(SHOPS.get(ask.topic, "")) if ask.topic in SHOPS else ""
    if not words and ask.topic == "shop_phone":
        words = figures.service.phone
    if not words and ask.topic == "shop_hours":
        words = f"每天 {figures.service.hours.replace('-', '–')} 有人回您。"
    if not words:
        return _aside(reply("everyday/unknown", Choice("人工", Person())))
    return _aside(reply("everyday/about", words=words, page="licence" if ask.topic == "licence" else ""))


@shop.on()
async def health(ask: Health, catalog: Catalog) -> Reply:
    """Never a promise about health: ask a doctor; here is what is in it."""
    found = _named(words_of(ask.words, catalog.index), catalog)
    goods = catalog.get(found[0] if len(found) == 1 else ask.product if not found else "")
    contents = goods.facts.get("配料", "") if goods is not None else ""
    return _aside(reply("everyday/health", contents=contents, name=goods.name if goods is not None else ""))
