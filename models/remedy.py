"""What is done about a case that was agreed: money back, pieces sent again, goods that stay here after all.

A line goes back in parts, by pieces or by sums; whatever the parts, together they are its amount to the fen. Freight
goes back with the last line that travels, if nothing of the order has left.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import bindparam, case, exists, func, select

from models import hold, product
from models.aftersale import (
    MONEY,
    REASON,
    WAITING,
    Case,
    CaseBeforeShipping,
    Cases,
    NoneToResend,
    TooMuchAsked,
    number_of,
    unsent,
)
from models.aftersaleglance import CaseSeen
from models.base import Invariant, Moment
from models.figures import Figures
from models.order import Order, OrderLine, OrderMove, Orders
from models.orderglance import LineSeen, OrderSeen
from models.parcel import Parcel, Parcels
from models.product import Sku
from models.refund import Refund, Refunds
from models.request import Requests


def freight_back(
    order: Order | OrderSeen, lines: Iterable[OrderLine | LineSeen], cases: Iterable[Case | CaseSeen]
) -> int:
    """The freight (fen) that goes back with what these cases are about: nothing has left, and after it nothing will."""
    gone = {case.line_id for case in cases if case.kind == "refund"}
    here = {line.id for line in lines if line.back_at is None and line.ships}
    return order.freight_fen if order.state == "paid" and not order.tracking and here and here <= gone else 0


class Remedies(Cases):
    """The cases once more, with what becomes of them. The order is locked by the caller, before its case."""

    async def agree(self, order: Order, case: Case, figures: Figures, *, actor: str, cause: str = "") -> None:
        """What was asked for is granted: money goes back at once, goods when they are back or sent again.

        Raises CaseNotNow, NoneToResend, RefundTooMuch.
        """
        now, line = self.work.now, await self.line(case)
        if case.kind == "resend":
            await self._take_again(order, case, line, actor)
        case.go("agreed", order, now, actor, cause, said="" if case.kind in ("return", "resend") else "granted")
        case.due_at, case.offer = None, ""
        if case.kind == "return":
            case.due_at = now + timedelta(days=figures.order.return_days)
        elif case.kind != "resend":
            await self.pay(order, case, actor=actor)

    async def grant_part(self, order: Order, case: Case, fen: int, figures: Figures) -> None:
        """As much as was asked for, or more. Raises as `agree`, and TooMuchAsked."""
        await self._within(order, case, fen)
        case.amount_fen = fen
        await self.agree(order, case, figures, actor="staff")

    async def propose(
        self, order: Order, case: Case, what: str, figures: Figures, *, fen: int = 0, pieces: int = 0
    ) -> None:
        """Something else than was asked for; the buyer's yes makes it so. Raises CaseNotNow, TooMuchAsked."""
        await self._within(order, case, fen)
        now = self.work.now
        case.propose(order, what, fen, pieces, now, now + timedelta(days=figures.order.return_days))

    async def _within(self, order: Order, case: Case, fen: int) -> None:
        line = await self.line(case)
        left = await self.left(line)
        if fen > left.fen:
            raise TooMuchAsked(order=order.no, line=line.words, left_fen=left.fen)

    async def _take_again(self, order: Order, case: Case, line: OrderLine, actor: str) -> None:
        """The pieces leave the stock; when nobody decided it and there are none, the money goes back instead."""
        row = await self.work.one(select((Sku.on_hand - Sku.held).label("left")).where(Sku.id == line.sku_id))
        if row is not None and row.left >= case.pieces:
            await product.adjust(self.work, line.sku_id, -case.pieces)
        elif actor == "house":
            left = await self.left(line)
            case.kind, case.amount_fen = "refund", left.worth(case.pieces)
        else:
            left_here = int(row.left) if row is not None else 0
            raise NoneToResend(order=order.no, line=line.words, left=left_here, asked=case.pieces)

    async def freight_asked(self, order: Order) -> int:
        """The freight (fen) that goes back too, once all that is asked for is granted."""
        return freight_back(order, await Orders(self.work).lines(order.id), await self.open_of(order.id))

    async def pay(self, order: Order, case: Case, *, actor: str, cause: str = "") -> None:
        """The money of an agreed case goes back the way it came; what had not left stays, and ends with the last."""
        line, now = await self.line(case), self.work.now
        left = await self.left(line)
        case.amount_fen = min(case.amount_fen, left.fen) if case.kind == "part" else left.worth(case.pieces)
        whole = case.kind != "part" and unsent(order, line)
        if whole:
            case.amount_fen, case.freight_fen = left.fen, await self._keep_here(order, line)
        fen = case.amount_fen + case.freight_fen
        case.due_at = None
        # What came back has its own news; what was agreed at this moment was told by that.
        case.go("refunding", order, now, actor, cause, said="granted" if case.kind == "return" else "")
        if not fen:
            case.go("done", order, now, "house", "free")
            return
        what = f"{line.id}:{line.amount_fen - left.fen}"  # so much of this line went back before
        await Refunds(self.work).owe_back(order.id, fen, REASON, now, seq=number_of(case), what=what)

    async def _keep_here(self, order: Order, line: OrderLine) -> int:
        """A line that had not left never will: its pieces are for others. The freight (fen) that goes back with it."""
        orders, now = Orders(self.work), self.work.now
        line.back_at = now
        lines = await orders.lines(order.id)
        nothing_left = not order.tracking and not await Parcels(self.work).of(order.id)
        travels = [x for x in lines if x.travels and x.parcel_id is None]
        freight_fen = order.freight_fen if nothing_left and not travels else 0
        if not travels:
            await Requests(self.work).over(order)  # no parcel is left that could go elsewhere
        if all(x.back_at is not None for x in lines):
            await orders.undo(order, "aftersale", actor="house")
            return freight_fen
        await hold.give_back_one(self.work, order, "stock", line.sku_id)
        if not travels and not nothing_left:
            order.ship(order.carrier, order.tracking, now, actor="house")  # all that travels has left
        elif not travels:
            order.ships, order.pickup_code = False, ""  # what is left never travelled, and was handed over
            order.deliver(now, "aftersale")
        return freight_fen

    async def withdraw(self, order: Order, case: Case, *, actor: str, cause: str = "") -> None:
        """Its buyer, or their silence, lets it drop. Raises CaseNotNow."""
        if case.kind == "resend" and case.state == "agreed":
            await product.adjust(self.work, (await self.line(case)).sku_id, case.pieces)
        case.go("withdrawn", order, self.work.now, actor, cause)
        case.due_at = None

    async def send_again(self, order: Order, carrier: str, tracking: str) -> list[str] | None:
        """What was agreed to be sent again leaves in this parcel: its words; None when nothing waits for that."""
        waiting = [c for c in await self.open_of(order.id, "agreed") if c.kind == "resend"]
        known = await Parcels(self.work).of(order.id)
        if not waiting or any((p.carrier, p.tracking) == (carrier, tracking) for p in known):
            return None
        lines = [(case, await self.line(case)) for case in waiting]
        words = [f"{line.name} {line.spec}".strip() + f" ×{case.pieces}" for case, line in lines]
        parcel = await Parcels(self.work).add(
            Parcel(
                order_id=order.id,
                carrier=carrier,
                tracking=tracking,
                at=self.work.now,
                again="、".join(words),
            )
        )
        for one, _ in lines:
            one.parcel_id = parcel.id
            one.go("done", order, self.work.now, "staff", f"{carrier} {tracking}")
        return words

    async def stop_shipping(self, order: Order, places: tuple[int, ...] = ()) -> None:
        """CaseBeforeShipping while somebody wants back what is about to leave (by place, from 1; none: all)."""
        cases = {case.line_id: case for case in await self.open_of(order.id, "applied")}
        lines = await Orders(self.work).lines(order.id)
        asked = [
            (n, line.words)
            for n, line in enumerate(lines, 1)
            if line.id in cases and unsent(order, line) and (not places or n in places)
        ]
        if asked:
            raise CaseBeforeShipping(order=order.no, lines=asked)


