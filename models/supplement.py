"""Supplements: what a change of mind costs more is paid on its own, and the order waits for it as it was."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, bindparam, exists, select, text
from sqlalchemy.orm import Mapped, mapped_column

from models import hold
from models.address import Label
from models.base import Event, Glance, Guarded, Invariant, Moment, Shelf, Work, fresh_code
from models.figures import Figures
from models.hold import Hold
from models.order import UNPAID, NotNow, Order, OrderLine, Orders
from models.product import Sku
from models.seal import Sealed

_UNPAID = text("state IN ('pending','closing')")
WORDS = {"pending": "等补差价", "closing": "正在取消", "closed": "没有补", "paid": "已补差价"}


@dataclass(frozen=True)
class SupplementPaid(Event):
    """The difference is here, and the change is made. `what`: spec, address."""

    order_id: int
    no: str
    follower_id: int
    what: str
    total_fen: int
    supplement_id: int


@dataclass(frozen=True)
class SupplementOver(Event):
    """It will not be paid: the order stays as it was. `cause`: timeout, buyer, order (that was closed itself)."""

    order_id: int
    no: str
    follower_id: int
    what: str
    total_fen: int
    supplement_id: int
    cause: str
    waited: bool


class Supplement(Guarded):
    """A change of a paid order that costs more: what it will be, and the difference, fixed when it was asked for."""

    __tablename__ = "supplement"
    __table_args__ = (
        UniqueConstraint("pay_code"),
        Index("uq_supplement_one_open", "order_id", unique=True, sqlite_where=_UNPAID, postgresql_where=_UNPAID),
        CheckConstraint("state IN ('pending','closing','closed','paid')", name="state_known"),
        CheckConstraint("(what = 'spec') = (sku_id IS NOT NULL AND line_id IS NOT NULL)", name="what_known"),
        CheckConstraint("total_fen > 0", name="total_positive"),
        CheckConstraint("total_fen = goods_fen - discount_fen + freight_fen", name="total_adds_up"),
        CheckConstraint("(state = 'paid') = (paid_at IS NOT NULL)", name="paid_dated"),
        Index(None, "order_id"),
        Index(None, "state", "pay_until"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
    follower_id: Mapped[int] = mapped_column(ForeignKey("follower.id"))
    no: Mapped[str]  # the order's
    pay_code: Mapped[str]
    what: Mapped[str]  # spec, address
    state: Mapped[str] = mapped_column(default="pending")
    total_fen: Mapped[int]
    goods_fen: Mapped[int] = mapped_column(default=0)  # so much more the goods cost at list price …
    discount_fen: Mapped[int] = mapped_column(default=0)  # … so much more is taken off them …
    freight_fen: Mapped[int] = mapped_column(default=0)  # … and so much more is the freight
    line_id: Mapped[int | None] = mapped_column(ForeignKey("order_line.id"))
    sku_id: Mapped[int | None] = mapped_column(ForeignKey("sku.id"))
    spec: Mapped[str] = mapped_column(default="")
    list_fen: Mapped[int] = mapped_column(default=0)  # of one piece
    receiver: Mapped[str] = mapped_column(Sealed, default="")
    phone: Mapped[str] = mapped_column(Sealed, default="")
    region: Mapped[str] = mapped_column(Sealed, default="")
    detail: Mapped[str] = mapped_column(Sealed, default="")
    made: Mapped[datetime]
    pay_until: Mapped[datetime]
    paid_at: Mapped[datetime | None]
    closed_cause: Mapped[str] = mapped_column(default="")

    @property
    def word(self) -> str:
        return WORDS[self.state]

    @property
    def payable(self) -> bool:
        return self.state == "pending"

    def pay(self, now: datetime) -> None:
        """The money is here. NotNow unless it is waited for."""
        self._go("paid", "pay", UNPAID)
        self.paid_at = now
        self.tell(SupplementPaid(self.order_id, self.no, self.follower_id, self.what, self.total_fen, self.id))

    def begin_closing(self, cause: str, now: datetime) -> None:
        """No longer wanted, but somebody may be paying it this moment: it ends with the cashier's word."""
        self._go("closing", "cancel", ("pending",))
        self.closed_cause = cause

    def close(self, cause: str, now: datetime) -> None:
        """It was not paid."""
        waited = self.state == "closing"
        self._go("closed", "close", UNPAID)
        self.closed_cause = cause
        facts = (self.order_id, self.no, self.follower_id, self.what, self.total_fen, self.id)
        self.tell(SupplementOver(*facts, cause=cause, waited=waited))

    def _go(self, to: str, act: str, out_of: tuple[str, ...]) -> None:
        if self.state not in out_of:
            raise NotNow(order=self.no, state=self.state, word=self.word, act=act)
        self.state = to


