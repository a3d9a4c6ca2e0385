"""After-sale for staff: agree, refuse, give a part back, send again; money takes four digits, and is always typed."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from handlers.asking import Intent
from handlers.intents import (
    AgreeCase,
    AgreeNow,
    GivePart,
    GivePartNow,
    ListCases,
    RefuseCase,
    Resend,
    ResendNow,
    SetReturns,
    ShowProduct,
)
from handlers.replies import Choice, Reply, ask, confirm, digits, listing, reply
from handlers.routing import Hearing, shop
from models.aftersale import MONEY, REASON, Case, CaseNotNow, NoSuchCase, TooMuchAsked, unsent
from models.aftersaleglance import CaseGlance, CaseSeen
from models.figures import Figures
from models.order import NotNow, Order, OrderLine, Orders
from models.orderglance import OrderGlance, OrderSeen
from models.product import Products, touch
from models.remedy import Remedies, freight_back
from models.wayback import WayBack, WayBackGlance

ANSWERABLE = ("applied", "agreed", "returned")
WAITING, ROWS = 40, 6
RETURNS = (("拆", "sealed"), ("不", "no"), ("否", "no"), ("支持", ""), ("是", ""), ("可", ""))
_W = TypeVar("_W", AgreeCase, RefuseCase, GivePart, Resend)


def _which(found: list[CaseSeen], act: Intent) -> Reply:
    rows = [Choice(f"{c.line} {c.kind_word}·{c.word}", act.filled(line=c.place)) for c in found]
    return listing("aftersale/which_case", rows, order=found[0].no).now_seen("order", found[0].no)


async def _named(wish: _W, cases: CaseGlance, *states: str) -> _W | Reply:
    """The wish with its order: without a number it is about the only one that waits for such an answer, or asks."""
    if wish.order:
        return wish
    waiting, more = await cases.waiting(size=WAITING)
    found = [case for case in waiting if case.state in states and not case.sending]
    numbers = {case.no for case in found}
    if not numbers:
        raise NoSuchCase(order="")
    if len(numbers) == 1 and not more:
        return wish.filled(order=found[0].no)
    rows = [Choice(f"{c.no} {c.line} {c.kind_word}", wish.filled(order=c.no, line=c.place)) for c in found[:ROWS]]
    return listing("aftersale/which_case", rows, order="")


# -- yes -------------------------------------------------------------------------------------------------


@shop.on("同意 {order}", "同意 {order} {line}", "agree {order}")  # 同意 alone may be a buyer's: `take_offer`
@shop.on("收到退货 {order}", "收到退货 {order} {line}", "收到退货")
async def agree(
    said: AgreeCase, orders: OrderGlance, cases: CaseGlance, ways: WayBackGlance, figures: Figures
) -> Reply:
    """Reads back what is granted: what goes back, or where it is to be sent; four digits confirm it."""
    wish = await _named(said, cases, *ANSWERABLE)
    if isinstance(wish, Reply):
        return wish
    order = await orders.any_by_no(wish.order)
    found = [case for case in await cases.of_order(order.id) if wish.line in (0, case.place)]
    found = [case for case in found if case.state in ANSWERABLE and not case.sending]
    if not found:
        raise NoSuchCase(order=order.no)
    if len(found) > 1 and {case.kind for case in found} != {"refund"}:
        return _which(found, wish)
    act = AgreeNow(order.no, tuple(case.id for case in found), sum(case.steps for case in found))
    freight_fen = freight_back(order, order.lines, found)
    way = await ways.coming(order.id, sum(case.amount_fen for case in found) + freight_fen)
    facts = {"cases": found, "freight_fen": freight_fen, "way": way, "figures": figures.service}
    return confirm("aftersale/agree", act, digits(), order=order, **facts).now_seen("order", order.no)


def changed_since(wish: AgreeNow, held: list[Case]) -> bool:
    """Whether somebody has answered since it was read back."""
    return len(held) != len(wish.cases) or sum(case.steps for case in held) != wish.steps


@shop.on()
async def agree_now(wish: AgreeNow, orders: Orders, cases: Remedies, ways: WayBackGlance, figures: Figures) -> Reply:
    """Confirmed: granted, or paid for what has come back."""
    order = await orders.hold_any(wish.order)
    held = [case for case in await cases.open_of(order.id) if case.id in wish.cases]
    if changed_since(wish, held):
        raise CaseNotNow(order=order.no, state="", word="刚刚有变化")
    for case in held:
        if case.state == "applied":
            await cases.agree(order, case, figures, actor="staff")
        else:
            await cases.pay(order, case, actor="staff")
    way = await ways.owed(order.id, REASON, *wish.cases)
    return reply("aftersale/agreed", Choice("售后", ListCases()), order=order.no, way=way, kind=held[0].kind)


# -- no --------------------------------------------------------------------------------------------------


@shop.on(
    "拒绝 {order} 行 {line} {reason}",
    "拒绝 {order} {reason}",
    "拒绝 {order}",
    "拒绝 {reason}",
    "拒绝",
    "refuse {order} {reason}",
    "refuse {order}",
)
async def refuse(said: RefuseCase, orders: Orders, cases: Remedies, glance: CaseGlance, now: datetime) -> Reply:
    """No, and why: the buyer hears the reason, and what one can still do."""
    wish = await _named(said, glance, "applied", "returned")
    if isinstance(wish, Reply):
        return wish
    order = await orders.hold_any(wish.order)
    open_ = {case.id: case for case in await cases.open_of(order.id, "applied", "returned")}
    found = [case for case in await glance.of_order(order.id) if case.id in open_ and wish.line in (0, case.place)]
    if not found:
        raise NoSuchCase(order=order.no)
    if len(found) > 1 and {case.kind for case in found} != {"refund"}:
        return _which(found, wish)
    if not wish.reason.strip():
        return ask("aftersale/why_not", wish, "reason", case=found[0])
    for seen in found:
        open_[seen.id].refuse(order, wish.reason.strip()[:100], now)
    done = reply("aftersale/refused", Choice("售后", ListCases()), case=found[0], why=wish.reason.strip()[:100])
    return done.now_seen("order", order.no)


# -- something else --------------------------------------------------------------------------------------


async def _meant(no: str, place: int, orders: OrderGlance, cases: CaseGlance) -> tuple[OrderSeen, list[int]]:
    """The order and the places of the lines that may be meant: the one named, those complained about, or all."""
    order = await orders.any_by_no(no)
    if 1 <= place <= len(order.lines):
        return order, [place]
    asked = [case.place for case in await cases.of_order(order.id) if case.state == "applied"]
    return order, asked or list(range(1, len(order.lines) + 1))


def _which_line(order: OrderSeen, places: list[int], act: Intent) -> Reply:
    rows = [Choice(order.lines[n - 1].words, act.filled(line=n)) for n in places[:8]]
    return listing("aftersale/which_line", rows, order=order.no).now_seen("order", order.no)


@shop.on(
    "退 {order} {fen}",
    "退 {order} {fen} {reason}",
    "退 {order} 行 {line} {fen}",
    "退 {order} 行 {line} {fen} {reason}",
    "退 {fen}",
    "退 {fen} {reason}",
    "give back {order} {fen}",
)
async def give_part(said: GivePart, orders: OrderGlance, cases: CaseGlance, ways: WayBackGlance) -> Reply:
    """A part of the money: proposed where its buyer wants something else, else paid back; four digits."""
    wish = await _named(said, cases, "applied")
    if isinstance(wish, Reply):
        return wish
    order, places = await _meant(wish.order, wish.line, orders, cases)
    if order.state not in ("paid", "shipped", "completed") or not wish.fen:
        raise NotNow(order=order.no, state=order.state, word=order.word, act="aftersale")
    if len(places) > 1:
        return _which_line(order, places, wish)
    place, reason = places[0], wish.reason.strip()[:100]
    line, of_line = order.lines[place - 1], [c for c in await cases.of_order(order.id) if c.place == place]
    case = next((c for c in of_line if c.state == "applied"), None)
    proposed = case is not None and not (case.kind == "part" and case.amount_fen <= wish.fen)
    act = GivePartNow(order.no, place, wish.fen, reason, await _last(cases, order.id, place))
    facts = {"line": line.words, "fen": wish.fen, "proposed": proposed, "reason": reason}
    facts["way"] = way = await ways.coming(order.id, wish.fen)
    gone_fen = sum(c.amount_fen for c in of_line if c.kind in MONEY and c.state in ("refunding", "done"))
    left_fen = min(way.fen, line.amount_fen - gone_fen)
    if left_fen < wish.fen:
        raise TooMuchAsked(order=order.no, line=line.words, left_fen=left_fen)
    return confirm("aftersale/give_part", act, digits(), order=order.no, **facts).now_seen("order", order.no)


@shop.on()
async def give_part_now(
    wish: GivePartNow, orders: Orders, cases: Remedies, ways: WayBackGlance, figures: Figures
) -> Reply:
    """Confirmed: paid back, or proposed to the buyer."""
    order, line, case = await _held(wish, orders, cases)
    if case is None:
        case = await cases.apply(
            order, line, figures, kind="part", reason="shop", words=wish.reason, fen=wish.fen, actor="staff"
        )
        await cases.agree(order, case, figures, actor="staff", cause=wish.reason)
    elif case.kind == "part" and case.amount_fen <= wish.fen:
        await cases.grant_part(order, case, wish.fen, figures)
    else:
        await cases.propose(order, case, "part", figures, fen=wish.fen)
    return _done(order, case, await ways.owed(order.id, REASON, case.id))


@shop.on(
    "补发 {order}",
    "补发 {order} {line}",
    "补发 {order} 行 {line}",
    "补发 {order} {line} x {pieces}",
    "补发 {order} 行 {line} x {pieces}",
    "补发 行 {line}",
    "补发 行 {line} x {pieces}",
    "resend {order}",
)
async def resend(said: Resend, orders: OrderGlance, cases: CaseGlance) -> Reply:
    """Sent again: a parcel of the same order, taken from the stock; four digits."""
    wish = await _named(said, cases, "applied")
    if isinstance(wish, Reply):
        return wish
    order, places = await _meant(wish.order, wish.line, orders, cases)
    if order.state not in ("paid", "shipped", "completed"):
        raise NotNow(order=order.no, state=order.state, word=order.word, act="aftersale")
    if len(places) > 1:
        return _which_line(order, places, wish)
    place = places[0]
    line = order.lines[place - 1]
    case = next((c for c in await cases.of_order(order.id) if c.place == place and c.state == "applied"), None)
    pieces = min(wish.pieces or (case.pieces if case and case.pieces else line.quantity), line.quantity)
    proposed = case is not None and case.kind != "resend"
    act = ResendNow(order.no, place, pieces, await _last(cases, order.id, place))
    words = f"{line.name} {line.spec}".strip() + f" ×{pieces}"
    asked = confirm("aftersale/resend", act, digits(), order=order.no, line=words, proposed=proposed)
    return asked.now_seen("order", order.no)


@shop.cue(100)
def to_resend(hearing: Hearing) -> Intent | None:
    """补发 alone is a merchant's, unless it answers what this person was asked: staff complain and buy, too."""
    if hearing.said != "补发" or hearing.role < Resend.role:
        return None
    return Resend(hearing.talk.shown("order", hearing.now))


