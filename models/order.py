"""Orders: what somebody wants to have, at a sum that stays, and the edges along which an order moves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    UniqueConstraint,
    bindparam,
    exists,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.orm import Mapped, WriteOnlyMapped, mapped_column, relationship

from models import hold
from models.base import Contended, Guarded, Invariant, Moment, Refusal, Shelf
from models.orderline import EDGES, OPEN_TO_CHANGE, PAID, UNPAID, WORDS, OrderLine, OrderMove
from models.ordernews import OrderClosed, OrderCompleted, OrderNews, OrderPaid, OrderPlaced, OrderReady, OrderShipped
from models.ready import Ready
from models.seal import Sealed

PICKED_UP: Any = dict.fromkeys(("sqlite_where", "postgresql_where"), text("pickup_code <> ''"))


class NoSuchOrder(Refusal):
    """There is no order of this number, or it is not this person's: both sound alike. Facts: order."""


class TooManyUnpaid(Refusal):
    """This many orders wait for their payment already. Facts: most, order (the oldest)."""


class QuantityOdd(Refusal):
    """Fewer than one piece, or more than the shop sells at once. Facts: product, asked, most."""


class NotNow(Refusal):
    """It cannot be done with an order in this state. Facts: order, state, word, act (pay, ship, receive, amend …)."""


class OrderWaits(Refusal):
    """Its buyer may be paying more for a change of mind: until then nothing of it leaves. Facts: order, until."""


