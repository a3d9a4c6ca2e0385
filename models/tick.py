"""Which slot of each tick has been looked at, and how far the shop's clock is ahead of the wall."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Invariant, Reader, Work

OFFSET = "clock-offset-seconds"


class Tick(Base):
    """The latest slot of one tick; of any number of processes one takes each slot."""

    __tablename__ = "tick"

    name: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[int] = mapped_column(default=0)


async def take(work: Work, name: str, slot: int) -> bool:
    """Take a slot; False when it, or a later one, has been taken."""
    insert = work.insert
    statement = insert(Tick).values(name=name, slot=slot)
    statement = statement.on_conflict_do_update(
        index_elements=["name"], set_={"slot": slot}, where=Tick.slot < slot
    ).returning(Tick.name)
    return (await work.session.execute(statement)).first() is not None


async def offset(reader: Reader) -> timedelta:
    """How far ahead the clock was moved; honoured only under `demo` and in tests."""
    row = await reader.one(select(Tick.slot).where(Tick.name == OFFSET))
    return timedelta(seconds=row.slot if row is not None else 0)


async def set_offset(work: Work, ahead: timedelta) -> None:
    await take(work, OFFSET, int(ahead.total_seconds()))


INVARIANTS = (Invariant("tick_slot", "a slot is counted from the epoch", select(Tick.name).where(Tick.slot < 0)),)
