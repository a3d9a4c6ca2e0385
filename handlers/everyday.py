"""Everyday questions: what is mine is answered from my orders, what is the shop's from its own answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from handlers.asking import Intent
from handlers.data import topics
from handlers.intents import (
    AboutShop,
    Anger,
    Browse,
    ChangeOrder,
    Discounts,
    Freight,
    Groups,
    Health,
    ListOrders,
    MyParcel,
    MyPayment,
    MyRefund,
    NotUnderstood,
    PayOrder,
    Person,
    ProductFacts,
    ShowOrder,
    SmallTalk,
    SomethingWrong,
)
from handlers.replies import Choice, Post, Reply, reply
from handlers.routing import Hearing, shop
from models.answer import AnswerGlance
from models.cart import CartGlance
from models.catalog import Catalog
from models.figures import Figures
from models.follower import Follower, Me
from models.order import UNPAID
from models.orderglance import OrderGlance, OrderSeen, Which
from models.staff import Role, StaffRoom

TOPICS = topics()
# What each topic of the data file is asked by; the shop's own answers by the name under which they are kept.
MINE: dict[str, type[Intent]] = {
    "my_parcel": MyParcel,
    "my_payment": MyPayment,
    "my_refund": MyRefund,
    "change_order": ChangeOrder,
    "something_wrong": SomethingWrong,
    "discounts": Discounts,
    "health": Health,
    "product_facts": ProductFacts,
    "anger": Anger,
}
SHOPS = {
    "carrier": "快递",
    "delivery_time": "发货时间",
    "regions": "偏远",
    "shop_phone": "电话",
    "shop_where": "地址",
    "shop_hours": "营业时间",
    "invoice": "发票",
    "licence": "执照",
    "who_answers": "",
}
SMALL = ("hello", "thanks", "ok", "laughter", "bye")
ASKED = {
    "my_parcel": "发货了吗",
    "my_payment": "付款到账了吗",
    "my_refund": "退款到哪了",
    "change_order": "改订单",
    "something_wrong": "东西有问题",
    "freight": "运费怎么算",
    "discounts": "有什么优惠",
    "invoice": "能开发票吗",
    "delivery_time": "什么时候发货",
    "shop_phone": "电话多少",
    "shop_where": "店在哪",
    "shop_hours": "几点营业",
}


def _intent(topic: str, hearing: Hearing) -> Intent:
    if topic in MINE:
        if topic == "product_facts":
            return ProductFacts(hearing.talk.shown("product", hearing.now), hearing.raw[:60])
        if topic == "health":
            return Health(hearing.talk.shown("product", hearing.now))
        return MINE[topic]()
    if topic == "freight":
        return Freight()
    if topic in SMALL:
        return SmallTalk(topic)
    return AboutShop(topic)


shop.hears("unknown", make=lambda told: NotUnderstood(told.text[:200]))


@shop.cue(100)
def everyday(hearing: Hearing) -> Intent | None:
    """A sentence that is one of the everyday questions, before anything is searched."""
    found = TOPICS.match(hearing.said, hearing.catalog.index.words)
    return _intent(found.name, hearing) if found is not None else None


def guesses_for(words: str, catalog: Catalog) -> list[Choice]:
    """The two questions that these words come nearest to."""
    found = []
    for guess in TOPICS.guess(words, 3):
        if guess.name in ASKED:
            plain = MINE.get(guess.name)
            intent: Intent = (
                plain() if plain is not None else Freight() if guess.name == "freight" else AboutShop(guess.name)
            )
            found.append(Choice(ASKED[guess.name], intent))
    return found[:2]


@shop.on()
async def not_understood(ask: NotUnderstood, catalog: Catalog) -> Reply:
    """「这句我没听懂」 with the two nearest guesses and a person; never searched, never answered in kind."""
    found = guesses_for(ask.words, catalog)
    steps = [*found[:2], Choice("人工", Person())]
    return replace(reply("help/not_understood", *steps, guesses=bool(found)), keeps=True)


def _aside(said: Reply) -> Reply:
    """An answer in passing: the open question and the list on screen stay."""
    return replace(said, keeps=True)


async def _newest(orders: OrderGlance, me: Me) -> OrderSeen | None:
    for which in (Which.UNDER_WAY, Which.UNPAID, Which.ALL):
        page, _ = await orders.page(me.id, which, "", 1)
        if page:
            return page[0]
    return None


@shop.on()
async def parcel(ask: MyParcel, me: Me, orders: OrderGlance, now: datetime) -> Reply:
    """Newest order under way: state, promised time, number alone on its line; late: an apology and a way out."""
    order = await _newest(orders, me)
    if order is None:
        return _aside(reply("everyday/no_order", Choice("商品", Browse())))
    late = order.state == "paid" and order.promised_at is not None and order.promised_at < now
    steps = [Choice("看这个订单", ShowOrder(order.no))]
    if order.state in UNPAID:
        steps.insert(0, Choice("去付款", PayOrder(order.no)))
    if late:
        steps.append(Choice("人工", Person()))
    return reply("everyday/parcel", *steps, order=order, late=late).now_seen("order", order.no)


@shop.on()
async def payment(ask: MyPayment, me: Me, orders: OrderGlance) -> Reply:
    """Whether it has been paid."""
    order = await _newest(orders, me)
    if order is None:
        return _aside(reply("everyday/no_order", Choice("商品", Browse())))
    unpaid = order.state in UNPAID
    step = Choice("去付款", PayOrder(order.no)) if unpaid else Choice("看这个订单", ShowOrder(order.no))
    return reply("everyday/payment", step, order=order, unpaid=unpaid).now_seen("order", order.no)


@shop.on()
async def refund(ask: MyRefund, me: Me, orders: OrderGlance) -> Reply:
    """Where the money is: amount, way back, days."""
    page, _ = await orders.page(me.id, Which.ALL, "", 8)
    back = [o for o in page if o.refunded_fen > 0]
    return _aside(
        reply(
            "everyday/refund", Choice("订单", ListOrders()), Choice("人工", Person()), order=back[0] if back else None
        )
    )


@shop.on()
async def change(ask: ChangeOrder, me: Me, orders: OrderGlance) -> Reply:
    """A second thought: what can still be done with the newest order."""
    order = await _newest(orders, me)
    if order is None:
        return _aside(reply("everyday/no_order", Choice("商品", Browse())))
    return reply(
        "everyday/change",
        Choice("看这个订单", ShowOrder(order.no)),
        Choice("人工", Person()),
        order=order,
        unpaid=order.state in UNPAID,
    ).now_seen("order", order.no)


@shop.on()
async def wrong(ask: SomethingWrong, me: Me, orders: OrderGlance, figures: Figures) -> Reply:
    """Something is broken, missing or not what was ordered: heard, and a person is offered."""
    order = await _newest(orders, me)
    seen = reply("everyday/wrong", Choice("人工", Person()), order=order, phone=figures.service.phone)
    return seen.now_seen("order", order.no) if order is not None else _aside(seen)


@shop.on()
async def freight(ask: Freight, me: Me, figures: Figures, cart: CartGlance) -> Reply:
    """The rule in one line; with a cart, what is missing to free shipping."""
    total = sum(line.sum_fen for line in (await cart.basket(me.id)).lines)
    free = figures.order.freight_free_from_fen
    return _aside(
        reply(
            "everyday/freight", fee=figures.order.freight_fen, free=free, missing=max(0, free - total) if total else 0
        )
    )


@shop.on()
async def discounts(ask: Discounts, catalog: Catalog, figures: Figures) -> Reply:
    """What there is for everybody now; the shop does not haggle."""
    deals = sum(bool(g.deals) for g in catalog.goods.values())
    steps = [Choice("正在拼的团", Groups())] if deals else [Choice("商品", Browse())]
    return _aside(reply("everyday/discounts", *steps, deals=deals, free=figures.order.freight_free_from_fen))


@shop.on()
async def facts(ask: ProductFacts, catalog: Catalog, answers: AnswerGlance) -> Reply:
    """From the product's facts; what is not known is said to be not known."""
    goods = catalog.get(ask.product)
    known = dict(goods.facts) if goods is not None else {}
    named = {k: v for k, v in known.items() if k in ask.words}
    shared = await answers.of("保存") if "保存" in ask.words or "储存" in ask.words else ""
    steps = [] if goods is not None else [Choice("商品", Browse())]
    return _aside(
        reply("everyday/facts", *steps, goods=goods, facts=dict(list((named or known).items())[:4]), shared=shared)
    )


