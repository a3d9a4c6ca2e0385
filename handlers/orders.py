"""One's own orders: the list, one of them, and what may be done with it; a number may always be left out."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from handlers.asking import Intent
from handlers.errands import CloseTrade, DrawCard
from handlers.intents import (
    Browse,
    BuyAgain,
    CancelOrder,
    CancelQuestion,
    ChangeAddress,
    DropSupplement,
    LeaveGroup,
    ListOrders,
    OrderInWords,
    PayElsewhere,
    PayForMe,
    PayOrder,
    PaySupplement,
    ReceiveOrder,
    RefundOrder,
    ShowCase,
    ShowOrder,
    TrackOrder,
)
from handlers.replies import Choice, Reply, listing, reply
from handlers.routing import Hearing, shop
from models.aftersaleglance import CaseGlance
from models.base import draw
from models.catalog import Catalog
from models.figures import Figures
from models.follower import Follower, Me
from models.order import UNPAID, NoSuchOrder, Orders
from models.orderglance import LAST, OrderGlance, OrderSeen, Which
from models.payment import Attempts
from models.paytoken import TOKEN_LENGTH, PayTokens, friend_mark, token_hash
from models.prices import yuan
from models.refundglance import RefundGlance
from models.seal import Keys
from models.talk import Talking
from models.words import unfill

PAGE = 6
_NO = re.compile(r"[2-9a-hjkmnp-z]{8}")
_NO_INSIDE = re.compile(rf"(?<![0-9a-z]){_NO.pattern}(?![0-9a-z])")


def line_of(order: OrderSeen, intent: Intent | None = None) -> Choice:
    """An order as one line of a list."""
    words = order.words if len(order.words) <= 16 else order.words[:15] + "…"
    return Choice(f"{words} ¥{yuan(order.total_fen)} {order.word}", intent or ShowOrder(order.no))


@shop.on("订单", "我的订单", "查订单", "全部订单", "我的单子", "我买的东西", "我下的单", "orders", "my orders")
async def orders(ask: ListOrders, me: Me, orders: OrderGlance) -> Reply:
    """One's orders, newest first."""
    which = Which(ask.which) if ask.which in list(Which) else Which.ALL
    page, more = await orders.page(me.id, which, ask.after, PAGE)
    if not page:
        return reply("orders/none", Choice("看看商品", Browse()), later=bool(ask.after))
    following = ListOrders(ask.which, page[-1].no) if more else None
    return listing("orders/list", [line_of(o) for o in page], more=following, which=which.value)


@shop.cue(30)
def bare_number(hearing: Hearing) -> Intent | None:
    """A bare order number shows that order; numbers hold a letter and a digit, so no word is taken for one."""
    said = hearing.said
    if _NO.fullmatch(said) and not said.isdigit() and not said.isalpha():
        return ShowOrder(said.upper())
    return None


@shop.cue(240)
def number_among_words(hearing: Hearing) -> Intent | None:
    """Words that hold an order's number are about that order; they never reach the search."""
    for found in _NO_INSIDE.findall(hearing.said):
        if not found.isdigit() and not found.isalpha():
            return OrderInWords(found.upper())
    return None


@shop.on()
async def in_words(ask: OrderInWords, me: Me, orders: OrderGlance) -> Reply | Intent:
    """The order whose number stood in the sentence; somebody else's is no order at all."""
    try:
        return ShowOrder((await orders.by_no(ask.order, me.id)).no)
    except NoSuchOrder:
        return reply("orders/not_among_yours", Choice("我的订单", ListOrders()), no=ask.order)


async def _subject(
    no: str, me: Me, orders: OrderGlance, which: Which, act: type[Intent], template: str
) -> OrderSeen | Reply:
    """The order that is meant: the one named, else the only one that can take the verb, else a list to choose from."""
    if no:
        return await orders.by_no(no, me.id)
    found, more = await orders.page(me.id, which, "", PAGE)
    if len(found) == 1:
        return found[0]
    if not found:
        return reply(template, Choice("我的订单", ListOrders()))
    following = ListOrders(which.value, found[-1].no) if more else None
    lines = [line_of(o, act(order=o.no)) for o in found]  # type: ignore[call-arg]
    return replace(listing("orders/which", lines, more=following), anew=ListOrders())


