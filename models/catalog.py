"""The catalogue as the processes hold it: an immutable snapshot with a version, refreshed from what has changed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

from sqlalchemy import select

from models.base import EPOCH, ORDER_NO, Reader
from models.groupbuy import Offer
from models.product import Product, Sku, stock_word
from models.search import Doc, Index, understand, words_of
from models.synonyms import Synonyms
from models.words import plain

SLICE = 500  # rows between two breaths of the loop
OVERLAP = timedelta(seconds=15)  # a transaction may commit later than the moment it wrote
LATE = timedelta(minutes=1)  # so long after the newest change, clocks that differ included, nothing older can come
KEPT = 1000
_ORDER_NO = re.compile(ORDER_NO)
_CODE = re.compile(r"(?<![0-9a-z])[a-z]{1,3}[0-9]{1,6}(?![0-9a-z])")

T = TypeVar("T")


@dataclass(frozen=True)
class Spec:
    """One spec as it is shown; `word` instead of a number of pieces."""

    id: int
    label: str
    price_fen: int
    was_fen: int | None
    word: str


@dataclass(frozen=True)
class GroupDeal:
    """A group-buy offer on one spec."""

    sku_id: int
    size: int
    price_fen: int
    hours: int


@dataclass(frozen=True)
class Goods:
    """One product as it is shown."""

    id: int
    code: str
    name: str
    line: str
    category: str
    keywords: tuple[str, ...]
    unit: str
    axis: str
    facts: Mapping[str, str]
    promise_hours: int
    ships: bool
    picture: str
    specs: tuple[Spec, ...]
    deals: tuple[GroupDeal, ...]
    returns: str | None = None

    @cached_property
    def from_fen(self) -> int:
        return min((s.price_fen for s in self.specs), default=0)

    def offered(self, deal: GroupDeal) -> Spec:
        """The spec that a group-buy is offered on."""
        return next(spec for spec in self.specs if spec.id == deal.sku_id)

    @cached_property
    def word(self) -> str:
        words = {s.word for s in self.specs}
        if words <= {"售罄"}:
            return "售罄"
        return "有货" if "有货" in words else min(w for w in words if w != "售罄")


@dataclass(frozen=True)
class Catalog:
    """All goods on the shelf; the same object until something has changed."""

    version: int = 0
    goods: Mapping[str, Goods] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    index: Index = field(default_factory=lambda: Index.build(()))
    _kept: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    def get(self, code: str) -> Goods | None:
        return self.goods.get(code)

    def named(self, text: str) -> list[str]:
        """The codes of the goods that words name: by their codes (A11多少钱), else by the shop's words for them.

        K7TEA2Q9 is an order and names no tea.
        """
        text = _ORDER_NO.sub(" ", plain(text))
        codes = [code for code in map(str.upper, _CODE.findall(text)) if code in self.goods]
        words = words_of(text, self.index) if not codes else ()
        found = self.index.find(understand(" ".join(words), self.index)) if words else []
        return list(dict.fromkeys(codes)) or [hit.doc.code for hit in found]

    def page(self, category: str, after: str, size: int) -> tuple[list[Goods], bool]:
        """`size` goods of a category ("" for all) after a code, and whether there are more."""
        codes = [c for c in self.order if not category or self.goods[c].category == category]
        start = codes.index(after) + 1 if after in codes else 0
        page = codes[start : start + size]
        return [self.goods[c] for c in page], start + size < len(codes)

    def kept(self, name: Hashable, make: Callable[[], T]) -> T:
        """What `make` made of this snapshot under this name before, or makes now; gone with the snapshot."""
        found: T | None = self._kept.get(name)
        if found is None:
            found = make()
            if len(self._kept) < KEPT:
                self._kept[name] = found
        return found


class Catalogs:
    """Keeps the snapshot; `refresh` reads what has changed since, in slices that let others speak."""

    def __init__(self, synonyms: Synonyms | None = None) -> None:
        self.current = Catalog()
        self._synonyms = synonyms
        self._seen = EPOCH
        self._lock = asyncio.Lock()

    async def refresh(self, reader: Reader, now: datetime) -> bool:
        """Read what has changed; True when there is a new snapshot."""
        async with self._lock:
            since = self._seen - OVERLAP if self._seen > EPOCH and now - self._seen < LATE else self._seen
            columns = select(Product.id, Product.changed).where(Product.changed > since).order_by(Product.id)
            rows = await reader.all(columns)
            goods = dict(self.current.goods)
            code_of = {g.id: c for c, g in goods.items()}
            ids, news = [r.id for r in rows], not self.current.version
            for start in range(0, len(ids), SLICE):
                for item, on in await _read(reader, ids[start : start + SLICE]):
                    old = goods.pop(code_of.get(item.id, ""), None)
                    if on:
                        goods[item.code] = item
                    # What lies in the overlap is read again each time; only what differs is news.
                    news = news or old != (item if on else None)
                await asyncio.sleep(0)
            self._seen = max([self._seen, *(r.changed for r in rows)])
            if not news:
                return False
            order = tuple(sorted(goods, key=_by_code))
            categories = tuple(dict.fromkeys(goods[c].category for c in order if goods[c].category))
            index = await asyncio.to_thread(Index.build, [_doc(goods[c]) for c in order], self._synonyms)
            self.current = Catalog(self.current.version + 1, goods, order, categories, index)
            return True


def _by_code(code: str) -> tuple[int, str]:
    tail = code[1:]
    return (int(tail), code) if tail.isascii() and tail.isdigit() else (10**9, code)


def _doc(goods: Goods) -> Doc:
    return Doc(
        code=goods.code,
        name=goods.name,
        line=goods.line,
        keywords=goods.keywords,
        category=goods.category,
        price_from_fen=goods.from_fen,
        stock_word=goods.word,
        specs=tuple(s.label for s in goods.specs),
        prices_fen=tuple(sorted({s.price_fen for s in goods.specs})),
    )


async def _read(reader: Reader, ids: list[int]) -> list[tuple[Goods, bool]]:
    products = await reader.all(select(Product.__table__).where(Product.id.in_(ids)).order_by(Product.id))
    skus = await reader.all(
        select(Sku.__table__).where(Sku.product_id.in_(ids)).order_by(Sku.product_id, Sku.place, Sku.id)
    )
    offers = await reader.all(
        select(Offer.__table__).where(Offer.sku_id.in_([s.id for s in skus]), Offer.state == "on").order_by(Offer.id)
    )
    specs_of: dict[int, list[Spec]] = {}
    deals_of: dict[int, list[GroupDeal]] = {}
    product_of = {s.id: s.product_id for s in skus}
    for s in skus:
        spec = Spec(s.id, s.label, s.price_fen, s.was_fen, stock_word(s.on_hand - s.held))
        specs_of.setdefault(s.product_id, []).append(spec)
    for o in offers:
        deals_of.setdefault(product_of[o.sku_id], []).append(GroupDeal(o.sku_id, o.size, o.price_fen, o.hours))
    found = []
    for p in products:
        specs, deals = tuple(specs_of.get(p.id, ())), tuple(deals_of.get(p.id, ()))
        goods = Goods(
            p.id,
            p.code,
            p.name,
            p.line,
            p.category,
            tuple(p.keywords),
            p.unit,
            p.axis,
            p.facts,
            p.promise_hours,
            p.ships,
            p.picture,
            specs,
            deals,
            p.returns,
        )
        found.append((goods, p.state == "on" and bool(specs)))
    return found
