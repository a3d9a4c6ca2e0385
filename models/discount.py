"""Timed discounts (限时折扣): a percentage off one product, or off the whole shop, between two moments."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, bindparam, or_, select, update
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Glance, Invariant, Reader, Refusal, Shelf
from models.ready import Ready

MOST_PERCENT = 90


class DiscountOdd(Refusal):
    """A discount the shop cannot keep. Facts: field (percent, until)."""


class TimedDiscount(Base):
    """So many percent off, from one moment until another; never changed, only ended."""

    __tablename__ = "timed_discount"
    __table_args__ = (
        CheckConstraint("percent BETWEEN 1 AND 90", name="percent_sane"),
        CheckConstraint("ends > begins", name="ends_after_it_begins"),
        Index(None, "ends"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int | None] = mapped_column(ForeignKey("product.id"))  # None: the whole shop
    percent: Mapped[int]  # taken off: 9折 is 10
    begins: Mapped[datetime]
    ends: Mapped[datetime]
    stopped: Mapped[datetime | None]  # by hand, before its end


@dataclass(frozen=True)
class Running:
    """A discount that runs now; `product_id` None: on everything."""

    product_id: int | None
    percent: int
    ends: datetime

    @property
    def label(self) -> str:
        return f"限时{tenths(self.percent)}"


def tenths(percent: int) -> str:
    """10 % off is 9折, 15 % off is 8.5折."""
    whole, part = divmod(100 - percent, 10)
    return f"{whole}.{part}折" if part else f"{whole}折"


def sane(percent: int, ends: datetime, now: datetime) -> None:
    """DiscountOdd for what the shop cannot keep."""
    if not 1 <= percent <= MOST_PERCENT:
        raise DiscountOdd(field="percent")
    if ends <= now:
        raise DiscountOdd(field="until")


_BEST = Ready(
    select(TimedDiscount.product_id, TimedDiscount.percent, TimedDiscount.ends)
    .where(
        or_(TimedDiscount.product_id.is_(None), TimedDiscount.product_id == bindparam("product")),
        TimedDiscount.begins <= bindparam("now"),
        TimedDiscount.ends > bindparam("now"),
        TimedDiscount.stopped.is_(None),
    )
    .order_by(TimedDiscount.percent.desc(), TimedDiscount.id)
    .limit(1)
)


async def running(reader: Reader, product_ids: Collection[int], now: datetime) -> Mapping[int, Running]:
    """The best discount that runs now on each of these products; products without one are left out."""
    best = {i: await reader.first(_BEST, {"product": i, "now": now}) for i in product_ids}
    return {i: Running(**row) for i, row in best.items() if row is not None}


class Discounts(Shelf[TimedDiscount]):
    """Timed discounts, for the changing path."""

    entity = TimedDiscount

    async def start(self, product_id: int | None, percent: int, ends: datetime) -> TimedDiscount:
        """From now on, in the place of the one that ran on the same goods. Raises DiscountOdd."""
        sane(percent, ends, self.work.now)
        await self.stop(product_id)
        return await self.add(TimedDiscount(product_id=product_id, percent=percent, begins=self.work.now, ends=ends))

    async def stop(self, product_id: int | None) -> bool:
        """End what runs on this product (None: on the whole shop); False when nothing ran."""
        mine: Any = TimedDiscount.product_id.is_(None) if product_id is None else TimedDiscount.product_id == product_id
        done = await self.session.execute(
            update(TimedDiscount)
            .where(mine, TimedDiscount.stopped.is_(None), TimedDiscount.ends > self.work.now)
            .values(stopped=self.work.now)
            .returning(TimedDiscount.id)
            .execution_options(synchronize_session=False)
        )
        return bool(done.all())


class DiscountGlance(Glance):
    """Timed discounts, read only."""

    async def all(self, now: datetime) -> list[Running]:
        """All that run now, the best first."""
        rows = await self.reader.all(
            select(TimedDiscount.product_id, TimedDiscount.percent, TimedDiscount.ends)
            .where(TimedDiscount.begins <= now, TimedDiscount.ends > now, TimedDiscount.stopped.is_(None))
            .order_by(TimedDiscount.percent.desc(), TimedDiscount.id)
        )
        return [Running(*row) for row in rows]

    async def on(self, product_id: int, now: datetime) -> Running | None:
        """The best one that runs on this product."""
        return (await running(self.reader, [product_id], now)).get(product_id)


INVARIANTS = (
    Invariant(
        "discount_within",
        "a discount takes something and leaves something, for a while",
        select(TimedDiscount.id).where(
            (TimedDiscount.percent < 1)
            | (TimedDiscount.percent > MOST_PERCENT)
            | (TimedDiscount.ends <= TimedDiscount.begins)
        ),
    ),
)
