"""What a follower means to buy: specs and quantities, priced and counted afresh whenever they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint, and_, delete, func, or_, select
from sqlalchemy.orm import Mapped, aliased, mapped_column

from models.base import Base, Glance, Invariant, Reader, Refusal, Shelf
from models.product import Product, Sku

MOST_LINES = 20
MOST_PIECES = 99  # the figure of the shop may be lower, never higher


class CartFull(Refusal):
    """No more different things fit. Facts: most."""


class TooManyPieces(Refusal):
    """More pieces of one spec than an order may hold. Facts: most, asked."""


class CartLine(Base):
    """So many pieces of one spec; nothing is reserved before the order."""

    __tablename__ = "cart_line"
    __table_args__ = (
        UniqueConstraint("follower_id", "sku_id"),
        CheckConstraint("quantity >= 1 AND quantity <= 99", name="quantity_sane"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    follower_id: Mapped[int] = mapped_column(ForeignKey("follower.id"))
    sku_id: Mapped[int] = mapped_column(ForeignKey("sku.id"))
    quantity: Mapped[int]


@dataclass(frozen=True)
class InCart:
    """One line as it stands now; prices in fen."""

    sku_id: int
    product: str  # code
    name: str
    label: str
    spec: int  # its place among the product's specs, from 1
    quantity: int
    price_fen: int
    left: int
    on_sale: bool
    ships: bool

    @property
    def sum_fen(self) -> int:
        return self.price_fen * self.quantity

    @property
    def trouble(self) -> str:
        """Why it cannot be bought as it stands: "off", "out", "few" or ""."""
        if not self.on_sale:
            return "off"
        if self.left <= 0:
            return "out"
        return "few" if self.left < self.quantity else ""


@dataclass(frozen=True)
class Basket:
    """Everything in one cart, in the order in which it was put in."""

    lines: tuple[InCart, ...] = ()

    def line(self, product: str, spec: int) -> InCart | None:
        """The line of this spec of a product, None when it is not in the cart."""
        return next((line for line in self.lines if (line.product, line.spec) == (product, spec)), None)

    @property
    def troubled(self) -> bool:
        return any(line.trouble for line in self.lines)

    @property
    def pieces(self) -> int:
        return sum(line.quantity for line in self.lines if not line.trouble)

    @property
    def sum_fen(self) -> int:
        """What the lines that can be bought cost at list price; what they would cost in an order: `CartCosts`."""
        return sum(line.sum_fen for line in self.lines if not line.trouble)


# Off the shelf or not, a spec's number is its place among all of its product.
_before = aliased(Sku)
_spec = (
    select(func.count(_before.id))
    .where(
        _before.product_id == Sku.product_id,
        or_(_before.place < Sku.place, and_(_before.place == Sku.place, _before.id <= Sku.id)),
    )
    .correlate(Sku)
    .scalar_subquery()
)


def _lines(follower_id: int) -> Any:
    return (
        select(
            CartLine.sku_id,
            Product.code,
            Product.name,
            Sku.label,
            _spec.label("spec"),
            CartLine.quantity,
            Sku.price_fen,
            (Sku.on_hand - Sku.held).label("left"),
            Product.state,
            Product.ships,
        )
        .join(Sku, Sku.id == CartLine.sku_id)
        .join(Product, Product.id == Sku.product_id)
        .where(CartLine.follower_id == follower_id)
        .order_by(CartLine.id)
    )


async def _basket(reader: Reader, follower_id: int) -> Basket:
    rows = await reader.all(_lines(follower_id))
    return Basket(
        tuple(
            InCart(
                sku_id=row.sku_id,
                product=row.code,
                name=row.name,
                label=row.label,
                spec=row.spec,
                quantity=row.quantity,
                price_fen=row.price_fen,
                left=row.left,
                on_sale=row.state == "on",
                ships=row.ships,
            )
            for row in rows
        )
    )


class Cart(Shelf[CartLine]):
    """The carts, for the changing path; every change names its owner."""

    entity = CartLine

    async def basket(self, follower_id: int) -> Basket:
        """What is in the cart now."""
        return await _basket(self.work, follower_id)

    async def lay_in(self, follower_id: int, sku_id: int, quantity: int, most: int) -> int:
        """Put `quantity` more pieces of a spec in; the pieces it holds then.

        Raises TooManyPieces over `most` of one spec and CartFull over `MOST_LINES` different ones.
        """
        line = await self._line(follower_id, sku_id)
        there = line.quantity if line is not None else 0
        _within(there + quantity, most)
        if line is None:
            if len((await self.basket(follower_id)).lines) >= MOST_LINES:
                raise CartFull(most=MOST_LINES)
            await self.add(CartLine(follower_id=follower_id, sku_id=sku_id, quantity=quantity))
        else:
            line.quantity = there + quantity
        await self.session.flush()
        return there + quantity

    async def change(self, follower_id: int, sku_id: int, quantity: int, most: int) -> bool:
        """Make it exactly `quantity` pieces; False when it is not in this cart. Raises TooManyPieces."""
        _within(quantity, most)
        line = await self._line(follower_id, sku_id)
        if line is None:
            return False
        line.quantity = quantity
        await self.session.flush()
        return True

    async def take_out(self, follower_id: int, sku_ids: list[int]) -> None:
        """Take these specs out, whatever their quantity; what is not there is no fault."""
        await self.session.execute(
            delete(CartLine)
            .where(CartLine.follower_id == follower_id, CartLine.sku_id.in_(sku_ids))
            .execution_options(synchronize_session="fetch")
        )

    async def clear(self, follower_id: int) -> None:
        await self.session.execute(
            delete(CartLine).where(CartLine.follower_id == follower_id).execution_options(synchronize_session="fetch")
        )

    async def _line(self, follower_id: int, sku_id: int) -> CartLine | None:
        return await self._one(
            select(CartLine).where(CartLine.follower_id == follower_id, CartLine.sku_id == sku_id), hold=True
        )


def _within(quantity: int, most: int) -> None:
    if not 1 <= quantity <= min(most, MOST_PIECES):
        raise TooManyPieces(most=min(most, MOST_PIECES), asked=quantity)


class CartGlance(Glance):
    """One's own cart, read only."""

    async def basket(self, follower_id: int) -> Basket:
        return await _basket(self.reader, follower_id)


INVARIANTS = (
    Invariant(
        "cart_quantity",
        "a line of a cart holds between 1 and 99 pieces",
        select(CartLine.id).where((CartLine.quantity < 1) | (CartLine.quantity > MOST_PIECES)),
    ),
)
