"""Reads the demo shop's goods, offers and answers from a TOML file and refuses a file that no shop
could open with.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from models.search import SOLD_OUT, Doc

_CODE = re.compile(r"A[1-9][0-9]{0,3}")
_NAME_LENGTH = 30  # characters
_FEW = 3  # pieces; from here down the stock word says how many


class CatalogueFault(ValueError):
    """The file is no catalogue; the message has one sentence per fault."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One thing that can be bought: its label on the product's axis, price in fen, pieces on hand,
    weight in grams.
    """

    label: str
    price_fen: int
    stock: int
    weight_g: int


@dataclass(frozen=True, slots=True)
class Product:
    """One product with its specs; `hours` is the promised time until it leaves, `facts` answer
    questions about it, `returns` is 七天无理由: "" for yes, "sealed" for unopened only, "no".
    """

    code: str
    name: str
    line: str
    keywords: tuple[str, ...]
    category: str
    unit: str
    axis: str
    specs: tuple[Spec, ...]
    facts: Mapping[str, str]
    hours: int
    returns: str
    small: bool

    @property
    def price_from_fen(self) -> int:
        """The lowest price among the specs, in fen."""
        return min(spec.price_fen for spec in self.specs)

    @property
    def stock_word(self) -> str:
        """有货, 仅剩 n (n at most 3) or 售罄, over all specs."""
        stock = sum(spec.stock for spec in self.specs)
        return SOLD_OUT if stock == 0 else f"仅剩 {stock}" if stock <= _FEW else "有货"

    @property
    def doc(self) -> Doc:
        """The product as the search index takes it."""
        return Doc(
            code=self.code,
            name=self.name,
            line=self.line,
            keywords=self.keywords,
            category=self.category,
            price_from_fen=self.price_from_fen,
            stock_word=self.stock_word,
            specs=tuple(spec.label for spec in self.specs),
            prices_fen=tuple(sorted({spec.price_fen for spec in self.specs})),
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """A group-buy offer: which spec, how many people, price per person in fen, hours a group stays open."""

    product: str
    spec: str
    size: int
    price_fen: int
    hours: int


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The whole demo shop; `categories` in the order of the shelves, `answers` by topic (问答)."""

    name: str
    line: str
    hours: int
    categories: tuple[str, ...]
    products: tuple[Product, ...]
    offers: tuple[Offer, ...]
    answers: Mapping[str, str]

    def small(self) -> Catalogue:
        """What loads at once by default: the marked products, their categories and their offers."""
        products = tuple(product for product in self.products if product.small)
        codes = {product.code for product in products}
        shelves = {product.category for product in products}
        return replace(
            self,
            products=products,
            categories=tuple(category for category in self.categories if category in shelves),
            offers=tuple(offer for offer in self.offers if offer.product in codes),
        )


def load() -> Catalogue:
    """The demo shop that ships with the project."""
    return read((resources.files(__package__) / "catalogue.toml").read_text(encoding="utf-8"))


def read(text: str) -> Catalogue:
    """A catalogue from TOML text; raises CatalogueFault (also for broken TOML and missing fields)."""
    try:
        tables = tomllib.loads(text)
        catalogue = _catalogue(tables)
    except tomllib.TOMLDecodeError as fault:
        raise CatalogueFault(f"not TOML: {fault}") from None
    except KeyError as missing:
        raise CatalogueFault(f"the field {missing} is missing") from None
    except (TypeError, AttributeError) as fault:
        raise CatalogueFault(f"a value is of the wrong kind: {fault}") from None
    if faults := _faults(catalogue):
        raise CatalogueFault("\n".join(faults))
    return catalogue


def _catalogue(tables: Mapping[str, Any]) -> Catalogue:
    shop, categories = tables["shop"], tables["categories"]
    return Catalogue(
        name=shop["name"],
        line=shop["line"],
        hours=shop["hours"],
        categories=tuple(sorted(categories, key=lambda name: (categories[name]["order"], name))),
        products=tuple(_product(table, shop["hours"], categories) for table in tables["products"]),
        offers=tuple(
            Offer(one["product"], one["spec"], one["size"], one["fen"], one["hours"]) for one in tables["offers"]
        ),
        answers=dict(tables["answers"]),
    )


def _product(table: Mapping[str, Any], hours: int, categories: Mapping[str, Any]) -> Product:
    return Product(
        code=table["code"],
        name=table["name"],
        line=table["line"],
        keywords=tuple(table["keywords"]),
        category=table["category"],
        unit=table["unit"],
        axis=table["axis"],
        specs=tuple(Spec(one["label"], one["fen"], one["stock"], one["grams"]) for one in table["specs"]),
        facts={**categories.get(table["category"], {}).get("facts", {}), **table.get("facts", {})},
        hours=table.get("hours", hours),
        returns=table.get("returns", categories.get(table["category"], {}).get("returns", "")),
        small=table.get("small", False),
    )


def _faults(catalogue: Catalogue) -> list[str]:
    faults: list[str] = []
    prices: dict[tuple[str, str], int] = {}
    codes: set[str] = set()
    for product in catalogue.products:
        where = product.code
        if not _CODE.fullmatch(product.code):
            faults.append(f"{where}: a code is A and a number")
        if product.code in codes:
            faults.append(f"{where}: the code occurs twice")
        codes.add(product.code)
        if not 1 <= len(product.name) <= _NAME_LENGTH:
            faults.append(f"{where}: a name has 1 to {_NAME_LENGTH} characters")
        if product.category not in catalogue.categories:
            faults.append(f"{where}: there is no category {product.category}")
        if product.returns not in ("", "sealed", "no"):
            faults.append(f"{where}: 七天无理由 is left out, sealed or no")
        if not product.specs or len({spec.label for spec in product.specs}) != len(product.specs):
            faults.append(f"{where}: at least one spec, and no label twice")
        for spec in product.specs:
            figures = (spec.price_fen, spec.stock, spec.weight_g)
            if any(type(figure) is not int for figure in figures) or spec.price_fen < 1 or min(figures) < 0:
                faults.append(f"{where} {spec.label}: whole numbers, and a price of at least 1 fen")
            prices[product.code, spec.label] = spec.price_fen
    for offer in catalogue.offers:
        price = prices.get((offer.product, offer.spec))
        if price is None:
            faults.append(f"offer {offer.product} {offer.spec}: there is no such spec")
        elif not 0 < offer.price_fen < price:
            faults.append(f"offer {offer.product} {offer.spec}: a group pays less than {price} fen, and something")
        if not 2 <= offer.size <= 10 or offer.hours < 1:
            faults.append(f"offer {offer.product} {offer.spec}: 2 to 10 people, at least an hour")
    return faults
