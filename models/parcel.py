"""Parcels: an order may leave in several, and each line leaves whole in one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ForeignKey, Index, UniqueConstraint, exists, select
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Invariant, Refusal, Shelf
from models.order import Order, OrderLine, Orders


class NoSuchLine(Refusal):
    """The order has no line of this number that travels. Facts: order, line, count."""


class FetchedNotSent(Refusal):
    """Its buyer fetches it at the shop. Facts: order."""


class LineSent(Refusal):
    """The line left in another parcel. Facts: order, line, carrier, tracking."""


class AllSent(Refusal):
    """Everything has left, in several parcels: whose number is to be put right? Facts: order, parcels."""


class Parcel(Base):
    """One parcel of one order, under its carrier's number."""

    __tablename__ = "parcel"
    __table_args__ = (UniqueConstraint("order_id", "carrier", "tracking"), Index(None, "tracking"))

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
    carrier: Mapped[str]
    tracking: Mapped[str]
    at: Mapped[datetime]
    again: Mapped[str | None]  # what was sent again in it, after a complaint


@dataclass(frozen=True)
class Sent:
    """What became of it: `new` False: all was known; `put_right`: an earlier number was wrong; `rest`: still here."""

    new: bool
    put_right: bool
    lines: tuple[str, ...]
    rest: tuple[str, ...]


class Parcels(Shelf[Parcel]):
    """The parcels, for the changing path. The order is locked by the caller."""

    entity = Parcel

    async def of(self, order_id: int) -> list[Parcel]:
        found = await self.session.execute(select(Parcel).where(Parcel.order_id == order_id).order_by(Parcel.id))
        return list(found.scalars())

    async def send(self, order: Order, carrier: str, tracking: str, places: Sequence[int] = ()) -> Sent:
        """These lines (by place, from 1; none: all that are left) leave under this number.

        The same again changes nothing; another number for lines that have left puts theirs right. Raises NotNow,
        FetchedNotSent, NoSuchLine, LineSent, AllSent.
        """
        if order.pickup_code:
            raise FetchedNotSent(order=order.no)
        lines = await Orders(self.work).lines(order.id)
        travels = {n: line for n, line in enumerate(lines, 1) if line.travels}
        for n in places:
            if n not in travels:
                raise NoSuchLine(order=order.no, line=n, count=len(lines))
        known = await self.of(order.id)
        same = next((p for p in known if (p.carrier, p.tracking) == (carrier, tracking)), None)
        wanted = {n: travels[n] for n in places} or {n: x for n, x in travels.items() if x.parcel_id is None}
        if same is not None and (not places or all(line.parcel_id == same.id for line in wanted.values())):
            return _sent(False, False, [x for x in lines if x.parcel_id == same.id], lines)
        wrong = self._wrong(order, [p for p in known if not p.again], wanted, travels)
        chosen = [x for x in lines if x.parcel_id == wrong.id] if wrong is not None else list(wanted.values())
        if wrong is not None and same is None:
            wrong.carrier, wrong.tracking = carrier, tracking
        else:
            parcel = same or await self.add(
                Parcel(order_id=order.id, carrier=carrier, tracking=tracking, at=self.work.now)
            )
            for line in chosen:
                line.parcel_id = parcel.id
        if any(line.parcel_id is None for line in travels.values()):
            order.part_ship(carrier, tracking, self.work.now)
        else:
            order.ship(carrier, tracking, self.work.now)
        return _sent(True, wrong is not None, chosen, lines)

    def _wrong(
        self, order: Order, known: list[Parcel], wanted: dict[int, OrderLine], travels: dict[int, OrderLine]
    ) -> Parcel | None:
        """The parcel whose number is put right; None when the lines have not left yet."""
        left = {line.parcel_id for line in wanted.values()} - {None}
        if not wanted and len(known) == 1:
            return known[0]
        if not wanted and known:
            raise AllSent(order=order.no, parcels=[f"{p.carrier} {p.tracking}" for p in known])
        if not left:
            return None
        theirs = [n for n, line in travels.items() if line.parcel_id in left]
        if len(left) == 1 and sorted(wanted) == theirs:
            return next(p for p in known if p.id in left)
        n = next(n for n, line in wanted.items() if line.parcel_id is not None)
        parcel = next(p for p in known if p.id == wanted[n].parcel_id)
        raise LineSent(order=order.no, line=n, carrier=parcel.carrier, tracking=parcel.tracking)


def _sent(new: bool, put_right: bool, chosen: Sequence[OrderLine], lines: Sequence[OrderLine]) -> Sent:
    rest = tuple(line.words for line in lines if line.travels and line.parcel_id is None)
    return Sent(new, put_right, tuple(line.words for line in chosen), rest)


INVARIANTS = (
    Invariant(
        "parcel_of_its_order",
        "a line leaves in a parcel of its own order",
        select(OrderLine.id)
        .join(Parcel, Parcel.id == OrderLine.parcel_id)
        .where(Parcel.order_id != OrderLine.order_id),
    ),
    Invariant(
        "parcel_for_all_that_left",
        "an order that has left has left with everything that travels, and one that waits has not",
        select(Order.id).where(
            Order.ships.is_(True),
            Order.state.in_(["shipped", "completed"])
            == exists().where(
                OrderLine.order_id == Order.id,
                OrderLine.ships,
                OrderLine.parcel_id.is_(None),
                OrderLine.back_at.is_(None),
            ),
            Order.state.in_(["paid", "shipped", "completed"]),
        ),
    ),
)