Bill = Order | Supplement
"""What can be paid under a number of its own: an order, or what a change of it costs more."""


def both(bill: Bill) -> tuple[int, int | None]:
    """(order id, supplement id or None) of what is to be paid."""
    return (bill.order_id, bill.id) if isinstance(bill, Supplement) else (bill.id, None)


class Supplements(Shelf[Supplement]):
    """Supplements, for the changing path. The order is locked before its supplement."""

    entity = Supplement

    async def by_id(self, supplement_id: int) -> Supplement:
        found = await self._one(select(Supplement).where(Supplement.id == supplement_id), hold=True)
        assert found is not None
        return found

    async def open_of(self, order_id: int) -> Supplement | None:
        """What an order waits for."""
        mine = (Supplement.order_id == order_id, Supplement.state.in_(UNPAID))
        return await self._one(select(Supplement).where(*mine), hold=True)

    async def ask_spec(
        self, order: Order, line: OrderLine, sku: Sku, discount_fen: int, figures: Figures
    ) -> Supplement:
        """Another spec for a line, which takes `discount_fen` off then; its pieces are held meanwhile.

        Raises NotNow, OrderWaits; Contended when somebody was faster.
        """
        asked = await self._ask(
            order,
            figures,
            f"asked {line.spec} → {sku.label}",
            what="spec",
            goods_fen=(sku.price_fen - line.list_fen) * line.quantity,
            discount_fen=discount_fen - line.discount_fen,
            line_id=line.id,
            sku_id=sku.id,
            spec=sku.label,
            list_fen=sku.price_fen,
        )
        until = asked.pay_until + timedelta(minutes=figures.order.hold_extra_minutes)
        await hold.hold_spec(self.work, order, sku.id, line.quantity, until)
        return asked

    async def ask_address(self, order: Order, to: Label, freight_fen: int, figures: Figures) -> Supplement:
        """Another address, where the freight is `freight_fen`. Raises NotNow, OrderWaits."""
        return await self._ask(
            order,
            figures,
            "asked address",
            what="address",
            freight_fen=freight_fen - order.freight_fen,
            receiver=to.name,
            phone=to.phone,
            region=to.region,
            detail=to.detail,
        )

    async def _ask(self, order: Order, figures: Figures, cause: str, **values: Any) -> Supplement:
        now = self.work.now
        minutes = figures.order.pay_minutes if figures.cashier else figures.order.hand_pay_minutes
        until = now + timedelta(minutes=minutes)
        order.wait(until, cause[:80], now)
        fen = values.get("goods_fen", 0) - values.get("discount_fen", 0) + values.get("freight_fen", 0)
        return await self.add(
            Supplement(
                order_id=order.id,
                follower_id=order.follower_id,
                no=order.no,
                pay_code=await fresh_code(self.work, Supplement.pay_code, "", 10),
                state="pending",
                total_fen=fen,
                made=now,
                pay_until=until,
                **values,
            )
        )

    async def fits(self, order: Order, supplement: Supplement) -> bool:
        """Whether the order still has what is to be changed: it may have gone back meanwhile."""
        if supplement.what != "spec":
            return True
        row = await self.work.one(
            select(Hold.id)
            .join(OrderLine, (OrderLine.order_id == Hold.order_id) & (OrderLine.sku_id == Hold.thing))
            .where(
                OrderLine.id == supplement.line_id,
                OrderLine.quantity == Hold.quantity,
                Hold.order_id == order.id,
                Hold.kind == "stock",
                Hold.state == "taken",
            )
        )
        return row is not None

    async def apply(self, order: Order, supplement: Supplement) -> None:
        """It is paid: the change is made, and the order costs so much more. Contended when a guard says no."""
        now = self.work.now
        cause = "address"
        if supplement.what == "spec":
            line = (
                await self.session.execute(select(OrderLine).where(OrderLine.id == supplement.line_id))
            ).scalar_one()
            assert supplement.sku_id is not None
            cause = f"spec {line.spec} → {supplement.spec}"[:80]
            await hold.swap(self.work, order.id, line.sku_id, supplement.sku_id, line.quantity, held=True)
            line.sku_id, line.spec, line.list_fen = supplement.sku_id, supplement.spec, supplement.list_fen
            line.discount_fen += supplement.discount_fen
            line.amount_fen = line.list_fen * line.quantity - line.discount_fen
        else:
            order.receiver, order.phone = supplement.receiver, supplement.phone
            order.region, order.detail = supplement.region, supplement.detail
        order.goods_fen += supplement.goods_fen
        order.discount_fen += supplement.discount_fen
        order.freight_fen += supplement.freight_fen
        order.recount()
        supplement.pay(now)
        order.go_on(cause, now, actor="cashier")

    async def end(self, order: Order, supplement: Supplement, cause: str, *, actor: str = "house") -> None:
        """It is not paid and cannot be any more: what was held is free, the order goes on as it was."""
        await self.let_go(order, supplement)
        supplement.close(cause, self.work.now)
        if order.waits_until is not None:
            order.go_on(f"kept: {cause}", self.work.now, actor=actor)

    async def let_go(self, order: Order, supplement: Supplement) -> None:
        """What was held for it is free for others."""
        if supplement.sku_id is not None:
            await hold.free_spec(self.work, order, supplement.sku_id)


