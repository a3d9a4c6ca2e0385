"""After-sale: what is wrong with a line of an order, who says what about it, and how much of it is left to go back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import CheckConstraint, ForeignKey, Index, bindparam, func, select, text, tuple_
from sqlalchemy.orm import Mapped, WriteOnlyMapped, mapped_column, relationship

from models.base import Base, Event, Guarded, Invariant, Moment, Refusal, Shelf
from models.evidence import PICTURES, Evidence
from models.figures import Figures
from models.order import NotNow, Order, OrderLine, Orders
from models.pricing import of_pieces
from models.refund import Refund
from models.seal import Sealed

OPEN = ("applied", "agreed", "returned", "refunding")
WAITING = ("applied", "agreed", "returned")  # for somebody's word; refunding waits for the cashier
MONEY = ("refund", "return", "part")
CHANGE_OF_MIND = "mind"
REASON = "aftersale"  # under which the money of a case goes back, with the case's id as its number
ROUNDS = 2  # after a refusal one more application, with something new
LONGEST = 200  # characters of what one says about it

EDGES = frozenset(
    {
        ("applied", "agreed"),
        ("applied", "refused"),
        ("applied", "withdrawn"),
        ("applied", "applied"),  # the shop has proposed something else
        ("agreed", "returned"),
        ("agreed", "refunding"),
        ("agreed", "done"),
        ("agreed", "withdrawn"),
        ("returned", "returned"),  # another number puts the first right
        ("returned", "refunding"),
        ("returned", "done"),
        ("returned", "refused"),  # what came back is not what had left
        ("returned", "withdrawn"),  # the whole order was ended meanwhile
        ("refunding", "done"),
    }
)
_OPEN = text("state IN ('applied','agreed','returned','refunding')")


class CaseForming(Refusal):
    """While its group forms, leaving the group is the way. Facts: order."""


class CaseTooLate(Refusal):
    """It was received more than so many days ago. Facts: order, days."""


class CaseOver(Refusal):
    """It was refused twice, or nothing of the line is left to go back. Facts: order, line, refused."""


class NothingNew(Refusal):
    """It was refused; a second application says or shows something new. Facts: order, line."""


class NotReturnable(Refusal):
    """Noted at the order: this is not taken back for a change of mind. Facts: order, line."""


class TooMuchAsked(Refusal):
    """More than what is left of the line. Facts: order, line, left_fen."""


class NoneToResend(Refusal):
    """Too few on the shelf to send it again. Facts: order, line, left, asked."""


class NoSuchCase(Refusal):
    """Nothing of this order is under way that could be answered so. Facts: order."""


class CaseNotNow(Refusal):
    """It cannot be done with a case that stands so. Facts: order, line, state, word."""


class CaseBeforeShipping(Refusal):
    """Its buyer wants it back: it is decided first, then shipped. Facts: order, lines."""


WORDS = {
    "applied": "等店主答复",
    "agreed": "店主同意了",
    "returned": "退货在路上",
    "refunding": "退款中",
    "done": "办好了",
    "refused": "店主没同意",
    "withdrawn": "已撤回",
}


@dataclass(frozen=True)
class CaseMoved(Event):
    """A case took a step. `to` is its state, or offered; `actor` buyer, staff or house; `cause` silent, closed …"""

    case_id: int
    order_id: int
    no: str
    follower_id: int
    to: str
    actor: str
    cause: str
    step: int  # which of its steps: names the notice


class Case(Guarded):
    """One line of one order about which something is to be done."""

    __tablename__ = "aftersale"
    __table_args__ = (
        Index("uq_aftersale_one_open", "line_id", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
        CheckConstraint("kind IN ('refund','return','resend','part')", name="kind_known"),
        CheckConstraint(
            "state IN ('applied','agreed','returned','refunding','done','refused','withdrawn')", name="state_known"
        ),
        CheckConstraint("pieces >= 0 AND amount_fen >= 0 AND freight_fen >= 0", name="sums_not_negative"),
        CheckConstraint("offer IN ('','part','resend')", name="offer_known"),
        Index(None, "order_id"),
        Index(None, "follower_id"),
        Index(None, "state", "due_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
    line_id: Mapped[int] = mapped_column(ForeignKey("order_line.id"))
    follower_id: Mapped[int] = mapped_column(ForeignKey("follower.id"))
    kind: Mapped[str]
    reason: Mapped[str]  # broken, short, wrong, bad; mind: a change of it; shop: the shop's own idea
    words: Mapped[str] = mapped_column(Sealed, default="")
    pieces: Mapped[int]  # that go back, or are sent again; a part of the money is none
    amount_fen: Mapped[int] = mapped_column(default=0)  # of the line: asked for, then what goes back
    freight_fen: Mapped[int] = mapped_column(default=0)  # goes back with it
    state: Mapped[str] = mapped_column(default="applied")
    turn: Mapped[int] = mapped_column(default=1)  # the first application, or the one after a refusal
    made: Mapped[datetime]
    due_at: Mapped[datetime | None]  # when silence speaks
    offer: Mapped[str] = mapped_column(default="")  # what the shop proposes instead
    offer_fen: Mapped[int] = mapped_column(default=0)
    offer_pieces: Mapped[int] = mapped_column(default=0)
    offered_at: Mapped[datetime | None]
    answer: Mapped[str] = mapped_column(Sealed, default="")  # why it was refused
    back_no: Mapped[str] = mapped_column(default="")  # under which number it travels back
    parcel_id: Mapped[int | None] = mapped_column(ForeignKey("parcel.id"))  # in which it was sent again
    steps: Mapped[int] = mapped_column(default=0)

    moves: WriteOnlyMapped[CaseMove] = relationship(lambda: CaseMove, order_by=lambda: CaseMove.id)

    @property
    def open(self) -> bool:
        return self.state in OPEN

    @property
    def fault(self) -> bool:
        """The shop's own: it pays the way back."""
        return self.reason != CHANGE_OF_MIND

    def refuse(self, order: Order, why: str, now: datetime) -> None:
        """The shop says no, and why."""
        self.go("refused", order, now, "staff", "")
        self.answer, self.due_at = why, None

    def send_back(self, order: Order, number: str, now: datetime, until: datetime) -> None:
        """Its buyer has sent it back under this number; `until` then silence says that it has arrived."""
        if self.kind != "return":
            raise self.not_now(order)
        self.go("returned", order, now, "buyer", number)
        self.back_no, self.due_at = number, until

    def propose(self, order: Order, what: str, fen: int, pieces: int, now: datetime, until: datetime) -> None:
        """The shop proposes a part of the money, or a resend; the buyer's yes makes it so, silence lets it drop."""
        self.go("applied", order, now, "staff", f"{what} {fen or pieces}", said="offered")
        self.offer, self.offer_fen, self.offer_pieces = what, fen, pieces
        self.offered_at, self.due_at = now, until

    def take_offer(self, order: Order) -> None:
        """The buyer says yes: the case is about what was proposed."""
        if self.state != "applied" or not self.offer:
            raise self.not_now(order)
        self.kind, self.offer = self.offer, ""
        self.amount_fen, self.pieces = self.offer_fen, self.offer_pieces

    def decline(self, order: Order, now: datetime, until: datetime) -> None:
        """The buyer says no to the proposal: the shop has to answer again, `until` then."""
        if self.state != "applied" or not self.offer:
            raise self.not_now(order)
        self.go("applied", order, now, "buyer", "no", said="declined")
        self.offer, self.due_at = "", until

    def go(self, to: str, order: Order, now: datetime, actor: str, cause: str, *, said: str = "") -> None:
        """One step along an edge, on record. CaseNotNow where there is none."""
        if not may_go(self.state, to):
            raise self.not_now(order)
        self.moves.add(CaseMove(before=self.state, after=to, actor=actor, cause=cause[:80], at=now))
        self.state, self.steps = to, self.steps + 1
        self.tell(CaseMoved(self.id, order.id, order.no, self.follower_id, said or to, actor, cause, self.steps))

    def not_now(self, order: Order) -> CaseNotNow:
        return CaseNotNow(order=order.no, state=self.state, word=WORDS[self.state])


