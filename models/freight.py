"""Freight (运费): templates by piece or by weight, with zones of provinces, and what a parcel costs by them.

One template is in force at a time. Without one the shop's figures are it: one price everywhere, free from a sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, exists, select, text, update
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Glance, Invariant, Json, Reader, Refusal, Shelf
from models.figures import Figures
from models.regions import regions, short_name

PIECE, WEIGHT = "piece", "weight"
ON: Any = dict.fromkeys(("sqlite_where", "postgresql_where"), text("state = 'on'"))


class NoFreightThere(Refusal):
    """The shop does not send there. Facts: province."""


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
        """The zone of a province (full name; "" while nobody knows where to); NoFreightThere when it has none."""
        for zone in self.zones:
            if province and province in zone.provinces:
                return zone
        rest = next((zone for zone in self.zones if not zone.provinces), None)
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
    """The shop's figures as a template: one price for a parcel wherever it goes."""
    order = figures.order
    return Tariff(PIECE, (Zone((), 1, order.freight_fen, free_from_fen=order.freight_free_from_fen),))


def province_of(region: str) -> str:
    """浙江省杭州市西湖区 → 浙江省; "" when no province is known by these words."""
    return regions().split(region).province


def province_named(said: str) -> str:
    """新疆 → 新疆维吾尔自治区; "" for what is no province."""
    names = [name for code, name in regions().names.items() if len(code) == 2]
    return next((name for name in names if said in (name, short_name(name))), "")


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


async def tariff(reader: Reader, figures: Figures) -> Tariff:
    """The template in force, else the shop's figures."""
    rows = await reader.all(
        select(
            FreightTemplate.by,
            FreightZone.provinces,
            FreightZone.first,
            FreightZone.first_fen,
            FreightZone.further,
            FreightZone.further_fen,
            FreightZone.free_from_fen,
        )
        .join(FreightZone, FreightZone.template_id == FreightTemplate.id)
        .where(FreightTemplate.state == "on")
        .order_by(FreightZone.place)
    )
    if not rows:
        return plain_tariff(figures)
    return Tariff(rows[0].by, tuple(Zone(tuple(row.provinces), *row[2:]) for row in rows))


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