class Order(Guarded):
    """One order; everything it says about money and goods was fixed when it was made."""

    __tablename__ = "order"
    __table_args__ = (
        UniqueConstraint("no"),
        UniqueConstraint("pay_code"),
        CheckConstraint(
            "state IN ('pending','closing','closed','paid','forming','shipped','completed')",
            name="state_known",
        ),
        CheckConstraint("total_fen >= 0 AND freight_fen >= 0 AND goods_fen >= 0", name="sums_not_negative"),
        CheckConstraint("total_fen = goods_fen - discount_fen + freight_fen + spare_fen", name="total_adds_up"),
        CheckConstraint("spare_fen >= 0", name="spare_not_negative"),
        CheckConstraint("refunded_fen >= 0 AND refunded_fen <= total_fen", name="refunded_within_total"),
        Index(None, "follower_id", "state"),
        Index(None, "state", "pay_until"),
        Index(None, "group_id"),
        Index("uq_order_pickup_code", "pickup_code", unique=True, **PICKED_UP),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    no: Mapped[str]
    pay_code: Mapped[str]
    follower_id: Mapped[int] = mapped_column(ForeignKey("follower.id"))
    state: Mapped[str] = mapped_column(default="pending")
    goods_fen: Mapped[int]
    discount_fen: Mapped[int] = mapped_column(default=0)
    freight_fen: Mapped[int] = mapped_column(default=0)
    spare_fen: Mapped[int] = mapped_column(default=0)  # became cheaper after it was paid: owed back by a refund
    total_fen: Mapped[int]
    refunded_fen: Mapped[int] = mapped_column(default=0)
    receiver: Mapped[str] = mapped_column(Sealed, default="")
    phone: Mapped[str] = mapped_column(Sealed, default="")
    region: Mapped[str] = mapped_column(Sealed, default="")
    detail: Mapped[str] = mapped_column(Sealed, default="")
    note: Mapped[str] = mapped_column(Sealed, default="")
    ships: Mapped[bool] = mapped_column(default=True)
    pickup_code: Mapped[str] = mapped_column(default="")  # fetched by its buyer, who shows this
    play: Mapped[str] = mapped_column(default="")
    group_id: Mapped[int | None] = mapped_column(ForeignKey("groupbuy.id"))
    made: Mapped[datetime]
    pay_until: Mapped[datetime]
    promise_hours: Mapped[int] = mapped_column(default=48)
    promise_after: Mapped[datetime | None]  # the shop rests until then: the hours count from here
    cutoff_at: Mapped[datetime | None]  # paid until then, it leaves until …
    cutoff_due: Mapped[datetime | None]  # … the end of that day
    paid_at: Mapped[datetime | None]
    promised_at: Mapped[datetime | None]  # when it leaves at the latest
    promised_again: Mapped[datetime | None]  # the new time, since the promise was broken
    promise_warned: Mapped[bool] = mapped_column(default=False)
    packed_at: Mapped[datetime | None]  # its label was opened, or something of it has left: no second thoughts
    shipped_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    carrier: Mapped[str] = mapped_column(default="")
    tracking: Mapped[str] = mapped_column(default="")
    closed_cause: Mapped[str] = mapped_column(default="")  # buyer, timeout, group, refunded …
    waits_until: Mapped[datetime | None]  # a supplement may be paid so long; nothing leaves meanwhile

    moves: WriteOnlyMapped[OrderMove] = relationship(lambda: OrderMove, order_by=lambda: OrderMove.id)

    @property
    def word(self) -> str:
        return WORDS[self.state]

    @property
    def payable(self) -> bool:
        return self.state == "pending"

    def pay(self, now: datetime) -> None:
        """The money is here. NotNow unless the order waits for it."""
        self._go("paid", now, "pay", actor="cashier", out_of=UNPAID)
        self.paid_at = now
        self._promise(now)
        self.tell(OrderPaid(*self.facts()))

    def close(self, cause: str, now: datetime, *, actor: str = "house") -> None:
        """End it without goods: buyer, timeout, group (it failed), left (the group), refunded."""
        waited = self.state == "closing"
        self._go("closed", now, cause, actor=actor)
        self.closed_cause, self.waits_until = cause, None
        self.tell(OrderClosed(*self.facts(), cause=cause, waited=waited))

    def begin_closing(self, cause: str, now: datetime, *, actor: str = "house") -> None:
        """Wanted closed, but an attempt may be being paid this moment: all stays held until the cashier has spoken."""
        self._go("closing", now, cause, actor=actor)
        self.closed_cause = cause

    def form(self, group_id: int, now: datetime) -> None:
        """Paid, and its group is not full yet; the promise to ship begins when it is."""
        self._go("forming", now, "group", actor="house", out_of=("paid",))
        self.group_id, self.promised_at = group_id, None

    def fill(self, now: datetime) -> None:
        """The group is full: the goods may leave."""
        self._go("paid", now, "group", actor="house", out_of=("forming",))
        self._promise(now)
        self.tell(OrderReady(*self.facts()))

    def _promise(self, now: datetime) -> None:
        """The goods may leave from now on: the promise begins."""
        if self.cutoff_at is not None and now <= self.cutoff_at:
            self.promised_at = self.cutoff_due
        else:
            self.promised_at = max(now, self.promise_after or now) + timedelta(hours=self.promise_hours)

    def break_promise(self, again: datetime, now: datetime) -> None:
        """It has not left as promised; `again` is the new time that its buyer is told."""
        self._go("paid", now, "late", actor="house", out_of=("paid",))
        self.promised_again, self.promise_warned = again, False

    def pack(self, now: datetime) -> None:
        """Its label was opened: what is on it no longer changes by the buyer's word."""
        self.at_rest()
        if self.packed_at is None:
            self._go("paid", now, "packed", actor="staff", act="ship", out_of=("paid",))
            self.packed_at = now

    def unpack(self, now: datetime) -> None:
        """Its label is made anew: what is on it may change once more."""
        self._go("paid", now, "unpacked", actor="staff", act="ship", out_of=("paid",))
        self.packed_at = None

    @property
    def changeable(self) -> bool:
        """Whether its buyer may still have second thoughts."""
        return self.state in OPEN_TO_CHANGE and self.packed_at is None

    def amend(self, cause: str, now: datetime, *, actor: str = "buyer") -> None:
        """Something of it is changed (address, note, spec). NotNow once it is packed."""
        if not self.changeable:
            raise NotNow(order=self.no, state=self.state, word=self.word, act="amend")
        self._go(self.state, now, cause, actor=actor)

    def at_rest(self) -> None:
        """The guard of a supplement: OrderWaits while it may be paid."""
        if self.waits_until is not None:
            raise OrderWaits(order=self.no, until=self.waits_until)

    def wait(self, until: datetime, cause: str, now: datetime, *, actor: str = "buyer") -> None:
        """A change costs more: until it is paid for the order stays as it is, and stays here."""
        self.at_rest()
        self.amend(cause, now, actor=actor)
        self.waits_until = until

    def go_on(self, cause: str, now: datetime, *, actor: str) -> None:
        """What it waited for is paid, or will not be."""
        self._go(self.state, now, cause, actor=actor)
        self.waits_until = None

    def cheaper(self, fen: int) -> None:
        """`fen` of what was paid are no longer needed (the caller has lowered goods or freight): they go back."""
        self.spare_fen += fen

    def recount(self) -> None:
        """The total after a change to an order that nobody has paid."""
        self.total_fen = self.goods_fen - self.discount_fen + self.freight_fen + self.spare_fen

    def deliver(self, now: datetime, cause: str = "delivered", *, actor: str = "house") -> None:
        """Nothing of it travels: it is the buyer's, with the money or when it is picked up."""
        if self.ships:
            raise NotNow(order=self.no, state=self.state, word=self.word, act="deliver")
        self.at_rest()
        self._go("completed", now, cause, actor=actor, out_of=("paid",))
        self.completed_at = now
        self.tell(OrderCompleted(*self.facts()))

    def part_ship(self, carrier: str, tracking: str, now: datetime, *, actor: str = "staff") -> None:
        """A part of it leaves with this parcel number; the rest is still to come."""
        self.at_rest()
        self._go("paid", now, f"{carrier} {tracking}", actor=actor, act="ship", out_of=("paid",))
        self.carrier, self.tracking = carrier, tracking
        self.packed_at = self.packed_at or now
        self.tell(OrderShipped(*self.facts(), carrier=carrier, tracking=tracking, rest=True))

    def ship(self, carrier: str, tracking: str, now: datetime, *, actor: str = "staff") -> bool:
        """All of it has left, with this parcel number at last; False when that was known already."""
        if self.state == "shipped" and (self.carrier, self.tracking) == (carrier, tracking):
            return False
        self.at_rest()
        self._go("shipped", now, f"{carrier} {tracking}".strip(), actor=actor, act="ship")
        self.carrier, self.tracking = carrier, tracking
        self.packed_at, self.shipped_at = self.packed_at or now, self.shipped_at or now
        self.tell(OrderShipped(*self.facts(), carrier=carrier, tracking=tracking))
        return True

    def receive(self, now: datetime, *, actor: str = "buyer") -> None:
        """The goods have arrived."""
        self._go("completed", now, "received", actor=actor, act="receive", out_of=("shipped",))
        self.completed_at = now
        self.tell(OrderCompleted(*self.facts()))

    def paid_back(self, fen: int) -> None:
        """A refund of `fen` has arrived; Contended beyond what was paid."""
        if self.refunded_fen + fen > self.total_fen:
            raise Contended
        self.refunded_fen += fen

    def _go(
        self, to: str, now: datetime, cause: str, *, actor: str, act: str = "", out_of: tuple[str, ...] = ()
    ) -> None:
        # Two steps may lead to one state (money, a full group): `out_of` says from where this one goes.
        if (self.state, to) not in EDGES or (out_of and self.state not in out_of):
            raise NotNow(order=self.no, state=self.state, word=self.word, act=act or to)
        self.moves.add(OrderMove(before=self.state, after=to, actor=actor, cause=cause, at=now))
        self.state = to

    def facts(self) -> tuple[int, str, int, str, int | None]:
        """What every event of an order says first."""
        return (self.id, self.no, self.follower_id, self.play, self.group_id)


@dataclass(frozen=True)
class Unpaid:
    """An order that waits for its payment, as far as another one has to know of it."""

    id: int
    no: str
    play: str


class Orders(Shelf[Order]):
    """The orders, for the changing path."""

    entity = Order

    async def by_no(self, no: str, follower_id: int) -> Order:
        """An order of this person, to look at; NoSuchOrder for a foreign number as for a missing one."""
        return self._known(await self._one(_mine(no, follower_id)), no)

    async def hold(self, no: str, follower_id: int) -> Order:
        """The same, its row locked."""
        return self._known(await self._one(_mine(no, follower_id), hold=True), no)

    async def hold_any(self, no: str) -> Order:
        """Anybody's order, for staff and for the house."""
        return self._known(await self._one(select(Order).where(Order.no == no), hold=True), no)

    async def find(self, no: str) -> Order | None:
        """Anybody's order, its row locked, or None: for words that anybody may say."""
        return await self._one(select(Order).where(Order.no == no), hold=True)

    async def hold_id(self, order_id: int) -> Order:
        return self._known(await self._one(select(Order).where(Order.id == order_id), hold=True), "")

    async def by_pay_code(self, code: str) -> Order:
        """The order that this pay link pays, its row locked: whoever holds the link may pay."""
        return self._known(await self._one(select(Order).where(Order.pay_code == code), hold=True), "")

    async def by_pickup_code(self, code: str) -> Order:
        """The order that is fetched with this code, its row locked."""
        return self._known(await self._one(select(Order).where(Order.pickup_code == code), hold=True), code)

    async def unpaid_of(self, follower_id: int) -> list[Unpaid]:
        """What waits for this person's payment, oldest first."""
        return [Unpaid(**row) for row in await self.work.every(_UNPAID, {"follower": follower_id})]

    async def of_its_group(self, no: str) -> None:
        """Lock the orders of the group that an order joins, before it alone: who fills a group changes all of them."""
        row = await self.work.one(select(Order.group_id).where(Order.no == no))
        if row is not None and row.group_id is not None:
            await self.of_group(row.group_id)

    async def of_group(self, group_id: int) -> list[Order]:
        """The orders of a group, oldest first, rows locked."""
        found = await self.session.execute(
            select(Order)
            .where(Order.group_id == group_id)
            .order_by(Order.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        orders = list(found.scalars())
        for order in orders:
            self.work.watch(order)
        return orders

    async def lines(self, order_id: int) -> list[OrderLine]:
        found = await self.session.execute(
            select(OrderLine).where(OrderLine.order_id == order_id).order_by(OrderLine.id)
        )
        return list(found.scalars())

    async def close(self, order: Order, cause: str, *, actor: str = "house") -> None:
        """Close an unpaid order and free what it held; NotNow for a paid one, which needs `undo`."""
        if order.state not in UNPAID:
            raise NotNow(order=order.no, state=order.state, word=order.word, act="close")
        await hold.free_all(self.work, order)
        order.close(cause, self.work.now, actor=actor)

    async def undo(self, order: Order, cause: str, *, actor: str = "house") -> None:
        """End a paid order of which nothing has left: its goods return to the shelf. Paying back is the refund's."""
        if order.state not in ("paid", "forming") or order.tracking:
            raise NotNow(order=order.no, state=order.state, word=order.word, act="undo")
        order.close(cause, self.work.now, actor=actor)
        await hold.give_back_all(self.work, order)

    def _known(self, found: Order | None, no: str) -> Order:
        if found is None:
            raise NoSuchOrder(order=no)
        return found


_UNPAID = Ready(
    select(Order.id, Order.no, Order.play)
    .where(Order.follower_id == bindparam("follower"), or_(*(Order.state == state for state in UNPAID)))
    .order_by(Order.id)
)


def _mine(no: str, follower_id: int) -> Any:
    return select(Order).where(Order.no == no, Order.follower_id == follower_id)


_goods = (
    select(
        OrderLine.order_id.label("order_id"),
        func.sum(OrderLine.amount_fen).label("fen"),
        func.sum(OrderLine.discount_fen).label("off"),
    )
    .group_by(OrderLine.order_id)
    .subquery()
)

INVARIANTS = (
    Invariant(
        "order_lines_add_up",
        "an order's lines, its freight and what was spare after a change are its total",
        select(Order.id)
        .outerjoin(_goods, _goods.c.order_id == Order.id)
        .where(Order.total_fen != func.coalesce(_goods.c.fen, 0) + Order.freight_fen + Order.spare_fen),
    ),
    Invariant(
        "order_discount_shared",
        "every fen of an order's discounts is some line's share",
        select(Order.id)
        .outerjoin(_goods, _goods.c.order_id == Order.id)
        .where(Order.discount_fen != func.coalesce(_goods.c.off, 0)),
    ),
    Invariant(
        "order_paid_dated",
        "what is paid says since when, and what is not paid does not",
        select(Order.id).where(
            (Order.state.in_(PAID) & Order.paid_at.is_(None)) | (Order.state.in_(UNPAID) & Order.paid_at.is_not(None))
        ),
    ),
    Invariant(
        "order_unpaid_ends",
        "an order that nobody paid is closed soon after its time",
        select(Order.id).where(Order.state == "pending", Order.pay_until < bindparam("late", type_=Moment())),
        grace_minutes=10,
    ),
    Invariant(
        "order_closing_ends",
        "an order that is to be closed is closed, or found paid, within the hour",
        select(Order.id).where(
            Order.state == "closing",
            ~exists()
            .where(OrderMove.order_id == Order.id, OrderMove.at >= bindparam("late", type_=Moment()))
            .correlate(Order),
        ),
        grace_minutes=60,
    ),
    Invariant(
        "order_packed_if_shipped",
        "what has left was packed before",
        select(Order.id).where(Order.shipped_at.is_not(None), Order.packed_at.is_(None)),
    ),
)

__all__ = [
    "EDGES",
    "OPEN_TO_CHANGE",
    "PAID",
    "UNPAID",
    "WORDS",
    "Order",
    "OrderClosed",
    "OrderCompleted",
    "OrderLine",
    "OrderMove",
    "OrderNews",
    "OrderPaid",
    "OrderPlaced",
    "OrderReady",
    "OrderShipped",
    "Orders",
]
