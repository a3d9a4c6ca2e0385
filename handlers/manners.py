"""What is no question at all: greetings, thanks, moods, anger, asking for a person, and what was not understood."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from handlers.asking import Intent, remembered
from handlers.data import topics
from handlers.intents import (
    AboutShop,
    Anger,
    CancelQuestion,
    ChangeOrder,
    Discounts,
    Forget,
    ForgetNow,
    Freight,
    ListOrders,
    MyParcel,
    MyPayment,
    MyRefund,
    NotUnderstood,
    Person,
    ShowCase,
    Simple,
    SmallTalk,
    SomethingWrong,
    TakeOffer,
)
from handlers.replies import Choice, Post, Reply, reply
from handlers.routing import Hearing, shop
from models.address import Addresses
from models.aftersaleglance import CaseGlance
from models.answer import AnswerGlance
from models.figures import Figures
from models.follower import Follower, Me
from models.orderglance import OrderGlance, Which
from models.refundglance import RefundGlance
from models.staff import Role, StaffRoom
from models.subscription import Subscriptions
from models.talk import Talking
from models.words import bare, is_no

SMALL = ("hello", "thanks", "ok", "laughter", "bye", "emoji")
# The questions that may be guessed, as one would ask them.
GUESSES: dict[str, tuple[str, Intent]] = {
    "my_parcel": ("发货了吗", MyParcel()),
    "my_payment": ("付款到账了吗", MyPayment()),
    "my_refund": ("退款到哪了", MyRefund()),
    "change_order": ("改订单", ChangeOrder()),
    "something_wrong": ("东西有问题", SomethingWrong()),
    "freight": ("运费怎么算", Freight()),
    "discounts": ("有什么优惠", Discounts()),
    "invoice": ("能开发票吗", AboutShop("invoice")),
    "delivery_time": ("什么时候发货", AboutShop("delivery_time")),
    "shop_phone": ("电话多少", AboutShop("shop_phone")),
    "shop_where": ("店在哪", AboutShop("shop_where")),
    "shop_hours": ("几点营业", AboutShop("shop_hours")),
}
_STICKERS = re.compile(r"(?:\[\w{1,6}\]|/::?[^\s/]{1,6}|[^\w\s\[\]/]|\s)+")  # as WeChat writes its own: [捂脸], /::)

_SHOWN = re.compile(r"[\u2190-\u2bff\U0001f000-\U0001faff\[/]")

shop.hears("unknown", make=lambda told: NotUnderstood(told.text[:200]))


@shop.cue(80)
def hotline(hearing: Hearing) -> Intent | None:
    """12315 is no line of a list: it is the number one threatens to call."""
    return Anger() if hearing.said in ("12315", "12345") else None


@shop.cue(105)
def stickers(hearing: Hearing) -> Intent | None:
    """Nothing but emoji, stickers or dots."""
    if not _STICKERS.fullmatch(hearing.said):
        return None
    return SmallTalk("emoji" if _SHOWN.search(hearing.said) else "hello")


@shop.on()
async def small_talk(ask: SmallTalk, me: Me, talk: Talking, cases: CaseGlance, now: datetime) -> Reply | Intent:
    """Hello, thanks, laughter: one line, no list. An OK to a list of options is asked again which one.

    A yes or no to what the shop has just proposed is its answer; anything else shows the proposal again.
    """
    if ask.topic == "ok" and (question := _options_open(talk, now)) is not None:
        return question
    if ask.word and (waiting := talk.waiting(now)) is not None:
        code = str(waiting["code"])
        return CancelQuestion() if ask.word == "no" else reply("everyday/say_confirm", code=code).aside()
    topic = ask.topic if ask.topic in SMALL else "ok"
    if topic == "ok" and (offer := await cases.offered_to(me.id, talk, now)) is not None:
        case, just_now = offer
        return TakeOffer(case.no, case.place, ask.word) if just_now and ask.word else ShowCase(case.no, case.place)
    return reply(f"everyday/{topic}").aside()


def _options_open(talk: Talking, now: datetime) -> Intent | None:
    """The open question, if it is a choice among options: it is asked again."""
    asked = talk.asked(now)
    return remembered(asked["intent"]) if asked is not None and asked["options"] else None


@shop.on()
async def not_understood(ask: NotUnderstood, me: Me, talk: Talking, cases: CaseGlance, now: datetime) -> Reply | Intent:
    """「这句我没听懂」 with the two nearest guesses and a person; never searched, never answered in kind.

    不行, 不同意: a no to what the shop has just proposed.
    """
    if is_no(ask.words) and (offer := await cases.offered_to(me.id, talk, now)) is not None and offer[1]:
        return TakeOffer(offer[0].no, offer[0].place, "no")
    if (question := _options_open(talk, now)) is not None:
        return question
    if talk.simple:
        return Simple()
    found = [
        GUESSES[guess.name] for guess in topics().guess(ask.words, 3) if guess.name in GUESSES and not talk.asked(now)
    ]
    steps = [Choice(label, intent) for label, intent in found[:2]]
    return reply("help/not_understood", *steps, Choice("人工", Person()), guesses=bool(steps)).aside()


@shop.on()
async def anger(ask: Anger, me: Follower, orders: OrderGlance, staff: StaffRoom, post: Post, now: datetime) -> Reply:
    """An apology, the open orders, a person at once; staff are told, at most once an hour."""
    page, _ = await orders.page(me.id, Which.UNDER_WAY, "", 3)
    for one in await staff.on_duty(Role.CLERK):
        if one != me.id:
            told = reply("everyday/angry_customer", called=me.called, orders=page)
            post.tell(one, told, key=f"anger:{me.id}:{one}:{now:%Y%m%d%H}")
    steps = (Choice("人工", Person()), Choice("订单", ListOrders()))
    said = reply("everyday/anger", *steps, orders=page).aside()
    return replace(said, personal=bool(page))


@shop.on("人工", "客服", "人工客服", "转人工", "有人吗", "找人", "human")
@shop.on("转接人工", "转接人工客服", "转人工客服", "找客服", "联系客服", "叫客服", "人工服务", "找人工", "要人工")
@shop.on("人工?", "人工呢", "人工在吗", "客服呢", "客服在吗")
async def person(
    ask: Person, me: Follower, figures: Figures, answers: AnswerGlance, staff: StaffRoom, post: Post, now: datetime
) -> Reply:
    """When a person will be there, and how to reach one now; staff are told, at most once an hour."""
    for one in await staff.on_duty(Role.SUPPORT):
        if one != me.id:
            told = reply("everyday/wants_person", called=me.called, channel=me.channel)
            post.tell(one, told, key=f"person:{me.id}:{one}:{now:%Y%m%d%H}")
    phone = figures.service.phone or await answers.of("电话")
    hours = figures.service.hours.replace("-", "–")
    return reply("everyday/person", hours=hours, phone=phone).aside()


@shop.on("注销", "注销账号", "注销账户", "删除我的资料", "forget me")
async def forget(ask: Forget, me: Me, orders: OrderGlance, refunds: RefundGlance) -> Reply:
    """Being forgotten waits for open orders and refunds; nothing is erased by one word."""
    waiting, back = len(await orders.unfinished(me.id)), await refunds.under_way(me.id)
    steps = (Choice("订单", ListOrders()),) if waiting or back else ()
    return reply("everyday/forget", *steps, waiting=waiting, back=back).aside()


@shop.on("注销确认", "确认注销", "forget me now")
async def forget_now(
    ask: ForgetNow,
    me: Follower,
    orders: OrderGlance,
    refunds: RefundGlance,
    addresses: Addresses,
    subscriptions: Subscriptions,
    staff: StaffRoom,
    post: Post,
    now: datetime,
) -> Reply:
    """The word taken: pushes stop and the address book is emptied at once; of the rest the owner is told."""
    waiting, back = len(await orders.unfinished(me.id)), await refunds.under_way(me.id)
    if waiting or back:
        return reply("everyday/forget", Choice("订单", ListOrders()), waiting=waiting, back=back)
    await subscriptions.leave_all(me.id, "注销确认")
    for _ in range(await addresses.count(me.id)):
        await addresses.forget(me.id, 1)
    for one in await staff.on_duty(Role.OWNER):
        post.tell(one, reply("everyday/wants_out", called=me.called), key=f"forget:{me.id}:{one}:{now:%Y%m%d}")
    return reply("everyday/forgotten")


def confusing(said: str) -> bool:
    """Words of somebody to whom all this is too much: 搞不懂, 看着晕, 眼睛花."""
    return len(said) <= 20 and bool(_CONFUSED.search(bare(said)))


_CONFUSED = re.compile(
    r"(?:搞|弄|看|听|整)不(?:太)?(?:懂|明白|来|清)|看着(?:头)?晕|(?:头|看)晕|眼(?:睛)?(?:都)?花|(?:太|好|真)(?:复杂|麻烦|乱)"
    r"|不(?:太)?(?:会|懂)(?:用|弄|操作|搞|整|买)|(?:字|话)太[多小]|看不清"
)


@shop.cue(110)
def confused(hearing: Hearing) -> Intent | None:
    """Before search and before 「没听懂」."""
    return Simple() if confusing(hearing.said) else None
