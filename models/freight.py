"""Freight (运费): templates by piece or by weight, with zones of provinces, and what a parcel costs by them.

One template is in force at a time. Without one the shop's figures are it: one price everywhere, free from a sum.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, exists, select, text, update
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Glance, Invariant, Json, Reader, Refusal, Shelf
from models.figures import Figures
from models.prices import fen
from models.ready import Ready
from models.regions import regions, short_name

PIECE, WEIGHT = "piece", "weight"
BEYOND = ("香港特别行政区", "澳门特别行政区", "台湾省")
ON: Any = dict.fromkeys(("sqlite_where", "postgresql_where"), text("state = 'on'"))


class NoFreightThere(Refusal):
    """The shop does not send there. Facts: province."""


class FreightUnclear(Refusal):
    """A template that does not read. Facts: part (the words that were not understood, "" when they disagree)."""


class Travelling(Protocol):
    """What freight has to know of a line of an order; grams for one piece, fen for the whole line."""

    @property
    def quantity(self) -> int: ...
    @property
    def weight_g(self) -> int: ...
    @property
    def ships(self) -> bool: ...
    @property
    def amount_fen(self) -> int: ...


@dataclass(frozen=True)
class Zone:
    """What it costs to send to some provinces (none named: everywhere else).

    `first` pieces or grams cost `first_fen`; every further `further` of them, begun ones too, `further_fen`. Free from
    goods of `free_from_fen` (None: never).
    """

    provinces: tuple[str, ...]
    first: int
    first_fen: int
    further: int = 0
    further_fen: int = 0
    free_from_fen: int | None = None

    def charge(self, amount: int) -> int:
        """Fen for `amount` pieces or grams."""
        over = max(0, amount - self.first)
        return self.first_fen + (-(-over // self.further) * self.further_fen if self.further else 0)


@dataclass(frozen=True)
class Fee:
    """Fen for the parcel, and fen of goods that are missing to free freight (0: there is nothing to gain)."""

    fen: int
    missing_fen: int = 0


@dataclass(frozen=True)
class Tariff:
    """A template as orders use it: counted by piece or by weight, zone by zone."""

    by: str
    zones: tuple[Zone, ...]

    def zone(self, province: str) -> Zone:
        """The zone of a province (full name; "" while nobody knows where to); NoFreightThere when it has none.

        "Everywhere else" is the mainland: beyond it, where there are customs, only a zone that names the place serves.
        """
        for zone in self.zones:
            if province and province in zone.provinces:
                return zone
        rest = next((zone for zone in self.zones if not zone.provinces), None)
        if province in BEYOND:
            raise NoFreightThere(province=province)
        if rest is None and not province and self.zones:
            return self.zones[0]
        if rest is None:
            raise NoFreightThere(province=province)
        return rest

    def fee(self, lines: Sequence[Travelling], province: str) -> Fee:
        """What it costs to send what ships, after every discount. Raises NoFreightThere."""
        shipped = [line for line in lines if line.ships]
        if not shipped:
            return Fee(0)
        zone = self.zone(province)
        goods = sum(line.amount_fen for line in shipped)
        if zone.free_from_fen is not None and goods >= zone.free_from_fen:
            return Fee(0)
        weighed = self.by == WEIGHT
        fen = zone.charge(sum(line.quantity * (line.weight_g if weighed else 1) for line in shipped))
        return Fee(fen, zone.free_from_fen - goods if fen and zone.free_from_fen is not None else 0)


def plain_tariff(figures: Figures) -> Tariff:
    """The shop's figures as a template: one price for a parcel wherever it goes on the mainland."""
    order = figures.order
    return Tariff(PIECE, (Zone((), 1, order.freight_fen, free_from_fen=order.freight_free_from_fen),))


def province_of(region: str) -> str:
    """浙江省杭州市西湖区 → 浙江省; "" when no province is known by these words."""
    return regions().split(region).province


def province_named(said: str) -> str:
    """新疆 → 新疆维吾尔自治区; "" for what is no province."""
    names = [name for code, name in regions().names.items() if len(code) == 2]
    return next((name for name in names if said in (name, short_name(name))), "")


_PARTS = re.compile(r"[;；\n]+")
_UNIT = r"(?P<{0}>件|个|kg|公斤|千克|斤|g|克)"
_FIRST = re.compile(
    r"首\s*(?P<n>[0-9]{1,5})\s*" + _UNIT.format("unit") + r"\s*[¥￥]?(?P<fee>[0-9]{1,4}(?:\.[0-9]{1,2})?)\s*(?:元|块)?"
)
_FURTHER = re.compile(_FIRST.pattern.replace("首", "续"))
_FLAT = re.compile(r"(?:每单|一单|一律)?\s*[¥￥]?(?P<fee>[0-9]{1,4}(?:\.[0-9]{1,2})?)\s*(?:元|块)")
_FREE = re.compile(r"满\s*[¥￥]?(?P<sum>[0-9]{1,6}(?:\.[0-9]{1,2})?)\s*(?:元|块)?\s*(?:包邮|免邮|免运费)")
_ELSEWHERE = ("其他", "其它", "其余", "全国")
_GRAMS = {"kg": 1000, "公斤": 1000, "千克": 1000, "斤": 500, "g": 1, "克": 1}


