"""The goods as the staff see them: every state, real numbers, and the changes that are made by hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update

from models.base import Contended, Glance, Invariant, Refusal, Shelf
from models.prices import fen
from models.product import FEW, MOST_FEN, NotForSale, Product, Products, Sku, adjust, touch

MOST_STOCK = 99_999
LONGEST_NAME = 30  # characters
STATES = {"on": "在架", "off": "已下架", "draft": "未上架"}


class DraftUnclear(Refusal):
    """A new product that lacks something. Facts: field (name, price, stock)."""


class PriceMoved(Refusal):
    """The price is no longer the one that was read back. Facts: product, now_fen."""


class StockMoved(Refusal):
    """The stock is no longer what was read back. Facts: product, now."""


class StockHeld(Refusal):
    """Fewer would remain than people have ordered and may still pay. Facts: product, held, asked."""


@dataclass(frozen=True)
class Draft:
    """A new product as one line says it; prices in fen."""

    name: str
    price_fen: int
    stock: int
    category: str = ""
    keywords: tuple[str, ...] = ()
    weight_g: int = 0


_CATEGORY = re.compile(r"[#＃]\s?([^\s#]{1,12})")
_KEYWORDS = re.compile(r"(?:关键词|关键字|keywords?)\s*[::]?\s*([^\s#]+)", re.I)
_STOCK = re.compile(r"(?:库存|stock)\s*[::]?\s*([0-9]{1,5})(?:件|份|盒|罐|包|袋|个)?", re.I)
_PRICE = re.compile(r"[¥￥]?([0-9]{1,6}(?:\.[0-9]{1,2})?)(?:元|块钱?)?")
_WEIGHT = re.compile(r"([0-9]{1,5}(?:\.[0-9])?)\s?(kg|公斤|千克|g|克|斤)", re.I)
_GRAMS = {"kg": 1000, "公斤": 1000, "千克": 1000, "g": 1, "克": 1, "斤": 500}


def read_draft(line: str) -> Draft:
    """A new product out of 龙井250g 88 库存50 #茶 关键词:绿茶,明前, in any order but name before price.

    Raises DraftUnclear with the first thing that is missing or makes no sense.
    """
    category, keywords, stock = _CATEGORY.search(line), _KEYWORDS.search(line), _STOCK.search(line)
    words = _STOCK.sub(" ", _KEYWORDS.sub(" ", _CATEGORY.sub(" ", line))).split()
    at = next((i for i in range(len(words) - 1, 0, -1) if _PRICE.fullmatch(words[i])), 0)
    found = _PRICE.fullmatch(words[at]) if at else None
    name = " ".join(words[:at] + words[at + 1 :] if at else words)
    price = fen(found[1]) if found else None
    if not name or len(name) > LONGEST_NAME or _PRICE.fullmatch(name):
        raise DraftUnclear(field="name")
    if price is None or not 0 < price <= MOST_FEN:
        raise DraftUnclear(field="price")
    if stock is None:
        raise DraftUnclear(field="stock")
    weight = _WEIGHT.search(name)
    return Draft(
        name=name,
        price_fen=price,
        stock=int(stock[1]),
        category=category[1] if category else "",
        keywords=tuple(dict.fromkeys(k for k in re.split(r"[,，、/;]", keywords[1]) if k)) if keywords else (),
        weight_g=int(float(weight[1]) * _GRAMS[weight[2].lower()]) if weight else 0,
    )


def moved(on_hand: int, move: str) -> int:
    """What is on hand after +10, -3 or 50; `move` is such a string of at most five digits."""
    return on_hand + int(move) if move[:1] in ("+", "-") else int(move)


@dataclass(frozen=True)
class StockSpec:
    """One spec as it lies in the stockroom; `n` is its number, from 1."""

    id: int
    n: int
    label: str
    price_fen: int
    on_hand: int
    held: int


@dataclass(frozen=True)
class Stocked:
    """A product of any state with its specs."""

    id: int
    code: str
    name: str
    state: str
    specs: tuple[StockSpec, ...]

    @property
    def word(self) -> str:
        return STATES[self.state]

    def spec(self, n: int) -> StockSpec | None:
        """The spec of this number; of the only one without a number."""
        n = 1 if not n and len(self.specs) == 1 else n
        return self.specs[n - 1] if 1 <= n <= len(self.specs) else None


@dataclass(frozen=True)
class Low:
    """A spec on the shelf of which few or none are left."""

    code: str
    name: str
    label: str
    left: int


class StockGlance(Glance):
    """Every product, read only."""

    async def get(self, code: str) -> Stocked:
        """A product of any state; NotForSale when there is none of this code."""
        row = await self.reader.one(
            select(Product.id, Product.code, Product.name, Product.state).where(Product.code == code)
        )
        if row is None:
            raise NotForSale(product=code)
        specs = await self.reader.all(
            select(Sku.id, Sku.label, Sku.price_fen, Sku.on_hand, Sku.held)
            .where(Sku.product_id == row.id)
            .order_by(Sku.place, Sku.id)
        )
        found = tuple(StockSpec(s.id, n, s.label, s.price_fen, s.on_hand, s.held) for n, s in enumerate(specs, 1))
        return Stocked(row.id, row.code, row.name, row.state, found)

    async def low(self, limit: int) -> tuple[list[Low], int]:
        """The specs that are running out, emptiest first, and how many there are in all."""
        left = (Sku.on_hand - Sku.held).label("left")
        rows = await self.reader.all(
            select(Product.code, Product.name, Sku.label, left)
            .join(Product, Product.id == Sku.product_id)
            .where(Product.state == "on", Sku.on_hand - Sku.held <= FEW)
            .order_by(left, Product.id, Sku.id)
        )
        return [Low(r.code, r.name, r.label, r.left) for r in rows[:limit]], len(rows)


class Stockroom(Shelf[Product]):
    """Changes to the goods that are made by hand."""

    entity = Product

    async def publish(self, draft: Draft, now: datetime) -> str:
        """Put a new product on the shelf; its code. Contended when somebody took the code at the same moment."""
        code = await Products(self.work).next_code()
        insert = self.work.insert
        row = {
            "code": code,
            "name": draft.name,
            "category": draft.category,
            "keywords": list(draft.keywords),
            "state": "on",
            "changed": now,
        }
        made = await self.session.execute(
            insert(Product).values(row).on_conflict_do_nothing(index_elements=["code"]).returning(Product.id)
        )
        product_id = made.scalar_one_or_none()
        if product_id is None:
            raise Contended
        figures = {"price_fen": draft.price_fen, "on_hand": draft.stock, "weight_g": draft.weight_g}
        await self.put(Sku, [{"product_id": product_id, **figures}])
        return code

    async def shelve(self, code: str, *, on: bool) -> Product:
        """On the shelf, or off it; what is ordered stays ordered."""
        product = await Products(self.work).hold(code)
        product.state = "on" if on else "off"
        await self.session.flush()
        touch(self.work, product.id)
        return product

    async def reprice(self, product: Stocked, n: int, was: int, to: int) -> StockSpec:
        """Another price (fen) for a spec; PriceMoved unless it still is what was read back."""
        spec = _spec(product, n)
        done = await self.session.execute(
            update(Sku)
            .where(Sku.id == spec.id, Sku.price_fen == was)
            .values(price_fen=to, version=Sku.version + 1)
            .returning(Sku.id)
            .execution_options(synchronize_session=False)
        )
        if done.first() is None:
            raise PriceMoved(product=product.code, now_fen=spec.price_fen)
        touch(self.work, product.id)
        return spec

    async def restock(self, product: Stocked, n: int, was: int, move: str) -> int:
        """More, fewer, or exactly so many on hand; what is on hand then.

        StockHeld when fewer would remain than are ordered; StockMoved when "exactly" was meant of another number.
        """
        spec = _spec(product, n)
        if move[:1] not in ("+", "-") and spec.on_hand != was:
            raise StockMoved(product=product.code, now=spec.on_hand)
        after = moved(spec.on_hand, move)
        if after < spec.held or after > MOST_STOCK:
            raise StockHeld(product=product.code, held=spec.held, asked=after)
        await adjust(self.work, spec.id, after - spec.on_hand)
        return after


def _spec(product: Stocked, n: int) -> StockSpec:
    spec = product.spec(n)
    if spec is None:
        raise NotForSale(product=product.code)
    return spec


INVARIANTS: tuple[Invariant, ...] = ()
