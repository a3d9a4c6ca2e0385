"""What follows in an after-sale case by itself: who is told, when silence speaks, and when the money has arrived."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from handlers.asking import Intent
from handlers.intents import CaseDue, ListCases, Person, PictureFetched, ReopenCase, ShowCase
from handlers.replies import Choice, Post, Reply, reply
from handlers.routing import shop
from models.aftersale import REASON, WAITING, CaseMoved
from models.aftersaleglance import CaseGlance
from models.evidence import Evidence
from models.figures import Figures
from models.order import OrderClosed, Orders
from models.refund import RefundDone
from models.remedy import Remedies
from models.staff import Role, StaffRoom
from models.wayback import WayBackGlance

SILENT = reply("desk/silent")
TO_BUYER = ("granted", "agreed", "refused", "offered", "withdrawn", "done")
TO_STAFF = ("applied", "granted", "agreed", "returned", "withdrawn", "declined")


# -- who is told -----------------------------------------------------------------------------------------


@shop.when(CaseMoved)
async def tell_buyer(news: CaseMoved, cases: CaseGlance, ways: WayBackGlance, figures: Figures, post: Post) -> None:
    """What the shop, or its silence, has answered. What one has done oneself was said there and then."""
    case = await cases.by_id(news.case_id)
    if case is None or news.actor == "buyer" or news.to not in TO_BUYER or news.cause in ("instant", "closed", "free"):
        return
    if news.to == "done" and case.kind != "resend":  # the refund itself tells that it has arrived
        return
    steps = [Choice("售后进度", ShowCase(case.no, case.place))]
    if news.to == "refused":
        steps = [Choice("人工", Person())]
        if case.turn == 1:
            steps.insert(0, Choice("补充了再申请", ReopenCase(case.no, case.place)))
    facts = {"case": case, "to": news.to, "cause": news.cause, "service": figures.service}
    facts["way"] = await ways.owed(case.order_id, REASON, case.id)
    said = reply("aftersale/news", *steps, **facts, days=figures.order.return_days)
    post.tell(case.follower_id, said, key=f"case:{case.id}:{news.step}:{news.to}", patient=True)


@shop.when(CaseMoved)
async def tell_staff(
    news: CaseMoved, cases: CaseGlance, ways: WayBackGlance, staff: StaffRoom, figures: Figures, post: Post
) -> None:
    """What the buyer wants or has done, and what was decided by nobody."""
    case = await cases.by_id(news.case_id)
    if case is None or news.actor == "staff" or news.to not in TO_STAFF or news.cause == "closed":
        return
    hours = figures.order.aftersale_hours
    said = reply(
        "aftersale/alert",
        Choice("售后", ListCases()),
        case=case,
        to=news.to,
        cause=news.cause,
        actor=news.actor,
        hours=hours,
        way=await ways.owed(case.order_id, REASON, case.id),
    )
    for one in await staff.on_duty(Role.MANAGER):
        key = f"case:{case.id}:{news.step}:{news.to}:{one}"
        post.tell(one, said, key=key, patient=True)


@shop.on()
async def fetched(fact: PictureFetched, evidence: Evidence, cases: CaseGlance, staff: StaffRoom, post: Post) -> Reply:
    """The first picture of a case is told to staff; one that cannot be had, to its buyer."""
    case = await cases.by_id(fact.case_id)
    if case is None:
        return SILENT
    if fact.lost:
        said = reply("aftersale/picture_lost", case=case)
        post.tell(case.follower_id, said, key=f"casepic:{case.id}:{fact.media_id}"[:200])
    elif await evidence.fetched(fact.case_id, fact.media_id, fact.sha256, fact.jpeg, fact.thumb):
        said = reply("aftersale/picture_here", case=case)
        for one in await staff.on_duty(Role.MANAGER):
            post.tell(one, said, key=f"casepic:{case.id}:{one}")
    return SILENT


# -- when nobody says anything ---------------------------------------------------------------------------


@shop.every(minutes=5)
async def silences(cases: CaseGlance, now: datetime) -> Iterable[Intent]:
    """Cases in which somebody should have answered by now."""
    return [CaseDue(case_id) for case_id in await cases.due(now)]


@shop.on()
async def silence_speaks(fact: CaseDue, orders: Orders, cases: Remedies, figures: Figures, now: datetime) -> Reply:
    """A silent shop has agreed, a silent buyer has let it drop, and what was sent back has arrived."""
    order = await orders.hold_id(await cases.order_of(fact.case_id))
    case = await cases.by_id(fact.case_id)
    if case is None or case.due_at is None or case.due_at > now or case.state not in WAITING:
        return SILENT
    if case.state == "applied" and not case.offer:
        await cases.agree(order, case, figures, actor="house", cause="silent")
    elif case.state == "returned":
        await cases.pay(order, case, actor="house", cause="silent")
    else:
        await cases.withdraw(order, case, actor="house", cause="silent")
    return SILENT


@shop.when(RefundDone)
async def paid_back(news: RefundDone, orders: Orders, cases: Remedies, now: datetime) -> None:
    """The money of a case has gone back: it is done."""
    case_id = await cases.of_refund(news.out_refund_no)
    case = await cases.by_id(case_id) if case_id is not None else None
    if case is not None and case.state == "refunding":
        case.go("done", await orders.hold_id(news.order_id), now, "house", "refunded")


@shop.when(OrderClosed)
async def ended(news: OrderClosed, orders: Orders, cases: Remedies) -> None:
    """An order that is ended pays everything back: nothing is left to be answered."""
    order = await orders.hold_id(news.order_id)
    for case in await cases.open_of(news.order_id, *WAITING):
        await cases.withdraw(order, case, actor="house", cause="closed")
