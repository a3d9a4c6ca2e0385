"""A case as its buyer sees it: how it stands, a yes or no to a proposal, what is sent back, and a word about it."""

from __future__ import annotations

import re
from datetime import datetime

from handlers.asking import Intent
from handlers.intents import (
    AgreeCase,
    AskBack,
    CancelQuestion,
    LeaveGroup,
    ListCases,
    ListOrders,
    Person,
    ReopenCase,
    SayAbout,
    ShowCase,
    ShowOrder,
    TakeOffer,
    WithdrawCase,
)
from handlers.replies import Choice, Post, Reply, ask, listing, reply
from handlers.routing import Hearing, shop
from models.aftersale import REASON
from models.aftersaleglance import CaseGlance, CaseSeen
from models.figures import Figures
from models.follower import Follower, Me
from models.orderglance import OrderGlance
from models.remedy import Remedies, freight_back
from models.staff import Role, StaffGlance, StaffRoom
from models.talk import Talking
from models.wayback import WayBackGlance
from models.words import asks, bare, unfill

PAGE = 6
_BEFORE = "(?:那|就|我|还是|要不|算了|算啦|没事了?|不好意思)*"
_SEND_IT = "(?:(?:就|快|请|麻烦|还是|直接|照常|继续|给我|你们)*(?:发货?|寄)(?:给我|出来?|吧|了)*)?"
_DROPS = re.compile(
    f"{_BEFORE}(?:取消|撤[销回掉了]?)(?:一?下|了)?(?:这个|那个|我的|刚才的?)*(?:(?:退款|退货|售后)(?:的?申请)?|申请)(?:了|吧|啦)*{_SEND_IT}"
    f"|{_BEFORE}又想?要了?{_SEND_IT}"
)
_NO_MORE = re.compile(
    f"{_BEFORE}(?:先|暂时)?(?:不退(?:[款货钱]?[了啦])?|(?:不用|不要|不想|不必|不需要|别)(?:再|给我|帮我)*退[款货钱]?(?:了|吧|啦)*){_SEND_IT}"
)


# -- how it stands ---------------------------------------------------------------------------------------


@shop.on("售后", "我的售后", "售后进度", "退货进度", "after-sale", "cases")
async def list_cases(wish: ListCases, me: Me, cases: CaseGlance, staff: StaffGlance) -> Reply | Intent:
    """One's own cases; for staff what waits in the shop."""
    if await staff.role_of(me.id) > Role.ANYONE:
        waiting, more = await cases.waiting(wish.after, PAGE)
        rows = [Choice(f"{c.no} {c.line} {c.kind_word}·{c.word}", ShowCase(c.no, c.place)) for c in waiting]
        return listing("aftersale/waiting", rows, more=ListCases(waiting[-1].id) if more else None, count=len(rows))
    mine = await cases.of_follower(me.id, PAGE)
    if not mine:
        return AskBack()
    if len(mine) == 1:
        return ShowCase(mine[0].no, mine[0].place)
    return listing(
        "aftersale/mine", [Choice(f"{c.line} {c.kind_word}·{c.word}", ShowCase(c.no, c.place)) for c in mine]
    )


@shop.on("售后 {order}", "售后 {order} {line}", "after-sale {order}")
async def show_case(
    wish: ShowCase,
    me: Me,
    orders: OrderGlance,
    cases: CaseGlance,
    ways: WayBackGlance,
    staff: StaffGlance,
    figures: Figures,
) -> Reply | Intent:
    """One case; a proposal that waits for its buyer's yes is asked again."""
    works_here = await staff.role_of(me.id) > Role.ANYONE
    order = await orders.any_by_no(wish.order) if works_here else await orders.by_no(wish.order, me.id)
    of_order = await cases.of_order(order.id)
    found = [case for case in of_order if not wish.line or case.place == wish.line]
    found = [case for case in found if case.open] or found
    if not found:
        return reply("aftersale/none", order=order) if works_here else AskBack(order.no)
    if len(found) > 1:
        rows = [Choice(f"{c.line} {c.kind_word}·{c.word}", ShowCase(c.no, c.place)) for c in found]
        return listing("aftersale/which_case", rows, order=order.no).now_seen("order", order.no)
    case = found[0]
    if case.follower_id != me.id:
        urls = [f"{figures.public_url}/pic/{sha256}.jpg" for sha256 in case.pictures]
        return reply("aftersale/for_staff", case=case, urls=urls).now_seen("order", case.no)
    if case.offer and case.state == "applied":
        asked = ask("aftersale/offered", TakeOffer(case.no, case.place), "word", case=case)
        return asked.now_seen("order", case.no)
    freight_fen = freight_back(order, order.lines, [one for one in of_order if one.open])
    facts = {"way": await ways.owed(order.id, REASON, case.id), "freight_fen": freight_fen, "service": figures.service}
    return reply("aftersale/show", *_steps(case), case=case, **facts).now_seen("order", case.no)


def _steps(case: CaseSeen) -> list[Choice]:
    """What its buyer can do next."""
    if case.state in ("applied", "agreed"):
        return [Choice("撤回申请", WithdrawCase(case.no, case.place)), Choice("看订单", ShowOrder(case.no))]
    if case.state == "refused":
        again = [Choice("补充了再申请", ReopenCase(case.no, case.place))] if case.turn == 1 else []
        return [*again, Choice("人工", Person())]
    return [Choice("看订单", ShowOrder(case.no))]