@shop.on()
async def about(ask: AboutShop, answers: AnswerGlance, figures: Figures) -> Reply:
    """The shop's own answer."""
    if ask.topic == "who_answers":
        return _aside(reply("everyday/who"))
    words = await answers.of(SHOPS.get(ask.topic, "")) if ask.topic in SHOPS else ""
    if not words and ask.topic == "shop_phone":
        words = figures.service.phone
    if not words and ask.topic == "shop_hours":
        words = f"每天 {figures.service.hours.replace('-', '–')} 有人回您。"
    if not words:
        return _aside(reply("everyday/unknown", Choice("人工", Person())))
    return _aside(reply("everyday/about", words=words))


@shop.on()
async def health(ask: Health, catalog: Catalog) -> Reply:
    """Never a promise about health: ask a doctor; here is what is in it."""
    goods = catalog.get(ask.product)
    return _aside(reply("everyday/health", contents=goods.facts.get("配料", "") if goods is not None else ""))


@shop.on()
async def small_talk(ask: SmallTalk) -> Reply:
    """Hello, thanks, laughter: one line, no list."""
    return _aside(reply("everyday/small_talk", topic=ask.topic if ask.topic in SMALL else "ok"))


@shop.on()
async def anger(ask: Anger, me: Follower, orders: OrderGlance, staff: StaffRoom, post: Post, now: datetime) -> Reply:
    """An apology, the open orders, a person at once; staff are told."""
    seen = Me(me.id, me.channel, me.account, me.who, me.name, me.since, me.following)
    page, _ = await orders.page(seen.id, Which.UNDER_WAY, "", 3)
    for one in await staff.on_duty(Role.CLERK):
        if one != me.id:
            post.tell(
                one,
                reply("everyday/angry_customer", called=me.called, orders=page),
                key=f"anger:{me.id}:{one}:{now:%Y%m%d%H}",
            )
    return reply("everyday/anger", Choice("人工", Person()), Choice("订单", ListOrders()), orders=page)


@shop.on("人工", "客服", "人工客服", "转人工", "有人吗", "找人", "human")
async def person(ask: Person, figures: Figures, answers: AnswerGlance) -> Reply:
    """When a person will be there, and how to reach one now."""
    phone = figures.service.phone or await answers.of("电话")
    return _aside(reply("everyday/person", hours=figures.service.hours.replace("-", "–"), phone=phone))
