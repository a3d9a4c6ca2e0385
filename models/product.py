"""What the shop sells: products, their specs with price and stock, their pictures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    UniqueConstraint,
    bindparam,
    func,
    join,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from models.adopting import adopt, both, part
from models.base import Base, Contended, Glance, Invariant, Json, Refusal, Root, Shelf, Work, table_of
from models.ready import Ready

FEW = 3  # 仅剩 n is said from here down
MOST_FEN = 100_000_000


class NotForSale(Refusal):
    """The product is unknown, a draft, or off the shelf."""


class SoldOut(Refusal):
    """Nothing is left of this spec, or less than was asked for. Facts: product, spec, left, asked."""


class Product(Root):
    """One product; its specs (SKUs) carry price and stock."""

    __tablename__ = "product"
    __table_args__ = (
        UniqueConstraint("code"),
        CheckConstraint("state IN ('draft','on','off')", name="state_known"),
        Index(None, "changed"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str]
    name: Mapped[str]
    line: Mapped[str] = mapped_column(default="")  # the selling line
    category: Mapped[str] = mapped_column(default="")
    keywords: Mapped[list[Any]] = mapped_column(Json, default=list)
    unit: Mapped[str] = mapped_column(default="份")
    axis: Mapped[str] = mapped_column(default="规格")
    facts: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)  # 保质期, 配料, 产地 …: answered, never invented
    promise_hours: Mapped[int] = mapped_column(default=48)
    ships: Mapped[bool] = mapped_column(default=True)
    picture: Mapped[str] = mapped_column(default="")  # sha256
    returns: Mapped[str | None]  # 七天无理由: sealed (only unopened), no; None: yes
    state: Mapped[str] = mapped_column(default="on")
    changed: Mapped[datetime]

    def on_shelf(self) -> None:
        """NotForSale unless followers may buy it."""
        if self.state != "on":
            raise NotForSale(product=self.code)


class Sku(Root):
    """One spec of a product. `held` of `on_hand` are reserved by orders that may still be paid."""

    __tablename__ = "sku"
    __table_args__ = (
        UniqueConstraint("product_id", "label"),
        CheckConstraint("held >= 0 AND held <= on_hand", name="held_within_stock"),
        CheckConstraint("price_fen >= 0 AND price_fen <= 100000000", name="price_sane"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"))
    label: Mapped[str] = mapped_column(default="")  # 250g · 罐装; empty when there is only one
    price_fen: Mapped[int]
    was_fen: Mapped[int | None]
    on_hand: Mapped[int] = mapped_column(default=0)
    held: Mapped[int] = mapped_column(default=0)
    weight_g: Mapped[int] = mapped_column(default=0)
    place: Mapped[int] = mapped_column(default=0)  # the order in which specs are offered

    @property
    def left(self) -> int:
        return self.on_hand - self.held


class Picture(Base):
    """A picture by its hash: re-encoded JPEG and a thumbnail; one backup holds everything."""

    __tablename__ = "picture"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    jpeg: Mapped[bytes]
    thumb: Mapped[bytes]
    made: Mapped[datetime]


def stock_word(left: int) -> str:
    """What is said of a stock: it changes only when it crosses."""
    return "售罄" if left <= 0 else f"仅剩 {left}" if left <= FEW else "有货"


_MANY: Any = bindparam("many", type_=BigInteger())


@cache
def _shift(guard: Callable[[Any], Any], **steps: int) -> Ready:
    """The update under this guard, compiled once; `steps` says which numbers go up (1) and down (-1) by how many."""
    sku = table_of(Sku)
    return Ready(
        update(sku)
        .where(Sku.id == bindparam("sku"), guard(_MANY))
        .values({name: sku.c[name] + _MANY if step > 0 else sku.c[name] - _MANY for name, step in steps.items()})
        .returning(Sku.product_id, Sku.on_hand, Sku.held)
    )


async def reserve(work: Work, sku_id: int, quantity: int) -> None:
    """Hold `quantity` of a spec by one conditional update; Contended when there are fewer left."""
    await _shifted(work, sku_id, _shift(room_for, held=1), quantity, taken=quantity)


def room_for(quantity: Any) -> Any:
    """The guard of promise 1: without it the shop oversells."""
    return Sku.on_hand - Sku.held >= quantity


def _so_many_held(quantity: Any) -> Any:
    return Sku.held >= quantity


def _held_remain(by: Any) -> Any:
    return Sku.on_hand + by >= Sku.held


async def release(work: Work, sku_id: int, quantity: int) -> None:
    """Give back what was held."""
    await _shifted(work, sku_id, _shift(_so_many_held, held=-1), quantity, taken=-quantity)


async def take(work: Work, sku_id: int, quantity: int) -> None:
    """What was held has been paid for: it leaves the stock."""
    await _shifted(work, sku_id, _shift(_so_many_held, held=-1, on_hand=-1), quantity, taken=0)


async def adjust(work: Work, sku_id: int, by: int) -> None:
    """More or fewer on hand; Contended when fewer would remain than are held."""
    await _shifted(work, sku_id, _shift(_held_remain, on_hand=1), by, taken=-by)


async def _shifted(work: Work, sku_id: int, shift: Ready, many: int, *, taken: int) -> None:
    row = await work.first(shift, {"sku": sku_id, "many": many})
    if row is None:
        raise Contended
    after = row["on_hand"] - row["held"]
    # The catalogue in the processes holds a word, not a number: touch it only when the word changes.
    if taken and stock_word(after) != stock_word(after + taken):
        touch(work, row["product_id"])


_TOUCH = Ready(update(table_of(Product)).where(Product.id == bindparam("product")), sets=("changed",))


def touch(work: Work, product_id: int) -> None:
    """The catalogue is to read this product again.

    Last of all: its row is every spec's, and between two specs of one product another step would be met there.
    """
    work.last(_TOUCH, product_id, {"product": product_id, "changed": work.now})


_BY_CODE = select(Product).where(Product.code == bindparam("code"))
_OFFERED = Ready(
    select(*both(Product, Sku))
    .outerjoin_from(Product, Sku, Sku.product_id == Product.id)
    .where(Product.code == bindparam("code"))
    .order_by(Sku.place, Sku.id)
)
_SPECS = Ready(select(Sku.__table__).where(Sku.product_id == bindparam("product")).order_by(Sku.place, Sku.id))
_SPEC = Ready(
    select(*both(Product, Sku)).join_from(Product, Sku, Sku.product_id == Product.id).where(Sku.id == bindparam("sku"))
)


class Products(Shelf[Product]):
    """Products, for the changing path."""

    entity = Product

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._read: dict[int, tuple[Product, Sku]] = {}  # a shelf is of one try of a step: the next reads afresh

    async def get(self, code: str) -> Product:
        """A product of any state; NotForSale when there is none of this code."""
        found = await self._one(_BY_CODE, {"code": code})
        if found is None:
            raise NotForSale(product=code)
        return found

    async def hold(self, code: str) -> Product:
        found = await self._one(select(Product).where(Product.code == code), hold=True)
        if found is None:
            raise NotForSale(product=code)
        return found

    async def offered(self, code: str) -> tuple[Product, list[Sku]]:
        """A product that followers may buy, with its specs as they are offered; NotForSale for any other."""
        rows = await self.work.every(_OFFERED, {"code": code})
        if not rows:
            raise NotForSale(product=code)
        product = adopt(self.session, Product, part(Product, rows[0]))
        skus = [adopt(self.session, Sku, part(Sku, row)) for row in rows if row["Sku_id"] is not None]
        product.on_shelf()
        if not skus:
            raise NotForSale(product=code)
        self._read |= {sku.id: (product, sku) for sku in skus}
        return product, skus

    async def skus(self, product_id: int) -> list[Sku]:
        """The specs in the order in which they are offered."""
        return [adopt(self.session, Sku, row) for row in await self.work.every(_SPECS, {"product": product_id})]

    async def sku(self, sku_id: int) -> tuple[Product, Sku]:
        """A spec with its product, read in this step."""
        if sku_id in self._read:
            return self._read[sku_id]
        row = await self.work.first(_SPEC, {"sku": sku_id})
        if row is None:
            raise NotForSale(product="")
        return adopt(self.session, Product, part(Product, row)), adopt(self.session, Sku, part(Sku, row))

    async def next_code(self) -> str:
        """The next numbered code: A13 after A12."""
        codes = (await self.session.execute(select(Product.code))).scalars()
        numbers = [int(c[1:]) for c in codes if c[1:].isascii() and c[1:].isdigit()]
        return f"A{max(numbers, default=0) + 1}"


class ProductGlance(Glance):
    """Stock as it is now, for answers that show a number."""

    async def left(self, product_code: str) -> dict[int, int]:
        """What is left of each spec, by SKU id."""
        rows = await self.reader.all(
            select(Sku.id, (Sku.on_hand - Sku.held).label("left"))
            .join(Product, Product.id == Sku.product_id)
            .where(Product.code == product_code)
            .order_by(Sku.id)
        )
        return {row.id: row.left for row in rows}

    async def left_of(self, sku_id: int) -> int | None:
        """What is left of one spec, None when it is not for sale; in a rush everybody's question is one read."""
        row = await self.reader.first(_LEFT, {"sku": sku_id})
        return row["left"] if row is not None else None

    async def picture(self, sha256: str, *, thumb: bool = False) -> bytes | None:
        row = await self.reader.one(
            select((Picture.thumb if thumb else Picture.jpeg).label("data")).where(Picture.sha256 == sha256)
        )
        return bytes(row.data) if row is not None else None


def _left(of: Any, asked: Any, *first: Any) -> Any:
    """What is left of the spec that is `asked`."""
    return (
        select(*first, (Sku.on_hand - Sku.held).label("left"))
        .select_from(of)
        .where(Sku.id == asked, Product.id == Sku.product_id, Product.state == "on")
    )


def _many_left() -> Any:
    asked = func.unnest(bindparam("sku", type_=ARRAY(BigInteger))).table_valued("sku", with_ordinality="place")
    asked = asked.render_derived()
    return _left(join(join(asked, Sku, true()), Product, true()), asked.c.sku, asked.c.place)


_LEFT = Ready(_left(join(Sku, Product, true()), bindparam("sku")), together=Ready(_many_left()))

INVARIANTS = (
    Invariant(
        "stock_held_within",
        "never more is held than is on hand, and nothing is negative",
        select(Sku.id).where((Sku.held < 0) | (Sku.on_hand < 0) | (Sku.held > Sku.on_hand)),
    ),
)