@shop.on("撤回 {order}", "撤回售后 {order}", "不退了 {order}", "撤回售后", "撤回申请")
@shop.on("撤回", bare=1)
@shop.on("不退了", "不退货了", bare=2)
async def withdraw(
    wish: WithdrawCase, me: Follower, talk: Talking, glance: CaseGlance, cases: Remedies, now: datetime
) -> Reply | Intent:
    """The buyer lets it drop, as long as nothing has gone back.

    What is `bare` is first of all a no to whatever goes back in what was just asked; 2: where nothing is to be
    withdrawn, it is no more than a no.
    """
    if wish.bare and _going_back(talk, now):
        return CancelQuestion()
    found = await glance.meant(me.id, wish.order, wish.line, "applied", "agreed")
    if not found and wish.bare:  # on screen is another order
        found = await glance.meant(me.id, "", 0, "applied", "agreed")
    if isinstance(found, list):
        if not found:
            return await _too_late(me, glance) or _nothing(wish, talk, now)
        return listing("aftersale/which_case", [Choice(c.line, WithdrawCase(c.no, c.place)) for c in found], order="")
    order, case = await cases.held(found.id)
    await cases.withdraw(order, case, actor="buyer")
    return reply("aftersale/withdrawn", Choice("看订单", ShowOrder(order.no)), case=found).now_seen("order", order.no)


def _going_back(talk: Talking, now: datetime) -> bool:
    """Whether it is being asked what is to go back, or whether one leaves a group."""
    asked = talk.asked(now)
    offered = [one.get("verb") for one in talk.offered] if talk.fresh(now) else []
    return AskBack.verb in offered or (asked is not None and asked["intent"]["verb"] in (AskBack.verb, LeaveGroup.verb))


async def _too_late(me: Follower, glance: CaseGlance) -> Intent | None:
    """What is on its way, goods or money, is not held up any more: how it stands is shown."""
    under_way = await glance.meant(me.id, "", 0, "returned", "refunding")
    case = under_way[0] if isinstance(under_way, list) and under_way else under_way
    return ShowCase(case.no, case.place) if isinstance(case, CaseSeen) else None


def _nothing(wish: WithdrawCase, talk: Talking, now: datetime) -> Reply | Intent:
    if wish.bare == 2 or (wish.bare and talk.asked(now) is not None):
        return CancelQuestion()
    return reply("aftersale/nothing_to_withdraw", Choice("我的订单", ListOrders()))


@shop.cue(93)
def let_it_drop(hearing: Hearing) -> Intent | None:
    """算了不退了, 取消退款, 我又想要了, 别退了给我发货吧: before what is asked reads 退了 in it, and before topics."""
    said = bare(unfill(hearing.said))
    if asks(hearing.said) or not (_DROPS.fullmatch(said) or _NO_MORE.fullmatch(said)):
        return None
    return WithdrawCase(hearing.talk.shown("order", hearing.now), bare=2 if _NO_MORE.fullmatch(said) else 1)


@shop.on("接受 {order}", "接受", "同意")
async def take_offer(
    wish: TakeOffer,
    me: Follower,
    glance: CaseGlance,
    cases: Remedies,
    ways: WayBackGlance,
    staff: StaffRoom,
    figures: Figures,
    now: datetime,
) -> Reply | Intent:
    """The buyer's yes to what the shop has proposed; a no leaves the case as it was. 同意 may be the shop's own."""
    mine = await glance.meant(me.id, wish.order, wish.line, "applied")
    offers = [case for case in (mine if isinstance(mine, list) else [mine]) if case.offer]
    if not offers and not wish.word and await staff.role_of(me.id) >= AgreeCase.role:
        return AgreeCase(wish.order)
    if not offers:
        return reply("aftersale/no_offer", Choice("售后进度", ListCases()))
    if len(offers) > 1:
        return listing("aftersale/which_case", [Choice(c.line, ShowCase(c.no, c.place)) for c in offers], order="")
    order, case = await cases.held(offers[0].id)
    seen = offers[0]
    if wish.word == "no":
        case.decline(order, now, now + figures.silence)
        return reply("aftersale/declined", Choice("人工", Person()), case=seen).now_seen("order", order.no)
    case.take_offer(order)
    await cases.agree(order, case, figures, actor="buyer", cause="offer")
    way = await ways.owed(order.id, REASON, case.id)
    said = reply("aftersale/taken", Choice("看订单", ShowOrder(order.no)), case=seen, way=way)
    return said.now_seen("order", order.no)


# -- a word to one another -------------------------------------------------------------------------------


@shop.on("聊 {order} {words}", "聊 {order}", "聊", "留言 {order} {words}", "留言 {order}")
async def say_about(
    wish: SayAbout, me: Follower, orders: OrderGlance, staff: StaffRoom, post: Post, now: datetime
) -> Reply:
    """What one side of an order has to say to the other."""
    works_here = await staff.role_of(me.id) > Role.ANYONE
    if not wish.order:
        return reply("aftersale/about_which", Choice("售后", ListCases()), Choice("订单", ListOrders()))
    order = await orders.any_by_no(wish.order) if works_here else await orders.by_no(wish.order, me.id)
    if not wish.words.strip():
        return ask("aftersale/say_what", wish, "words", order=order, staff=works_here).now_seen("order", order.no)
    words = wish.words.strip()[:200]
    to_buyer = works_here and order.follower_id != me.id
    said = reply("aftersale/said", order=order, words=words, to_buyer=to_buyer)
    for one in [order.follower_id] if to_buyer else await staff.on_duty(Role.SUPPORT):
        post.tell(one, said, key=f"said:{order.no}:{me.id}:{one}:{now:%Y%m%d%H%M%S%f}")
    return reply("aftersale/passed_on", order=order, to_buyer=to_buyer).now_seen("order", order.no)
