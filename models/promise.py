"""When goods leave (发货承诺): the hours, the same-day hour, the rest it takes (打烊), and whether it sells (停售)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import CheckConstraint, select, update
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Glance, Invariant, Reader, Refusal, Work
from models.figures import Figures
from models.product import Product
from models.ready import Ready

LONGEST_HOURS = 30 * 24


class NotSelling(Refusal):
    """The shop takes no orders for now (停售 全店). Facts: notice."""


class PromiseRow(Base):
    """What the shop promises from `made` on; the newest row is in force, older ones say what was promised then."""

    __tablename__ = "promise"
    __table_args__ = (CheckConstraint("hours BETWEEN 1 AND 720", name="hours_sane"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    made: Mapped[datetime]
    hours: Mapped[int]
    cutoff: Mapped[str] = mapped_column(default="")  # "16:00": paid until then, it leaves the same day
    rests_until: Mapped[datetime | None]
    notice: Mapped[str] = mapped_column(default="")
    stopped: Mapped[datetime | None]  # since when no orders are taken


@dataclass(frozen=True)
class Promise:
    """What the shop promises; `rests_until` (aware UTC) with `notice` while it rests; `stopped`: takes no orders."""

    hours: int
    cutoff: str = ""
    rests_until: datetime | None = None
    notice: str = ""
    stopped: datetime | None = None

    def resting(self, now: datetime) -> bool:
        return self.rests_until is not None and now < self.rests_until

    def for_order(self, now: datetime, zone: str, *, ships: bool) -> dict[str, Any]:
        """What an order made now is promised, as its columns: the rest to wait for, or today's same-day hour."""
        if not ships:
            return {}
        if self.resting(now):
            return {"promise_after": self.rests_until}
        if not self.cutoff:
            return {}
        local = now.astimezone(ZoneInfo(zone))
        hour, minute = self.cutoff.split(":")
        until = datetime.combine(local.date(), time(int(hour), int(minute)), tzinfo=local.tzinfo)
        if local > until:
            return {}
        night = datetime.combine(local.date() + timedelta(days=1), time(), tzinfo=local.tzinfo)
        return {"cutoff_at": until.astimezone(now.tzinfo), "cutoff_due": night.astimezone(now.tzinfo)}


_NEWEST = Ready(
    select(PromiseRow.hours, PromiseRow.cutoff, PromiseRow.rests_until, PromiseRow.notice, PromiseRow.stopped)
    .order_by(PromiseRow.id.desc())
    .limit(1)
)


async def promise(reader: Reader, figures: Figures) -> Promise:
    """What is promised now."""
    row = await reader.first(_NEWEST, {})
    return Promise(**row) if row is not None else Promise(figures.order.promise_hours)


async def selling(reader: Reader, figures: Figures) -> Promise:
    """What is promised to who orders now; raises NotSelling."""
    now_is = await promise(reader, figures)
    if now_is.stopped is not None:
        raise NotSelling(notice=now_is.notice)
    return now_is


async def stop_selling(work: Work, stopped: datetime | None, figures: Figures) -> None:
    """Take no orders from then on, or take them again (None); those that were made may be paid."""
    await _write(work, replace(await promise(work, figures), stopped=stopped))


async def rest(work: Work, until: datetime | None, notice: str, figures: Figures) -> None:
    """Rest until then, or open again (None); orders that were made keep their promise."""
    now_is = await promise(work, figures)
    await _write(work, replace(now_is, rests_until=until, notice=notice))


async def usual(work: Work, hours: int, cutoff: str, figures: Figures) -> None:
    """So many hours from now on; products that had the shop's usual time have it still."""
    before = await promise(work, figures)
    await _write(work, replace(before, hours=hours, cutoff=cutoff))
    await work.session.execute(
        update(Product)
        .where(Product.promise_hours == before.hours)
        .values(promise_hours=hours, changed=work.now)
        .execution_options(synchronize_session=False)
    )


async def _write(work: Work, new: Promise) -> None:
    work.session.add(PromiseRow(made=work.now, **asdict(new)))
    await work.session.flush()


class PromiseGlance(Glance):
    """The promise in force, for cards and answers."""

    async def now(self, figures: Figures) -> Promise:
        return await promise(self.reader, figures)


INVARIANTS = (
    Invariant(
        "promise_sane",
        "what is promised can be kept: between an hour and thirty days",
        select(PromiseRow.id).where((PromiseRow.hours < 1) | (PromiseRow.hours > LONGEST_HOURS)),
    ),
)
