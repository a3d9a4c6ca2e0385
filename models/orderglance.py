"""Orders as the asking path sees them: immutable rows, found by number and owner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, func, select

from models.address import Label
from models.base import Glance, Invariant
from models.order import OPEN_TO_CHANGE, UNPAID, WORDS, NoSuchOrder, Order, OrderLine
from models.parcel import Parcel
from models.supplement import Supplement


class Which(StrEnum):
    """Which orders a list shows."""

    ALL = ""
    UNPAID = "unpaid"
    UNDER_WAY = "underway"  # paid and not completed
    SHIPPED = "shipped"


OPEN = (*UNPAID, "paid", "forming", "shipped")
_STATES: dict[Which, tuple[str, ...]] = {
    Which.UNPAID: UNPAID,
    Which.UNDER_WAY: ("paid", "forming", "shipped"),
    Which.SHIPPED: ("shipped",),
}


@dataclass(frozen=True)
class LineSeen:
    """So many pieces of one spec."""

    sku_id: int
    code: str
    name: str
    spec: str
    unit: str
    quantity: int
    amount_fen: int
    ships: bool = True
    parcel_id: int | None = None
    returns: str | None = None
    back_at: datetime | None = None
    id: int = 0

    @property
    def words(self) -> str:
        """龙井 250g ×2"""
        return " ".join(p for p in (self.name, self.spec, f"×{self.quantity}") if p)


@dataclass(frozen=True)
class ParcelSeen:
    """One parcel of an order, and what is in it."""

    id: int
    carrier: str
    tracking: str
    at: datetime
    words: tuple[str, ...]


@dataclass(frozen=True)
class OrderSeen:
    """An order with its lines, for its owner and for staff."""

    id: int
    no: str
    pay_code: str
    follower_id: int
    state: str
    goods_fen: int
    discount_fen: int
    freight_fen: int
    spare_fen: int
    total_fen: int
    refunded_fen: int
    receiver: str
    phone: str
    region: str
    detail: str
    note: str
    ships: bool
    pickup_code: str
    play: str
    group_id: int | None
    made: datetime
    pay_until: datetime
    paid_at: datetime | None
    promise_hours: int
    promise_after: datetime | None
    promised_at: datetime | None
    promised_again: datetime | None
    packed_at: datetime | None
    shipped_at: datetime | None
    completed_at: datetime | None
    carrier: str
    tracking: str
    closed_cause: str
    waits_until: datetime | None
    lines: tuple[LineSeen, ...] = ()
    parcels: tuple[ParcelSeen, ...] = ()

    @property
    def leaves_at(self) -> datetime | None:
        """When it leaves at the latest, by the newest word on it."""
        return self.promised_again or self.promised_at

    @property
    def changeable(self) -> bool:
        """Whether its buyer may still have second thoughts."""
        return self.state in OPEN_TO_CHANGE and self.packed_at is None

    @property
    def waiting(self) -> tuple[LineSeen, ...]:
        """The lines that travel and have not left."""
        travels = () if self.pickup_code else self.lines
        return tuple(line for line in travels if line.ships and line.parcel_id is None and not line.back_at)

    @property
    def where(self) -> str:
        """张* 138****8000 浙江省杭州市西湖区***: as it may be shown again; "" when nothing travels."""
        label = Label(self.receiver, self.phone, self.region, self.detail)
        return label.masked() if self.receiver and not self.pickup_code else ""

    @property
    def word(self) -> str:
        return WORDS[self.state]

    @property
    def words(self) -> str:
        """What is in it, short: the first line, and how many more there are."""
        if not self.lines:
            return ""
        more = len(self.lines) - 1
        return self.lines[0].words + (f" 等{len(self.lines)}样" if more else "")


def with_goods(orders: Sequence[OrderSeen], codes: Iterable[str]) -> list[OrderSeen]:
    """Those of the orders in which one of these goods is."""
    wanted = set(codes)
    return [order for order in orders if any(line.code in wanted for line in order.lines)]


@dataclass(frozen=True)
class Pick:
    """So many pieces of one spec, for so many orders."""

    name: str
    spec: str
    quantity: int
    orders: int


@dataclass(frozen=True)
class PaySeen:
    """What anybody who holds the pay link may see of an order, or of a supplement."""

    order_id: int
    state: str
    total_fen: int
    refunded_fen: int
    pay_until: datetime
    supplement_id: int | None = None


LAST = "LAST"  # stands where a number is said: 上次那个, the last order that was completed

_COLUMNS = [getattr(Order, name) for name in OrderSeen.__dataclass_fields__ if name not in ("lines", "parcels")]


class OrderGlance(Glance):
    """Orders, read only."""

    async def page(
        self, follower_id: int, which: Which = Which.ALL, after: str = "", size: int = 8
    ) -> tuple[list[OrderSeen], bool]:
        """One person's orders, newest first, `size` of them after the one numbered `after`; True: there are more."""
        statement = select(*_COLUMNS).where(Order.follower_id == follower_id)
        if which in _STATES:
            statement = statement.where(Order.state.in_(_STATES[which]))
        if after:
            last = select(Order.id).where(Order.no == after, Order.follower_id == follower_id).scalar_subquery()
            statement = statement.where(Order.id < last)
        rows = await self.reader.all(statement.order_by(Order.id.desc()).limit(size + 1))
        return await self._whole(rows[:size]), len(rows) > size

    async def by_no(self, no: str, follower_id: int) -> OrderSeen:
        """An order of this person; NoSuchOrder for a foreign number as for a missing one."""
        if no == LAST:
            mine = select(Order.id).where(Order.follower_id == follower_id, Order.state == "completed")
            return await self._only("", Order.id == mine.order_by(Order.id.desc()).limit(1).scalar_subquery())
        return await self._only(no, Order.no == no, Order.follower_id == follower_id)

    async def changing(self, no: str, follower_id: int, most: int) -> list[OrderSeen]:
        """The order that is named, else at most so many that may still change, else those on their way; [] for none.

        Beside one that is over those that may change: it may be named only because it was last on screen.
        """
        named = [await self.by_no(no, follower_id)] if no else []
        if named and named[0].state not in ("closed", "completed"):
            return named
        unfinished = await self.unfinished(follower_id, most)
        changeable = [order for order in unfinished if order.changeable]
        if named:
            return [*named, *changeable]
        return changeable or [order for order in unfinished if order.state in ("paid", "shipped")]

    async def by_id(self, order_id: int) -> OrderSeen:
        """Any order, for the house's own notices."""
        return await self._only("", Order.id == order_id)

    async def any_by_no(self, no: str) -> OrderSeen:
        """Anybody's order, for staff."""
        return await self._only(no, Order.no == no)

    async def is_number(self, word: str) -> bool:
        """Whether an order bears this number."""
        return await self.reader.one(select(Order.id).where(Order.no == word)) is not None

    async def by_pay_code(self, code: str) -> PaySeen:
        """What its pay page shows; NoSuchOrder for a link that leads nowhere."""
        row = await self.reader.one(
            select(Order.id, Order.state, Order.total_fen, Order.refunded_fen, Order.pay_until).where(
                Order.pay_code == code
            )
        )
        if row is not None:
            return PaySeen(*row)
        more = await self.reader.one(
            select(
                Supplement.order_id, Supplement.state, Supplement.total_fen, Supplement.pay_until, Supplement.id
            ).where(Supplement.pay_code == code)
        )
        if more is None:
            raise NoSuchOrder(order="")
        return PaySeen(more.order_id, more.state, more.total_fen, 0, more.pay_until, more.id)

    async def unfinished(self, follower_id: int, limit: int = 50) -> list[OrderSeen]:
        """One person's orders that are neither completed nor closed, newest first."""
        rows = await self.reader.all(
            select(*_COLUMNS)
            .where(Order.follower_id == follower_id, Order.state.in_(OPEN))
            .order_by(Order.id.desc())
            .limit(limit)
        )
        return await self._whole(rows)

    async def unpaid(self, now: datetime, limit: int) -> list[OrderSeen]:
        """Everybody's orders that may be paid now, newest first, for staff."""
        rows = await self.reader.all(
            select(*_COLUMNS)
            .where(Order.state == "pending", Order.pay_until > now)
            .order_by(Order.id.desc())
            .limit(limit)
        )
        return await self._whole(rows)

    async def waiting(self, follower_id: int) -> list[OrderSeen]:
        """One person's orders that wait for a supplement, oldest first."""
        rows = await self.reader.all(
            select(*_COLUMNS)
            .where(Order.follower_id == follower_id, Order.state == "paid", Order.waits_until.is_not(None))
            .order_by(Order.id)
        )
        return await self._whole(rows)

    async def overdue(self, now: datetime, limit: int = 200) -> list[str]:
        """The numbers of the orders that wait for a payment and whose time is over, oldest first."""
        rows = await self.reader.all(
            select(Order.no)
            .where(Order.state == "pending", Order.pay_until <= now)
            .order_by(Order.pay_until, Order.id)
            .limit(limit)
        )
        return [row.no for row in rows]

    async def to_warn(self, until: datetime, limit: int = 200) -> list[str]:
        """The numbers of the orders whose promise ends by `until` and of which staff have not been told."""
        return await self._promised(until, limit, Order.promise_warned.is_(False))

    async def broken(self, now: datetime, limit: int = 200) -> list[str]:
        """The numbers of the orders that have not left as promised, and whose buyers have not been told so."""
        return await self._promised(now, limit)

    async def _promised(self, until: datetime, limit: int, *more: Any) -> list[str]:
        due = func.coalesce(Order.promised_again, Order.promised_at)
        rows = await self.reader.all(
            select(Order.no)
            .where(Order.state == "paid", Order.ships.is_(True), due <= until, *more)
            .order_by(due, Order.id)
            .limit(limit)
        )
        return [row.no for row in rows]

    async def to_receive(self, shipped_before: datetime, limit: int = 200) -> list[str]:
        """The numbers of the orders that left so long ago that they count as received."""
        rows = await self.reader.all(
            select(Order.no)
            .where(Order.state == "shipped", Order.shipped_at <= shipped_before)
            .order_by(Order.shipped_at, Order.id)
            .limit(limit)
        )
        return [row.no for row in rows]

    async def to_ship(self, after: str = "", size: int = 8) -> tuple[list[OrderSeen], bool]:
        """What is paid and has to leave, first promised first; True when there are more."""
        statement = select(*_COLUMNS).where(Order.state == "paid", Order.ships.is_(True))
        if after:
            last = await self.reader.all(select(Order.promised_at, Order.id).where(Order.no == after))
            if last:
                moment, last_id = last[0]
                statement = statement.where(
                    (Order.promised_at > moment) | ((Order.promised_at == moment) & (Order.id > last_id))
                )
        rows = await self.reader.all(statement.order_by(Order.promised_at, Order.id).limit(size + 1))
        return await self._whole(rows[:size]), len(rows) > size

    async def picking(self) -> tuple[list[Pick], list[tuple[str, str]]]:
        """All that has to leave, summed by spec, the most wanted first; and (number, note) of those with a note."""
        waits = (Order.state == "paid", Order.ships.is_(True))
        rows = await self.reader.all(
            select(OrderLine.name, OrderLine.spec, func.sum(OrderLine.quantity), func.count())
            .join(Order, Order.id == OrderLine.order_id)
            .where(*waits, OrderLine.ships.is_(True), OrderLine.parcel_id.is_(None), OrderLine.back_at.is_(None))
            .group_by(OrderLine.sku_id, OrderLine.name, OrderLine.spec)
            .order_by(func.sum(OrderLine.quantity).desc(), OrderLine.sku_id)
        )
        noted = await self.reader.all(select(Order.no, Order.note).where(*waits).order_by(Order.promised_at, Order.id))
        picks = [Pick(name, spec, int(pieces), int(orders)) for name, spec, pieces, orders in rows]
        return picks, [(row.no, row.note) for row in noted if row.note]

    async def _only(self, no: str, *conditions: Any) -> OrderSeen:
        row = await self.reader.one(select(*_COLUMNS).where(*conditions))
        if row is None:
            raise NoSuchOrder(order=no)
        return (await self._whole([row]))[0]

    async def _whole(self, rows: Sequence[Row[Any]]) -> list[OrderSeen]:
        if not rows:
            return []
        lines = await self.reader.all(
            select(
                OrderLine.order_id,
                OrderLine.sku_id,
                OrderLine.code,
                OrderLine.name,
                OrderLine.spec,
                OrderLine.unit,
                OrderLine.quantity,
                OrderLine.amount_fen,
                OrderLine.ships,
                OrderLine.parcel_id,
                OrderLine.returns,
                OrderLine.back_at,
                OrderLine.id,
            )
            .where(OrderLine.order_id.in_([r.id for r in rows]))
            .order_by(OrderLine.id)
        )
        of: dict[int, list[LineSeen]] = {}
        for line in lines:
            of.setdefault(line.order_id, []).append(LineSeen(*line[1:]))
        packed = await self._parcels([r.id for r in rows if r.tracking], of)
        return [
            OrderSeen(**row._mapping, lines=tuple(of.get(row.id, ())), parcels=tuple(packed.get(row.id, ())))
            for row in rows
        ]

    async def _parcels(self, order_ids: list[int], lines: dict[int, list[LineSeen]]) -> dict[int, list[ParcelSeen]]:
        if not order_ids:
            return {}
        found: dict[int, list[ParcelSeen]] = {}
        rows = await self.reader.all(select(Parcel.__table__).where(Parcel.order_id.in_(order_ids)).order_by(Parcel.id))
        for row in rows:
            words = tuple(x.words for x in lines.get(row.order_id, ()) if x.parcel_id == row.id)
            words = (*words, f"补发 {row.again}") if row.again else words
            found.setdefault(row.order_id, []).append(ParcelSeen(row.id, row.carrier, row.tracking, row.at, words))
        return found


INVARIANTS: tuple[Invariant, ...] = ()