@shop.on("订单 {order}", "看 {order}", "看订单", "看这个订单", "order {order}")
@shop.on("上次那个", "上次买的", "上次买的那个", "上一单", order=LAST)
async def show(ask: ShowOrder, me: Me, orders: OrderGlance, refunds: RefundGlance, cases: CaseGlance) -> Reply:
    """One order: what, how much, where it stands, what can be done."""
    found = await _subject(ask.order, me, orders, Which.ALL, ShowOrder, "orders/none_such")
    if isinstance(found, Reply):
        return found
    back = await refunds.of_order(found.id)
    seen = await cases.of_order(found.id)
    steps = _steps(found)
    if any(case.open for case in seen):
        wanted = [step for step in steps if not isinstance(step.intent, RefundOrder | Browse)]
        steps = [Choice("售后进度", ShowCase(found.no)), *wanted]
    said = reply("orders/show", *steps, order=found, refunds=back, cases=seen)
    return said.now_seen("order", found.no)


def _steps(order: OrderSeen) -> list[Choice]:
    ailing = Choice("有问题", RefundOrder(order.no))
    if order.state == "pending":
        return [Choice("去付款", PayOrder(order.no)), Choice("取消订单", CancelOrder(order.no))]
    if order.state == "shipped":
        return [Choice("看物流", TrackOrder(order.no)), Choice("确认收货", ReceiveOrder(order.no)), ailing]
    if order.waits_until is not None:
        return [Choice("补差价", PaySupplement(order.no)), Choice("不换了", DropSupplement(order.no))]
    if order.changeable and order.where:
        return [Choice("改地址", ChangeAddress(order.no)), Choice("想退款", RefundOrder(order.no))]
    if order.state in ("paid", "forming"):
        return [Choice("想退款", RefundOrder(order.no))]
    once_more = [ailing, Choice("再来一单", BuyAgain(order.no))] if order.state == "completed" else []
    return [Choice("再看看别的", Browse()), *once_more]


@shop.on(
    *("付款 {order}", "付款", "去付款", "支付", "支付 {order}", "微信支付", "微信付款", "我要微信付款"),
    *("pay {order}", "pay"),
)
async def pay(ask: PayOrder, me: Me, orders: OrderGlance, figures: Figures, now: datetime) -> Reply | Intent:
    """The pay link again, with the sum and until when; of a paid order, that of what a change of it costs more."""
    found = await _subject(ask.order, me, orders, Which.UNPAID, PayOrder, "orders/nothing_to_pay")
    if isinstance(found, Reply):
        waits = found.template == "orders/nothing_to_pay" and await orders.waiting(me.id)
        return PaySupplement(waits[0].no) if waits else found
    if found.waits_until is not None:
        return PaySupplement(found.no)
    if found.state != "pending" or found.pay_until <= now:
        wanted = found.state == "closed" and found.paid_at is None and not found.play
        step = Choice("再来一单", BuyAgain(found.no)) if wanted else Choice("看订单", ShowOrder(found.no))
        said = reply("orders/pay", step, order=found, open=False)
        return said.now_seen("order", found.no)
    url = f"{figures.public_url}/pay/{found.pay_code}" if figures.cashier else ""
    # Cancelling never comes first: a 1 that is sent twice means 去付款 twice.
    first = Choice("找人代付", PayForMe(found.no)) if figures.cashier else Choice("看订单", ShowOrder(found.no))
    steps = [first, Choice("取消订单", CancelOrder(found.no))]
    said = reply("orders/pay", *steps, order=found, url=url, open=True, pay_words=figures.service.pay_words)
    return said.now_seen("order", found.no)


@shop.on("微信付 {order}", "微信付", "到微信付", "pay in wechat {order}", "pay in wechat")
async def pay_elsewhere(
    ask: PayElsewhere,
    me: Follower,
    orders: OrderGlance,
    tokens: PayTokens,
    figures: Figures,
    keys: Keys,
    now: datetime,
) -> Reply | Intent:
    """Words to be said to the WeChat account, for who sits where WeChat Pay cannot be called; they pay, no more."""
    seen = Me(me.id, me.channel, me.account, me.who, me.name, me.since, me.following)
    found = await _subject(ask.order, seen, orders, Which.UNPAID, PayElsewhere, "orders/nothing_to_pay")
    if isinstance(found, Reply):
        return found
    if found.state != "pending" or found.pay_until <= now or not figures.cashier:
        return PayOrder(found.no)
    token = draw(TOKEN_LENGTH)
    await tokens.offer(found.id, token_hash(found.no, token, keys.derive("paytoken")))
    said = reply(
        "orders/pay_elsewhere", Choice("看订单", ShowOrder(found.no)), order=found, ticket=f"{found.no}-{token}"
    )
    return said.now_seen("order", found.no)


