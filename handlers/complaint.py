"""A complaint: which line of which order, what is wrong with it, what is to be done, and pictures of it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from handlers.asking import Intent, fen, remembered
from handlers.errands import FetchPicture
from handlers.intents import (
    AskBack,
    Browse,
    CancelOrder,
    LeaveGroup,
    ListCases,
    Person,
    RefundOrder,
    ReopenCase,
    ShowCase,
    ShowOrder,
    ShowPicture,
    SomethingWrong,
    StrangeThing,
    WithdrawCase,
)
from handlers.replies import Choice, Reply, ask, listing, reply
from handlers.routing import Hearing, shop
from models.aftersale import CHANGE_OF_MIND, REASON, Cases, Left, unsent
from models.aftersaleglance import CaseGlance
from models.catalog import Catalog
from models.complaints import how, why
from models.evidence import Evidence
from models.figures import Figures
from models.follower import Follower, Me
from models.order import Order, OrderLine, Orders
from models.orderglance import OrderGlance, OrderSeen, Which, with_goods
from models.prices import yuan
from models.remedy import Remedies
from models.talk import Talking
from models.wayback import WayBackGlance
from models.words import number, numeral, plain

PAGE, ALL_LINES = 6, 99
SENT_REASONS = (
    ("坏了、破了", "broken"),
    ("少了、漏发", "short"),
    ("发错了", "wrong"),
    ("质量不好", "bad"),
    ("不想要了", "mind"),
)
HERE_REASONS = (("不想要了", "mind"), ("买错了", "mistake"), ("等太久了", "late"))
SEEN = ("wrong", "short", "broken", "bad")  # nobody knows before it has arrived
_HOW_IT_GOES = re.compile("怎么|如何|为什么|多久|谁|啥|什么")  # 怎么退货 asks, and chooses nothing
_SUM = re.compile(
    r"(?:那|就|只|要|退|赔|补|给|我|个|您|你)*([0-9]{1,6}(?:\.[0-9]{1,2})?|[一二两三四五六七八九十百]{1,5})(?:元|块钱?)?"
    r"(?:就|也|吧|可以|行|好|够了|左右|吗)*[。.!?~]?"
)
_TENTHS = re.compile(
    r"(?:那|就|只|要|退|赔|补|给|我|个|您|你)*([0-9]{1,4}|[一二两三四五六七八九十百]{1,5})[块元]([0-9一二两三四五六七八九])[毛角]?(?:钱|吧)*"
)

shop.hears("image", make=lambda told: ShowPicture(str(told.data.get("media_id", ""))[:200]))


@shop.cue(95)
def in_other_words(hearing: Hearing) -> Intent | None:
    """不喜欢, 赔点钱, 十块就行: the answer to what a case asks, in words that stand on no list."""
    asked = hearing.talk.asked(hearing.now)
    intent = remembered(asked["intent"]) if asked is not None else None
    if asked is None or not isinstance(intent, AskBack) or numeral(hearing.said) is not None:
        return None
    field, said = str(asked["field"]), hearing.said
    if said in [plain(str(label)) for label in asked.get("labels", ())]:
        return None
    if field == "reason" and (reason := why(said)) in asked["options"]:
        return intent.filled(reason=reason, words=intent.words or hearing.raw[:100])
    if field == "how" and not _HOW_IT_GOES.search(said):
        return intent.filled(how=wanted) if (wanted := how(said)) in asked["options"] else None
    if field == "fen" and (found := _TENTHS.fullmatch(said)):  # 五块五
        yuans, tenths = number(found[1]), number(found[2])
        return intent.filled(fen=(yuans or 0) * 100 + (tenths or 0) * 10)
    if field == "fen" and (found := _SUM.fullmatch(said)):
        yuans = number(found[1])
        return intent.filled(fen=fen(found[1]) if yuans is None else yuans * 100)
    return None


# -- what is wrong ---------------------------------------------------------------------------------------


@shop.on(
    *("退款 {order}", "退款", "退货 {order}", "退货", "退钱", "退订单", "我要退订单", "申请退款", "申请退货"),
    *(who + wish + what for who in ("", "我") for wish in ("要", "想", "想要") for what in ("退款", "退货", "退钱")),
    *("refund {order}", "refund"),
)
async def refund(wish: RefundOrder, me: Me, talk: Talking, orders: OrderGlance, now: datetime) -> Reply | Intent:
    """What is not paid is only cancelled, what forms is left by 退团; for all else a case is asked about."""
    asked = talk.asked(now)
    begun = remembered(asked["intent"]) if asked is not None else None
    if asked is not None and isinstance(begun, AskBack) and asked["field"] == "how" and wish.order in ("", begun.order):
        return begun.filled(how="all")  # 退款 is what is wanted of those ways, not another case
    if not wish.order:
        page, _ = await orders.page(me.id, Which.ALL, "", PAGE)
        if not page:
            return reply("orders/none_such", Choice("看看商品", Browse()))
        if len(page) > 1:
            return AskBack()
        wish = wish.filled(order=page[0].no)
    order = await orders.by_no(wish.order, me.id)
    if order.state in ("paid", "shipped", "completed"):
        return AskBack(order.no)
    steps = [Choice("看订单", ShowOrder(order.no))]
    if order.state == "pending":
        steps = [Choice("取消订单", CancelOrder(order.no))]
    elif order.state == "forming":
        steps = [Choice("退团", LeaveGroup(word="look")), *steps]
    return reply("aftersale/not_paid", *steps, order=order).now_seen("order", order.no)


@shop.on()
async def wrong(ask: SomethingWrong) -> Intent:
    """Something is wrong: with what, and what it is, is asked."""
    return AskBack()


@shop.on("再申请 {order}", "再申请 {order} {line}", "再申请", "再申请一次", "补充了再申请", "重新申请")
async def once_more(wish: ReopenCase, me: Me, glance: CaseGlance) -> Intent:
    """What was refused may be asked for a second time: that of the order, else the newest one."""
    refused = [case for case in await glance.of_follower(me.id, 20) if case.state == "refused" and case.turn == 1]
    meant = [case for case in refused if case.no == wish.order and wish.line in (0, case.place)] or refused
    return AskBack(meant[0].no, meant[0].place) if meant else ListCases()


@shop.on("退款 {order} {words}", "退货 {order} {words}", "refund {order} {words}")
async def ask_back(
    wish: AskBack,
    me: Follower,
    talk: Talking,
    orders: Orders,
    glance: OrderGlance,
    cases: Remedies,
    ways: WayBackGlance,
    catalog: Catalog,
    figures: Figures,
    now: datetime,
) -> Reply | Intent:
    """Order, line, reason, pieces and remedy are asked in turn; then the case is open, and the shop has to answer."""
    asked = talk.asked(now)
    begun = remembered(asked["intent"]) if asked is not None else None
    said = await _asked_on(wish, me, talk, orders, glance, cases, ways, catalog, figures, now)
    if isinstance(begun, AskBack) and begun.shots != wish.shots and isinstance(said, Reply) and said.question:
        said = replace(said, lead="aftersale/pictured")  # the same is asked again: the picture has come
    return said


async def _asked_on(
    wish: AskBack,
    me: Follower,
    talk: Talking,
    orders: Orders,
    glance: OrderGlance,
    cases: Remedies,
    ways: WayBackGlance,
    catalog: Catalog,
    figures: Figures,
    now: datetime,
) -> Reply | Intent:
    named = catalog.named(wish.words)
    wish = wish.filled(reason=wish.reason or why(wish.words), line=int(wish.line))
    found = await _order(wish, named, me, talk, glance, now)
    if not isinstance(found, OrderSeen):
        return found
    order = await orders.hold(found.no, me.id)
    lines = await orders.lines(order.id)
    if wish.order not in ("", order.no):  # of other goods than was asked about: what was answered so far was of those
        wish = AskBack(words=wish.words, reason=wish.reason) if wish.reason in SEEN else AskBack()
    wish = wish.filled(order=order.no)
    if not wish.line and len(of_them := [n for n, line in enumerate(lines, 1) if line.code in named]) == 1:
        wish = wish.filled(line=of_them[0])
    chosen = await _lines(wish, order, lines, cases)
    if not isinstance(chosen, list):
        return chosen
    line = chosen[0]
    here = all(unsent(order, one) for one in chosen)
    if here and wish.reason in SEEN:  # a worry, or about something else: nobody can know it before it has arrived
        wish = wish.filled(reason="", words="")
    await cases.allowed(order, line, figures, wish.reason, now)
    if not wish.reason:
        options = HERE_REASONS if here else SENT_REASONS
        facts = {"order": found, "line": line.words, "here": here, "pictured": bool(wish.shots)}
        asked = ask("aftersale/which_reason", wish, "reason", options=options, **facts)
        return asked.now_seen("order", order.no)
    if not here:
        left = await cases.left(line)
        if (question := _wanted(wish, line, left)) is not None:
            return question.now_seen("order", order.no)
        kind = _kind(wish, line)
        return await _open(wish, order, [line], cases, ways, figures, me, kind, wish.pieces or left.pieces)
    if figures.order.instant_refund and order.packed_at is None:
        if not wish.word:
            return ask("aftersale/instant", wish, "word", order=found, lines=[one.words for one in chosen])
        if wish.word == "no":
            return reply("help/never_mind")
    return await _open(wish, order, chosen, cases, ways, figures, me, "refund", 0)


async def _order(
    wish: AskBack, named: list[str], me: Follower, talk: Talking, glance: OrderGlance, now: datetime
) -> OrderSeen | Reply | Intent:
    """The order that is named, by its number or its goods; else that on screen, the only one paid, a list of them."""
    page, _ = await glance.page(me.id, Which.ALL, "", 2 * PAGE)
    paid = [order for order in page if order.state in ("paid", "shipped", "completed")]
    broken = wish.reason in SEEN
    theirs = with_goods(paid if broken else [order for order in page if order.state != "closed"], named)
    if wish.order:
        order = await glance.by_no(wish.order, me.id)
        if order.state not in ("paid", "shipped", "completed"):
            return RefundOrder(order.no)
        if not theirs or with_goods([order], named):
            return order  # what is wrong with other goods is about their order, whatever was asked about
    among = theirs or paid
    among = [order for order in among if order.state != "paid" or not broken] or among
    on_screen = [order for order in page if order.no == talk.shown("order", now)]
    found = [order for order in on_screen if order in among] or among
    strange = named and not theirs and not broken  # these goods are in none of their orders: none is taken for it
    if len(found) == 1 and not strange:
        return found[0] if found[0] in paid else RefundOrder(found[0].no)
    if not found:
        if page:
            return RefundOrder((on_screen or page)[0].no)
        return reply("aftersale/no_order", Choice("人工", Person())).aside()
    said = {"reason": "", "words": ""} if strange else {}
    rows = [Choice(f"{o.words} ¥{yuan(o.total_fen)} {o.word}", wish.filled(order=o.no, **said)) for o in among[:PAGE]]
    return listing("orders/which", rows)


async def _lines(wish: AskBack, order: Order, lines: list[OrderLine], cases: Cases) -> list[OrderLine] | Reply | Intent:
    """The lines that are meant; how it stands where there is a case already; else a list to choose from."""
    places = {line.id: n for n, line in enumerate(lines, 1)}
    busy = {case.line_id for case in await cases.open_of(order.id)}
    free = [line for line in lines if line.id not in busy and line.back_at is None]
    if 1 <= wish.line <= len(lines):
        line = lines[wish.line - 1]
        return ShowCase(order.no, wish.line) if line.id in busy else [line]
    if not free:
        return ShowCase(order.no)
    if len(free) == 1 or wish.line == ALL_LINES:
        return free if wish.line == ALL_LINES and all(unsent(order, one) for one in free) else free[:1]
    options = [(line.words, str(places[line.id])) for line in free[:PAGE]]
    if all(unsent(order, line) for line in free):
        options.insert(0, ("整单都退", str(ALL_LINES)))
    return ask("aftersale/which_line", wish, "line", options=options, order=order.no).now_seen("order", order.no)


def _wanted(wish: AskBack, line: OrderLine, left: Left) -> Reply | None:
    """The question that is still open about goods that have left, or None."""
    if left.pieces > 1 and not wish.pieces:
        spoilt = wish.reason != CHANGE_OF_MIND
        return ask(
            "aftersale/how_many", wish, "pieces", line=line.words, unit=line.unit, most=left.pieces, fault=spoilt
        )
    if not wish.how and wish.reason != CHANGE_OF_MIND:
        most = yuan(left.worth(wish.pieces or left.pieces))
        back = "退货退款" if _kind(wish, line) == "return" else "全部退款"
        options = [("退一部分钱，东西留着", "part"), (f"{back} ¥{most}", "all")]
        options = [("补发", "resend"), *options] if line.ships else options
        return ask("aftersale/which_remedy", wish, "how", options=options, line=line.words)
    if wish.how == "part" and not wish.fen:
        return ask("aftersale/how_much", wish, "fen", line=line.words, most_fen=left.fen)
    return None


def _kind(wish: AskBack, line: OrderLine) -> str:
    """What is spoilt or missing stays where it is; what is whole is sent back."""
    if wish.how in ("part", "resend"):
        return wish.how
    return "return" if line.ships and wish.reason not in ("broken", "short") else "refund"


async def _open(
    wish: AskBack,
    order: Order,
    lines: list[OrderLine],
    cases: Remedies,
    ways: WayBackGlance,
    figures: Figures,
    me: Follower,
    kind: str,
    pieces: int,
) -> Reply:
    """The case is open, its pictures are fetched; at once paid back where the shop has said so."""
    here = all(unsent(order, line) for line in lines)
    shots = tuple(wish.shots.split())
    given = {"kind": kind, "reason": wish.reason, "words": wish.words, "pictures": shots}
    made = [await cases.apply(order, line, figures, pieces=pieces, fen=wish.fen, **given) for line in lines]  # type: ignore[arg-type]
    instant = here and figures.order.instant_refund and order.packed_at is None
    if instant:
        for case in [case for case in await cases.open_of(order.id) if case in made]:
            await cases.agree(order, case, figures, actor="house", cause="instant")
    words = [line.words_of(case.pieces or line.quantity) for case, line in zip(made, lines, strict=True)]
    facts = {"order": order.no, "lines": words, "case": made[0], "instant": instant}
    sums = {"fen": sum(case.amount_fen + case.freight_fen for case in made), "hours": figures.order.aftersale_hours}
    facts["way"] = await ways.owed(order.id, REASON, *(case.id for case in made))
    sums["freight_fen"] = await cases.freight_asked(order) if here else 0
    steps = (Choice("售后进度", ShowCase(order.no)), Choice("撤回申请", WithdrawCase(order.no)))
    said = reply("aftersale/applied", *(steps if not instant else steps[:1]), here=here, **facts, **sums)
    said = said.now_seen("order", order.no)
    return replace(said, errand=FetchPicture(me.channel, shots[0], made[0].id)) if shots else said


@shop.on()
async def show_picture(
    shown: ShowPicture, me: Follower, talk: Talking, glance: CaseGlance, evidence: Evidence, now: datetime
) -> Reply | Intent:
    """Evidence, while a case is asked about, open, or may be applied for once more; else just a picture."""
    asked = talk.asked(now)
    intent = remembered(asked["intent"]) if asked is not None else None
    if isinstance(intent, AskBack) and shown.media_id:
        return intent.filled(shots=f"{intent.shots} {shown.media_id}".strip())
    cases = [case for case in await glance.of_follower(me.id) if case.fault]
    case = next((case for case in cases if case.state in ("applied", "refused")), None)
    if case is None or not shown.media_id:
        return StrangeThing("image")
    if case.state == "refused":
        if case.turn > 1:
            return StrangeThing("image")
        return AskBack(case.no, case.place, case.reason, shots=shown.media_id)
    kept = await evidence.show(case.id, shown.media_id)
    said = reply("aftersale/picture_kept", Choice("售后进度", ShowCase(case.no, case.place)), case=case, kept=kept)
    said = said.now_seen("order", case.no)
    return replace(said, errand=FetchPicture(me.channel, shown.media_id, case.id)) if kept else said