@shop.on()
async def resend_now(wish: ResendNow, orders: Orders, cases: Remedies, figures: Figures) -> Reply:
    """Confirmed: the pieces are taken from the stock and wait for 发货, or it is proposed to the buyer."""
    order, line, case = await _held(wish, orders, cases)
    if unsent(order, line) or not line.ships:
        raise NotNow(order=order.no, state=order.state, word=order.word, act="resend")
    if case is not None and case.kind != "resend":
        await cases.propose(order, case, "resend", figures, pieces=wish.pieces)
        return _done(order, case, WayBack())
    if case is None:
        case = await cases.apply(order, line, figures, kind="resend", reason="shop", pieces=wish.pieces, actor="staff")
    case.pieces = wish.pieces
    await cases.agree(order, case, figures, actor="staff")
    return _done(order, case, WayBack())


async def _last(cases: CaseGlance, order_id: int, place: int) -> tuple[int, ...]:
    """The newest case of a line and its steps, as they are read back; () for none."""
    found = [(case.id, case.steps) for case in await cases.of_order(order_id) if case.place == place]
    return max(found, default=())


async def _held(wish: GivePartNow | ResendNow, orders: Orders, cases: Remedies) -> tuple[Order, OrderLine, Case | None]:
    """The order, the line at this place, and what is asked about it; the order locked before the case.

    Raises CaseNotNow when it is not what was read back: a proposal is no gift, and what was given is not given twice.
    """
    order = await orders.hold_any(wish.order)
    lines = await orders.lines(order.id)
    if not 1 <= wish.line <= len(lines):
        raise NoSuchCase(order=order.no)
    line = lines[wish.line - 1]
    last = await cases.last_of(line.id)
    if tuple(wish.last) != ((last.id, last.steps) if last is not None else ()):
        raise CaseNotNow(order=order.no, state="", word="刚刚有变化")
    if last is not None and last.open and last.state != "applied":
        raise last.not_now(order)
    return order, line, last if last is not None and last.open else None


def _done(order: Order, case: Case, way: WayBack) -> Reply:
    facts = {"order": order.no, "offer": case.offer, "kind": case.kind, "way": way}
    return reply("aftersale/arranged", Choice("售后", ListCases()), **facts).now_seen("order", order.no)


# -- seven days ------------------------------------------------------------------------------------------


@shop.on("七天无理由 {product} {words}")
async def set_returns(wish: SetReturns, products: Products, figures: Figures) -> Reply:
    """Whether goods are taken back for a change of mind: yes, only unopened, or no. Faults always are."""
    answer = next((value for cue, value in RETURNS if cue in wish.words), None)
    if answer is None:
        return reply("aftersale/how_returns", product=wish.product)
    product = await products.hold(wish.product)
    product.returns = answer or None
    await products.session.flush()
    touch(products.work, product.id)
    said = reply("aftersale/returns_set", Choice("看商品", ShowProduct(product.code)), product=product, returns=answer)
    return said.now_seen("product", product.code)
