"""What an order is made of: its lines as they were priced, its states, and its steps along the edges between them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, exists, select, tuple_
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Invariant
from models.hold import Hold

WORDS = {
    "pending": "待付款",
    "closing": "正在取消",
    "closed": "已取消",
    "paid": "待发货",
    "forming": "等成团",
    "shipped": "已发货",
    "completed": "已完成",
}

# pending may still be paid; closing waits for the cashier's word about an open attempt; forming waits for its group.
EDGES = frozenset(
    {
        ("pending", "closing"),
        ("pending", "closed"),
        ("pending", "paid"),
        ("closing", "closed"),
        ("closing", "paid"),
        ("paid", "forming"),
        ("forming", "paid"),
        ("forming", "closed"),
        ("paid", "closed"),
        ("paid", "shipped"),
        ("paid", "completed"),  # nothing of it travels
        ("shipped", "shipped"),  # the number was mistyped and is put right
        ("shipped", "completed"),
        # A change of mind, a parcel of several, a broken promise: the state stays, the step is written down.
        ("pending", "pending"),
        ("paid", "paid"),
        ("forming", "forming"),
    }
)
UNPAID = ("pending", "closing")
PAID = ("paid", "forming", "shipped", "completed")
OPEN_TO_CHANGE = ("pending", "paid", "forming")


class OrderLine(Base):
    """So many pieces of one spec."""

    __tablename__ = "order_line"
    __table_args__ = (
        UniqueConstraint("order_id", "sku_id"),
        CheckConstraint("quantity > 0", name="quantity_positive"),
        CheckConstraint("amount_fen = list_fen * quantity - discount_fen AND amount_fen >= 0", name="amount_adds_up"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
    sku_id: Mapped[int] = mapped_column(ForeignKey("sku.id"))
    code: Mapped[str]
    name: Mapped[str]
    spec: Mapped[str] = mapped_column(default="")
    unit: Mapped[str] = mapped_column(default="份")
    quantity: Mapped[int]
    list_fen: Mapped[int]
    discount_fen: Mapped[int] = mapped_column(default=0)
    amount_fen: Mapped[int]
    ships: Mapped[bool] = mapped_column(default=True)
    parcel_id: Mapped[int | None] = mapped_column(ForeignKey("parcel.id"))  # in which it left
    returns: Mapped[str | None]  # as it was ordered: sealed, no; None: taken back within seven days
    back_at: Mapped[datetime | None]  # paid back before it left: it stays here

    @property
    def travels(self) -> bool:
        """Whether it has to leave, or has left, in a parcel."""
        return self.ships and self.back_at is None

    @property
    def words(self) -> str:
        """龙井 250g ×2"""
        return self.words_of(self.quantity)

    def words_of(self, pieces: int) -> str:
        """龙井 250g ×1: so many of its pieces."""
        return " ".join(p for p in (self.name, self.spec, f"×{pieces}") if p)


class OrderMove(Base):
    """One step along an edge; from a state to itself: something of the order was changed."""

    __tablename__ = "order_move"
    __table_args__ = (Index(None, "order_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
    before: Mapped[str]
    after: Mapped[str]
    actor: Mapped[str]
    cause: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime]


INVARIANTS = (
    Invariant(
        "order_moves_along_edges",
        "an order moves along the listed edges only",
        select(OrderMove.order_id).where(tuple_(OrderMove.before, OrderMove.after).not_in(sorted(EDGES))),
    ),
    Invariant(
        "order_line_adds_up",
        "a line costs its pieces less its share of the discounts, and never less than nothing",
        select(OrderLine.id).where(
            (OrderLine.amount_fen != OrderLine.list_fen * OrderLine.quantity - OrderLine.discount_fen)
            | (OrderLine.amount_fen < 0)
        ),
    ),
    Invariant(
        "hold_matches_lines",
        "what an order's lines want is what it holds of the stock",
        select(OrderLine.order_id).where(
            ~exists()
            .where(
                Hold.order_id == OrderLine.order_id,
                Hold.kind == "stock",
                Hold.thing == OrderLine.sku_id,
                Hold.quantity == OrderLine.quantity,
            )
            .correlate(OrderLine)
        ),
    ),
)