def read_tariff(words: str) -> Tariff:
    """首1件8元 续1件2元 满99包邮; 新疆、西藏 首1件20元 续1件5元 → a template.

    Parts are zones; the one that names no province is everywhere else, and without one the rest is not served.
    Raises FreightUnclear.
    """
    zones: list[Zone] = []
    ways: set[str] = set()
    for part in _PARTS.split(words):
        said = part.strip()
        if not said:
            continue
        free, first, further = _FREE.search(said), _FIRST.search(said), _FURTHER.search(said)
        bare = _FREE.sub(" ", said)
        flat = None if first else _FLAT.search(bare)
        price = first or flat
        if price is None:
            raise FreightUnclear(part=said)
        head = bare[: (_FIRST.search(bare) or price).start()]
        names = [w for w in re.split(r"[\s,，、:：]+", head) if w and w not in (*_ELSEWHERE, "按件", "按重", "按重量")]
        provinces = [province_named(name) for name in names]
        if "" in provinces:
            raise FreightUnclear(part=names[provinces.index("")])
        for found in (first, further):
            if found is not None:
                ways.add(WEIGHT if found["unit"] in _GRAMS else PIECE)
        zones.append(
            Zone(
                tuple(provinces),
                _amount(first) if first else 1,
                fen(price["fee"]) or 0,
                _amount(further) if further else 0,
                (fen(further["fee"]) or 0) if further else 0,
                fen(free["sum"]) if free else None,
            )
        )
    rest = [zone for zone in zones if not zone.provinces]
    if not zones or len(ways) > 1 or len(rest) > 1 or overlapping(zones):
        raise FreightUnclear(part=next(iter(overlapping(zones)), ""))
    return Tariff(next(iter(ways), PIECE), tuple(zones))


def _amount(found: re.Match[str]) -> int:
    return max(1, int(found["n"]) * _GRAMS.get(found["unit"], 1))


class FreightTemplate(Base):
    """A template; its zones never change: another template takes its place."""

    __tablename__ = "freight_template"
    __table_args__ = (
        CheckConstraint("by IN ('piece','weight')", name="way_known"),
        CheckConstraint("state IN ('on','off')", name="state_known"),
        Index("uq_freight_template_live", "state", unique=True, **ON),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    by: Mapped[str]
    state: Mapped[str] = mapped_column(default="on")
    made: Mapped[datetime]


class FreightZone(Base):
    """One zone of a template."""

    __tablename__ = "freight_zone"
    __table_args__ = (
        UniqueConstraint("template_id", "place"),
        CheckConstraint("first > 0 AND further >= 0", name="steps_sane"),
        CheckConstraint("first_fen >= 0 AND further_fen >= 0", name="fees_not_negative"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    template_id: Mapped[int] = mapped_column(ForeignKey("freight_template.id"))
    place: Mapped[int]
    provinces: Mapped[list[Any]] = mapped_column(Json, default=list)  # full names; []: everywhere else
    first: Mapped[int]
    first_fen: Mapped[int]
    further: Mapped[int] = mapped_column(default=0)
    further_fen: Mapped[int] = mapped_column(default=0)
    free_from_fen: Mapped[int | None]


_ZONES = ("provinces", "first", "first_fen", "further", "further_fen", "free_from_fen")
_IN_FORCE = Ready(
    select(FreightTemplate.by, *(getattr(FreightZone, name) for name in _ZONES))
    .join(FreightZone, FreightZone.template_id == FreightTemplate.id)
    .where(FreightTemplate.state == "on")
    .order_by(FreightZone.place)
)


async def tariff(reader: Reader, figures: Figures) -> Tariff:
    """The template in force, else the shop's figures."""
    rows = await reader.every(_IN_FORCE, {})
    if not rows:
        return plain_tariff(figures)
    zones = (Zone(tuple(row["provinces"]), *(row[name] for name in _ZONES[1:])) for row in rows)
    return Tariff(rows[0]["by"], tuple(zones))


class Freights(Shelf[FreightTemplate]):
    """The templates, for the changing path."""

    entity = FreightTemplate

    async def put_up(self, new: Tariff) -> None:
        """This template from now on; orders that were made keep their freight."""
        await self.take_down()
        template = await self.add(FreightTemplate(by=new.by, state="on", made=self.work.now))
        await self.put(FreightZone, [_row(template.id, place, zone) for place, zone in enumerate(new.zones, 1)])

    async def take_down(self) -> None:
        """Back to the shop's figures."""
        await self.session.execute(
            update(FreightTemplate)
            .where(FreightTemplate.state == "on")
            .values(state="off")
            .execution_options(synchronize_session=False)
        )


class FreightGlance(Glance):
    """The template in force, read only."""

    async def tariff(self, figures: Figures) -> Tariff:
        return await tariff(self.reader, figures)


def _row(template_id: int, place: int, zone: Zone) -> dict[str, Any]:
    figures = {name: getattr(zone, name) for name in ("first", "first_fen", "further", "further_fen", "free_from_fen")}
    return {"template_id": template_id, "place": place, "provinces": list(zone.provinces), **figures}


def overlapping(zones: Iterable[Zone]) -> set[str]:
    """Provinces that two zones claim."""
    seen: set[str] = set()
    twice: set[str] = set()
    for zone in zones:
        twice |= seen & set(zone.provinces)
        seen |= set(zone.provinces)
    return twice


INVARIANTS = (
    Invariant(
        "freight_template_zoned",
        "a template in force says what it costs somewhere",
        select(FreightTemplate.id).where(
            FreightTemplate.state == "on",
            ~exists().where(FreightZone.template_id == FreightTemplate.id).correlate(FreightTemplate),
        ),
    ),
)