class CaseMove(Base):
    """One step of a case; from a state to itself: the shop has proposed something."""

    __tablename__ = "aftersale_move"
    __table_args__ = (Index(None, "case_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("aftersale.id"))
    before: Mapped[str]
    after: Mapped[str]
    actor: Mapped[str]
    cause: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime]


def may_go(before: str, to: str) -> bool:
    """The guard of a case: what was answered is not answered again."""
    return (before, to) in EDGES


def number_of(case: Case) -> int:
    """The number under which the money of a case goes back: one case, one refund."""
    return case.id


@dataclass(frozen=True)
class Left:
    """What of a line has not gone back yet."""

    fen: int
    pieces: int

    def worth(self, pieces: int) -> int:
        """Fen for so many of its pieces; all that are left are worth all that is left."""
        return of_pieces(self.fen, self.pieces, 0, min(pieces, self.pieces)) if self.pieces else self.fen


def unsent(order: Order, line: OrderLine) -> bool:
    """Whether a line of a paid order is still here, to be sent or fetched."""
    here = line.parcel_id is None and line.travels
    return order.state == "paid" and here


class Cases(Shelf[Case]):
    """After-sale cases, for the changing path. The order is locked by the caller, before its case."""

    entity = Case

    async def by_id(self, case_id: int) -> Case | None:
        return await self._one(select(Case).where(Case.id == case_id), hold=True)

    async def order_of(self, case_id: int) -> int:
        row = await self.work.one(select(Case.order_id).where(Case.id == case_id))
        if row is None:
            raise NoSuchCase(order="")
        return int(row.order_id)

    async def held(self, case_id: int) -> tuple[Order, Case]:
        """The order, then its case, both locked. Raises NoSuchCase."""
        order = await Orders(self.work).hold_id(await self.order_of(case_id))
        case = await self.by_id(case_id)
        if case is None:
            raise NoSuchCase(order=order.no)
        return order, case

    async def of_refund(self, out_refund_no: str) -> int | None:
        """The id of the case whose money this refund is a part of, once all of it has gone back."""
        one = await self.work.one(
            select(Refund.order_id, Refund.reason, Refund.seq).where(Refund.out_refund_no == out_refund_no)
        )
        if one is None or one.reason != REASON:
            return None
        mine = (Refund.order_id == one.order_id, Refund.reason == REASON, Refund.seq == one.seq)
        under_way = await self.work.one(select(Refund.id).where(*mine, Refund.state != "done").limit(1))
        return int(one.seq) if under_way is None else None

    async def open_of(self, order_id: int, *states: str) -> list[Case]:
        """The open cases of an order in these states (none: all that are open), rows locked.

        In the order in which a payment locks their goods: whoever grants several of them locks those alike.
        """
        found = await self.session.execute(
            select(Case)
            .join(OrderLine, OrderLine.id == Case.line_id)
            .where(Case.order_id == order_id, Case.state.in_(states or OPEN))
            .order_by(OrderLine.sku_id, Case.id)
            .with_for_update(of=Case)
            .execution_options(populate_existing=True)
        )
        cases = list(found.scalars())
        for case in cases:
            self.work.watch(case)
        return cases

    async def last_of(self, line_id: int) -> Case | None:
        return await self._one(select(Case).where(Case.line_id == line_id).order_by(Case.id.desc()).limit(1), hold=True)

    async def touched(self, line_id: int) -> bool:
        """Whether anything is, or was, done about a line."""
        mine = (Case.line_id == line_id, Case.state.in_([*OPEN, "done"]))
        return await self.work.one(select(Case.id).where(*mine).limit(1)) is not None

    async def line(self, case: Case) -> OrderLine:
        return (await self.session.execute(select(OrderLine).where(OrderLine.id == case.line_id))).scalar_one()

    async def left(self, line: OrderLine) -> Left:
        """What of a line has not gone back."""
        row = await self.work.one(
            select(
                func.coalesce(func.sum(Case.amount_fen), 0).label("fen"),
                func.coalesce(func.sum(Case.pieces), 0).label("pieces"),
            ).where(Case.line_id == line.id, Case.kind.in_(MONEY), Case.state.in_(["refunding", "done"]))
        )
        assert row is not None
        return Left(line.amount_fen - int(row.fen), max(0, line.quantity - int(row.pieces)))

    async def apply(
        self,
        order: Order,
        line: OrderLine,
        figures: Figures,
        *,
        kind: str,
        reason: str,
        words: str = "",
        pieces: int = 0,
        fen: int = 0,
        pictures: tuple[str, ...] = (),
        actor: str = "buyer",
    ) -> Case:
        """Open a case about one line: `pieces` of it (0: all that are left), or `fen` of the money.

        Raises NotNow, CaseForming, CaseTooLate, CaseOver, NothingNew, NotReturnable, TooMuchAsked, CaseNotNow (one is
        open already); Contended when somebody else opened one at this moment.
        """
        now = self.work.now
        await self.allowed(order, line, figures, reason, now)
        last, left = await self.last_of(line.id), await self.left(line)
        if last is not None and last.open:
            raise last.not_now(order)
        refused = last is not None and last.state == "refused"
        paid_back = not left.fen and not unsent(order, line)  # of what is still here the pieces are left, to stay here
        if paid_back or (refused and last is not None and last.turn >= ROUNDS and actor == "buyer"):
            raise CaseOver(order=order.no, line=line.words, refused=refused)
        if refused and actor == "buyer" and not (words.strip() or pictures):
            raise NothingNew(order=order.no, line=line.words)
        if kind == "part" and fen > left.fen:
            raise TooMuchAsked(order=order.no, line=line.words, left_fen=left.fen)
        pieces = 0 if kind == "part" else min(pieces or left.pieces, left.pieces)
        if unsent(order, line) and kind != "part":
            kind, pieces = "refund", left.pieces  # what is still here goes back whole
        case = await self.add(
            Case(
                order_id=order.id,
                line_id=line.id,
                follower_id=order.follower_id,
                kind=kind,
                reason=reason,
                words=words.strip()[:LONGEST],
                pieces=pieces,
                amount_fen=fen if kind == "part" else 0 if kind == "resend" else left.worth(pieces),
                state="applied",
                turn=2 if refused else last.turn if last is not None and last.state == "withdrawn" else 1,
                made=now,
                due_at=now + timedelta(hours=figures.order.aftersale_hours),
            )
        )
        case.moves.add(CaseMove(before="", after="applied", actor=actor, cause=reason, at=now))
        for media_id in pictures[:PICTURES]:
            await Evidence(self.work).show(case.id, media_id)
        if actor == "buyer":
            case.tell(CaseMoved(case.id, order.id, order.no, order.follower_id, "applied", actor, reason, 0))
        return case

    async def allowed(self, order: Order, line: OrderLine, figures: Figures, reason: str, now: datetime) -> None:
        """Whether one may complain about a line at all. Raises as `apply` does, and OrderWaits."""
        if order.state == "forming":
            raise CaseForming(order=order.no)
        if order.state not in ("paid", "shipped", "completed"):
            raise NotNow(order=order.no, state=order.state, word=order.word, act="aftersale")
        order.at_rest()
        days = figures.order.aftersale_days
        if reason != "shop" and order.completed_at is not None and order.completed_at + timedelta(days=days) < now:
            raise CaseTooLate(order=order.no, days=days)
        if reason == CHANGE_OF_MIND and line.returns == "no" and not unsent(order, line):
            raise NotReturnable(order=order.no, line=line.words)


_latest = (
    select(CaseMove.after)
    .where(CaseMove.case_id == Case.id)
    .order_by(CaseMove.id.desc())
    .limit(1)
    .correlate(Case)
    .scalar_subquery()
)

INVARIANTS = (
    Invariant(
        "aftersale_one_open",
        "about one line one case is open",
        select(Case.line_id).where(Case.state.in_(OPEN)).group_by(Case.line_id).having(func.count() > 1),
    ),
    Invariant(
        "aftersale_of_its_order",
        "a case is about a line of its order, and of the one who ordered",
        select(Case.id)
        .join(OrderLine, OrderLine.id == Case.line_id)
        .join(Order, Order.id == Case.order_id)
        .where((OrderLine.order_id != Case.order_id) | (Order.follower_id != Case.follower_id)),
    ),
    Invariant(
        "aftersale_moves_along_edges",
        "a case moves along the listed edges only, and stands where its last step led",
        select(Case.id)
        .join(CaseMove, CaseMove.case_id == Case.id)
        .where(
            tuple_(CaseMove.before, CaseMove.after).not_in([*sorted(EDGES), ("", "applied")])
            | (Case.state != func.coalesce(_latest, ""))
        ),
    ),
    Invariant(
        "aftersale_answered",
        "silence is an answer, in its time",
        select(Case.id).where(Case.state.in_(WAITING), Case.due_at < bindparam("late", type_=Moment())),
        grace_minutes=30,
    ),
)
