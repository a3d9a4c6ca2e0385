"""The pay page, for whoever holds its link: which way one pays there, and who else may pay."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from handlers.errands import AskTrade, CloseTrade, Prepay
from handlers.intents import PayByToken, PrepayMade, PrepayRefused, ShowPay, StartPay
from handlers.replies import Post, Reply, reply
from handlers.routing import shop
from models.base import Work, draw
from models.figures import Figures
from models.follower import FRIEND, FollowerGlance
from models.order import NoSuchOrder, Orders
from models.orderglance import OrderGlance
from models.payment import Attempt, AttemptGlance, Attempts
from models.paytoken import TOKEN_LENGTH, PayTokens, friend_mark, token_hash
from models.refund import NO_CASHIER
from models.seal import Keys
from models.settlement import end, held
from models.staff import Role, StaffRoom
from models.supplement import Supplements, bill_at, both

OVER = ("closed", NO_CASHIER)  # why a way to pay is refused that nobody waits for any more
TOKEN = "token"
"""Where WeChat Pay cannot be called: the page shows words to be said to the WeChat account instead."""


@shop.on()
async def show_pay(
    ask: ShowPay,
    orders: OrderGlance,
    attempts: AttemptGlance,
    followers: FollowerGlance,
    figures: Figures,
    keys: Keys,
    now: datetime,
) -> Reply:
    """Shop, sum, time left and nothing personal; what this payer can pay by already is shown again."""
    seen = await orders.by_pay_code(ask.code)
    if seen.state == "pending" and not figures.cashier:
        return _page(seen.state, seen.total_fen, seen.pay_until, now, state="hand")
    code = (
        await attempts.code_of(seen.order_id, seen.supplement_id, ask.way, ask.payer, now)
        if seen.state == "pending"
        else ""
    )
    shown = _page(seen.state, seen.total_fen, seen.pay_until, now, ask.way, code)
    return await _for_a_friend(shown, ask, seen.order_id, orders, followers, keys)


async def _for_a_friend(
    shown: Reply,
    ask: ShowPay | StartPay,
    order_id: int,
    orders: OrderGlance,
    followers: FollowerGlance,
    keys: Keys,
) -> Reply:
    """A friend who was asked to pay also sees what for, and who asks; the mark in the link proves the asking."""
    if not ask.friend:
        return shown
    if ask.friend != friend_mark(ask.code, keys.derive("friend")):
        raise NoSuchOrder(order="")
    order = await orders.by_id(order_id)
    buyer = await followers.by_id(order.follower_id)
    goods = {"goods": [line.words for line in order.lines], "buyer": buyer.called if buyer else FRIEND}
    return replace(shown, facts=shown.facts | goods)


@shop.on()
async def start_pay(
    ask: StartPay,
    work: Work,
    glance: OrderGlance,
    followers: FollowerGlance,
    attempts: Attempts,
    tokens: PayTokens,
    figures: Figures,
    keys: Keys,
    now: datetime,
) -> Reply:
    """The button: makes the attempt, or uses the open one; asked twice, it is the same attempt.

    An attempt that was made for another way or payer is closed first. What the cashier will not close stays the live
    one, and the second time (`again`) the page says so.
    """
    bill = await bill_at(work, ask.code)
    order_id, _ = both(bill)

    async def page(way: str = ask.way, code: str = "", state: str = "", ticket: str = "") -> Reply:
        shown = _page(bill.state, bill.total_fen, bill.pay_until, now, way, code, state, ticket)
        return await _for_a_friend(shown, ask, order_id, glance, followers, keys)

    if not bill.payable or bill.pay_until <= now:
        return await page()
    if not figures.cashier:
        return await page(state="hand")
    if ask.way == TOKEN:
        token = draw(TOKEN_LENGTH)
        await tokens.offer(order_id, token_hash(bill.no, token, keys.derive("paytoken")))
        return await page(ticket=f"{bill.no}-{token}")
    attempt = await attempts.start(bill, ask.way, ask.payer)
    if not attempt.serves(ask.way, ask.payer, now):
        if ask.again:
            # A QR code is for anybody; what was made for one person is shown to nobody else.
            anybody = attempt.code_url if attempt.serves("native", "", now) else ""
            return await page("native" if anybody else ask.way, anybody, "stays")
        return replace(await page(state="changing"), errand=CloseTrade(attempt.out_trade_no), awaits=True)
    if attempt.code_url:
        return await page(code=attempt.code_url)
    return replace(await page(state="asking"), errand=_prepay(attempt, bill.no, figures), awaits=True)


def _prepay(attempt: Attempt, no: str, figures: Figures) -> Prepay:
    """Asked for again under the same number it is the same in every word: the cashier compares."""
    payer = attempt.payer or ""
    return Prepay(
        attempt.out_trade_no,
        attempt.amount_fen,
        f"{figures.shop_name} 订单 {no}",
        int(attempt.expires.timestamp()),
        attempt.way,
        openid=payer if attempt.way == "jsapi" else "",
        address=payer if attempt.way == "h5" else "",
    )


def _page(
    order_state: str,
    total_fen: int,
    until: datetime,
    now: datetime,
    way: str = "",
    code: str = "",
    state: str = "",
    ticket: str = "",
) -> Reply:
    """`state`: pending, asking, changing, stays, refused, hand, expired, closing, closed or paid."""
    if not state:
        if order_state == "pending":
            state = "pending" if now < until else "expired"
        else:
            state = order_state if order_state in ("closing", "closed") else "paid"
    facts: dict[str, Any] = {"state": state, "total_fen": total_fen, "left": max(until - now, timedelta())}
    return reply("payment/show", **facts, way=way, code=code, ticket=ticket, goods=[], buyer="")


# -- what came of asking the cashier for a way -----------------------------------------------------------


@shop.on()
async def prepay_made(fact: PrepayMade, work: Work, post: Post, now: datetime) -> Reply:
    """There is a way to pay; one that comes after the order was closed is closed at once."""
    found = await held(work, fact.out_trade_no)
    if found is None:
        return reply("desk/silent")
    _, bill, attempt = found
    if attempt.open:
        attempt.offer(fact.code_url, now)
    elif attempt.state == "closed":
        post.send(CloseTrade(attempt.out_trade_no), key=f"close:{attempt.out_trade_no}:late")
    shown = attempt.code_url if bill.payable and attempt.open else ""
    return _page(bill.state, bill.total_fen, bill.pay_until, now, attempt.way, shown)


@shop.on()
async def prepay_refused(
    fact: PrepayRefused, work: Work, staff: StaffRoom, post: Post, figures: Figures, now: datetime
) -> Reply:
    """The cashier takes no such order; "paid" means that we have missed something.

    What it refuses else it may refuse to everybody (a certificate that has ended, a right that was taken away), and
    nobody would hear of it but who wants to pay: managers are told, once a day.
    """
    found = await held(work, fact.out_trade_no)
    if found is None:
        return reply("desk/silent")
    order, bill, attempt = found
    if fact.means in ("paid", "used"):
        post.send(AskTrade(attempt.out_trade_no), key=f"ask:{attempt.out_trade_no}:{fact.means}")
    elif attempt.state == "new":
        attempt.state = "refused"
        if bill.state == "closing":
            await end(work, order, bill, bill.closed_cause)
        if fact.means not in OVER:
            said = reply("payment/nobody_pays", no=order.no, error=fact.means)
            day = now.astimezone(ZoneInfo(figures.zone)).date().isoformat()
            for who in await staff.on_duty(Role.MANAGER):
                post.tell(who, said, key=f"prepay:{day}:{fact.means}:{who}")
    state = "refused" if bill.payable else ""
    return _page(bill.state, bill.total_fen, bill.pay_until, now, attempt.way, state=state)


# -- said to the WeChat account by whoever pays ----------------------------------------------------------


@shop.on("付款 {ticket}", "支付 {ticket}", "pay {ticket}")
async def by_token(
    wish: PayByToken, orders: Orders, supplements: Supplements, tokens: PayTokens, figures: Figures, keys: Keys
) -> Reply:
    """The pay link for whoever says the token: it pays, and tells nothing. That one was wrong is kept, so it counts."""
    no, _, token = wish.ticket.partition("-")
    order = await orders.find(no)
    if order is None or not await tokens.spend(order.id, token_hash(no, token, keys.derive("paytoken"))):
        return replace(reply("payment/token_wrong"), refused=True, keeps=True)
    bill = await supplements.open_of(order.id) or order
    url = f"{figures.public_url}/pay/{bill.pay_code}"
    return reply("payment/token_good", payable=bill.payable, url=url, total_fen=bill.total_fen)