_SOMEBODY = "我?(?:老公|老婆|对象|男朋友|女朋友|爸爸?|妈妈?|儿子|女儿|孩子|家里?人|朋友|闺蜜|同事|别人|人|他|她)"
_FOR_ME = re.compile(
    rf"(?:能不能|能|可不可以|可以)?(?:代付|(?:[找让叫请由]?{_SOMEBODY})?(?:帮我?|替我?|代我|帮忙)付|[找让叫请由]{_SOMEBODY}来?付)"
    r"(?:款|钱|一下|下|这单)*(?:可以|行)?[吗么嘛不]?"
)

_NOT_FOR_ME = re.compile("[不别没退]|取消|代付[了过完好]")


@shop.cue(45)
def somebody_else_pays(hearing: Hearing) -> Intent | None:
    """帮我付, 让我老公来付, 代付怎么弄: somebody else is to pay."""
    said = unfill(hearing.said)
    asks = _FOR_ME.fullmatch(said) or ("代付" in said and not _NOT_FOR_ME.search(said))
    return PayForMe(hearing.talk.shown("order", hearing.now)) if asks else None


@shop.on("代付 {order}", "代付", "找人代付", "pay for me {order}", "pay for me")
async def pay_for_me(
    ask: PayForMe, me: Me, orders: OrderGlance, catalog: Catalog, figures: Figures, keys: Keys, now: datetime
) -> Reply | Intent:
    """A link and a card for somebody else: goods, sum and who asks; they pay, and have no other right."""
    found = await _subject(ask.order, me, orders, Which.UNPAID, PayForMe, "orders/nothing_to_pay")
    if isinstance(found, Reply):
        return found
    if found.state != "pending" or found.pay_until <= now or not figures.cashier:
        return PayOrder(found.no)
    mark = friend_mark(found.pay_code, keys.derive("friend"))
    url = f"{figures.public_url}/pay/{found.pay_code}/{mark}"
    said = reply("orders/pay_for_me", Choice("看订单", ShowOrder(found.no)), order=found, url=url, name=me.called)
    errand = _pay_card(found, me, url, catalog, figures, now)
    return replace(said, errand=errand).now_seen("order", found.no)


def _pay_card(order: OrderSeen, me: Me, url: str, catalog: Catalog, figures: Figures, now: datetime) -> DrawCard:
    """The same as a picture to be passed on; its QR code says the link."""
    goods = catalog.get(order.lines[0].code)
    until = order.pay_until.astimezone(ZoneInfo(figures.zone))
    return DrawCard(
        card="",
        to=me.id,
        channel=me.channel,
        scene="",
        asked=int(now.timestamp()),
        drawn=order.no,
        kind="pay",
        shop_name=figures.shop_name,
        title=order.words,
        price_fen=order.total_fen,
        was_fen=None,
        line="长按或扫码付款",
        deadline=f"{until.month}月{until.day}日 {until:%H:%M} 前付",
        initials=me.called,
        picture=goods.picture if goods is not None else "",
        footer="只能付这一单，看不到地址",
        link=url,
        scene_url=url,
    )