async def bill_at(work: Work, pay_code: str) -> Bill:
    """The order or the supplement that this pay link pays, its order locked; NoSuchOrder for a link of nothing."""
    row = await work.one(select(Supplement.id, Supplement.order_id).where(Supplement.pay_code == pay_code))
    if row is None:
        return await Orders(work).by_pay_code(pay_code)
    await Orders(work).hold_id(row.order_id)
    return await Supplements(work).by_id(row.id)


class SupplementGlance(Glance):
    """Supplements, read only."""

    async def of_order(self, order_id: int) -> SupplementSeen | None:
        """What an order waits for now."""
        return await self._seen(Supplement.order_id == order_id, Supplement.state.in_(UNPAID))

    async def by_id(self, supplement_id: int) -> SupplementSeen | None:
        return await self._seen(Supplement.id == supplement_id)

    async def _seen(self, *conditions: Any) -> SupplementSeen | None:
        row = await self.reader.one(
            select(
                Supplement.what,
                Supplement.state,
                Supplement.total_fen,
                Supplement.pay_code,
                Supplement.pay_until,
                Supplement.spec,
            ).where(*conditions)
        )
        return SupplementSeen(*row) if row is not None else None

    async def overdue(self, now: datetime, limit: int = 200) -> list[str]:
        """The numbers of the orders that have waited for theirs long enough, oldest first."""
        rows = await self.reader.all(
            select(Supplement.no)
            .where(Supplement.state == "pending", Supplement.pay_until <= now)
            .order_by(Supplement.pay_until, Supplement.id)
            .limit(limit)
        )
        return [row.no for row in rows]


@dataclass(frozen=True)
class SupplementSeen:
    """What an order waits for, as its owner sees it."""

    what: str
    state: str
    total_fen: int
    pay_code: str
    pay_until: datetime
    spec: str


_late = bindparam("late", type_=Moment())
_open = Supplement.state.in_(UNPAID)
_held = (
    exists()
    .where(
        Hold.order_id == Supplement.order_id,
        Hold.kind == "spec",
        Hold.thing == Supplement.sku_id,
        Hold.state == "held",
    )
    .correlate(Supplement)
)

INVARIANTS = (
    Invariant(
        "order_waits_for_its_supplement",
        "an order waits exactly while a supplement of it may be paid, and then nothing of it leaves",
        select(Order.id).where(
            Order.waits_until.is_not(None)
            != (
                exists().where(Supplement.order_id == Order.id, _open).correlate(Order)
                & (Order.state == "paid")
                & Order.packed_at.is_(None)
            )
        ),
    ),
    Invariant(
        "supplement_holds_its_spec",
        "who may still pay for another spec finds it held, and nobody else keeps it from others",
        select(Supplement.id)
        .join(Order, Order.id == Supplement.order_id)
        .where(Supplement.what == "spec", _open, (Order.state == "paid") != _held),
    ),
    Invariant(
        "spec_held_for_its_supplement",
        "another spec is held for a supplement that may be paid, and for no other reason",
        select(Hold.id).where(
            Hold.kind == "spec",
            Hold.state != "freed",
            ~exists()
            .where(Supplement.order_id == Hold.order_id, Supplement.sku_id == Hold.thing, _open)
            .correlate(Hold),
        ),
    ),
    Invariant(
        "supplement_of_its_order",
        "a supplement bears the number and the buyer of its order",
        select(Supplement.id)
        .join(Order, Order.id == Supplement.order_id)
        .where((Supplement.no != Order.no) | (Supplement.follower_id != Order.follower_id)),
    ),
    Invariant(
        "supplement_ends",
        "a supplement that nobody paid is over soon after its time",
        select(Supplement.id).where(Supplement.state == "pending", Supplement.pay_until < _late),
        grace_minutes=10,
    ),
)