_back = (
    select(Case.line_id.label("line_id"), func.sum(Case.amount_fen).label("fen"))
    .where(Case.kind.in_(MONEY), Case.state.in_(["refunding", "done"]))
    .group_by(Case.line_id)
    .subquery()
)
_owed = Case.amount_fen + Case.freight_fen
_mine = (Refund.order_id == Case.order_id, Refund.reason == REASON, Refund.seq == Case.id)
_refunded = select(func.coalesce(func.sum(Refund.amount_fen), 0)).where(*_mine).correlate(Case).scalar_subquery()
_under_way = exists().where(*_mine, Refund.state != "done").correlate(Case)

INVARIANTS = (
    Invariant(
        "aftersale_line_within_amount",
        "a line is never paid back beyond what it cost",
        select(OrderLine.id).join(_back, _back.c.line_id == OrderLine.id).where(_back.c.fen > OrderLine.amount_fen),
    ),
    Invariant(
        "aftersale_money_owed",
        "a case that pays back has its refunds, of its own order and its own sum",
        select(Case.id).where(
            Case.kind.in_(MONEY), _refunded != case((Case.state.in_(["refunding", "done"]), _owed), else_=0)
        ),
    ),
    Invariant(
        "aftersale_done_kept",
        "what is done was paid back, or sent again",
        select(Case.id).where(
            Case.state == "done",
            ((Case.kind == "resend") & Case.parcel_id.is_(None)) | (Case.kind.in_(MONEY) & _under_way),
        ),
    ),
    Invariant(
        "aftersale_ends_with_its_money",
        "when all of a case's money has gone back, the case is done",
        select(Case.id).where(
            Case.state == "refunding",
            ~_under_way,
            ~exists().where(*_mine, Refund.done_at >= bindparam("late", type_=Moment())).correlate(Case),
        ),
        grace_minutes=20,
    ),
    Invariant(
        "aftersale_ends_with_its_order",
        "of an order that was ended nothing waits for an answer",
        select(Case.id)
        .join(Order, Order.id == Case.order_id)
        .where(
            Case.state.in_(WAITING),
            Order.state == "closed",
            ~exists()
            .where(OrderMove.order_id == Order.id, OrderMove.at >= bindparam("late", type_=Moment()))
            .correlate(Order),
        ),
        grace_minutes=20,
    ),
    Invariant(
        "freight_goes_back_once",
        "no more freight goes back than was paid for it",
        select(Order.id).where(
            Order.freight_fen
            < select(func.coalesce(func.sum(Case.freight_fen), 0))
            .where(Case.order_id == Order.id, Case.kind.in_(MONEY), Case.state.in_(["refunding", "done"]))
            .correlate(Order)
            .scalar_subquery()
        ),
    ),
    Invariant(
        "aftersale_stays_here",
        "what was paid back before it left does not leave",
        select(OrderLine.id).where(OrderLine.back_at.is_not(None), OrderLine.parcel_id.is_not(None)),
    ),
)