@shop.on("取消 {order}", "取消订单 {order}", "cancel {order}")
@shop.on("取消", "取消订单", "cancel", bare=1)
async def cancel(
    ask: CancelOrder,
    me: Follower,
    talk: Talking,
    orders: Orders,
    glance: OrderGlance,
    attempts: Attempts,
    now: datetime,
) -> Reply | Intent:
    """Leaves an open question first; else closes an unpaid order; for a paid one only says what is possible."""
    if ask.bare and (talk.asked(now) is not None or talk.waiting(now) is not None):
        return CancelQuestion()
    seen = Me(me.id, me.channel, me.account, me.who, me.name, me.since, me.following)
    unpaid, _ = await glance.page(me.id, Which.UNPAID, "", PAGE) if ask.bare else ([], False)
    if len(unpaid) > 1:  # the bare word never picks one of several
        return replace(listing("orders/which", [line_of(o, CancelOrder(o.no)) for o in unpaid]), anew=ListOrders())
    found = await _subject(ask.order, seen, glance, Which.UNPAID, CancelOrder, "orders/nothing_to_cancel")
    if ask.bare and isinstance(found, OrderSeen) and talk.last == "orders/cancelled" and found.state == "closed":
        return reply("orders/cancelled", Choice("再看看别的", Browse()), no=found.no)  # said twice, it is done once
    if ask.bare and isinstance(found, OrderSeen) and found.state in ("closed", "completed"):
        found = await _subject("", seen, glance, Which.UNPAID, CancelOrder, "orders/nothing_to_cancel")
    if isinstance(found, Reply):
        if found.template == "orders/nothing_to_cancel":
            under_way, _ = await glance.page(me.id, Which.UNDER_WAY, "", 1)
            return _what_can_be(under_way[0]) if under_way else found
        return found
    if found.state not in UNPAID:
        return _what_can_be(found)
    order = await orders.hold(found.no, me.id)
    if order.state == "closing":
        return reply("orders/cancelling", no=order.no)
    attempt = await attempts.open_of(order.id)
    if attempt is None:
        await orders.close(order, "buyer", actor="buyer")
        return reply("orders/cancelled", Choice("再看看别的", Browse()), no=order.no)
    order.begin_closing("buyer", now, actor="buyer")
    return replace(reply("orders/cancelling", no=order.no), errand=CloseTrade(attempt.out_trade_no))


def _what_can_be(order: OrderSeen) -> Reply:
    """A paid order is not undone by one word: what is possible is offered, nothing is done."""
    steps = [Choice("看订单", ShowOrder(order.no))]
    if order.state in ("paid", "forming", "shipped"):
        steps.insert(0, Choice("想退款", RefundOrder(order.no)))
    if order.state == "forming":
        steps.insert(0, Choice("退团", LeaveGroup(word="look")))
    if order.waits_until is not None:  # what may be left is the change of mind; until then nothing goes back
        steps[0] = Choice("不换了", DropSupplement(order.no))
    return reply("orders/not_cancelled", *steps, order=order).now_seen("order", order.no)


@shop.on("物流 {order}", "物流", "快递", "track {order}", "track")
async def track(ask: TrackOrder, me: Me, orders: OrderGlance, now: datetime) -> Reply:
    """Where the parcel is: its number alone on its line, to be copied."""
    found = await _subject(ask.order, me, orders, Which.UNDER_WAY, TrackOrder, "orders/nothing_sent")
    if isinstance(found, Reply):
        return found
    late = found.state == "paid" and found.promised_at is not None and found.promised_at < now
    late = late and not found.tracking
    steps = [Choice("确认收货", ReceiveOrder(found.no))] if found.state == "shipped" else []
    said = reply("orders/track", *steps, Choice("看订单", ShowOrder(found.no)), order=found, late=late)
    return said.now_seen("order", found.no)


@shop.on("收货 {order}", "确认收货 {order}", "received {order}")
@shop.on("收货", "确认收货", "收到了", "received", bare=1)
async def receive(ask: ReceiveOrder, me: Follower, orders: Orders, glance: OrderGlance, now: datetime) -> Reply:
    """The goods have arrived."""
    seen = Me(me.id, me.channel, me.account, me.who, me.name, me.since, me.following)
    found = await _subject(ask.order, seen, glance, Which.SHIPPED, ReceiveOrder, "orders/nothing_sent")
    if ask.bare and isinstance(found, OrderSeen) and found.state == "paid":  # on screen, but another one is on its way
        sent, _ = await glance.page(me.id, Which.SHIPPED, "", 1)
        found = await _subject("", seen, glance, Which.SHIPPED, ReceiveOrder, "orders/nothing_sent") if sent else found
    if isinstance(found, Reply):
        return found
    order = await orders.hold(found.no, me.id)
    if order.state != "completed":
        order.receive(now)
    return reply("orders/received", Choice("再看看别的", Browse()), no=order.no).now_seen("order", order.no)
