"""What the shop may still say to one follower: windows that the follower opened, and what is left of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Invariant, Reader, Work, table_of
from models.figures import PushFigures
from models.ready import Ask, Ready


class Speech(Base):
    """The right to speak (vendor, customer messages: 5 in 48 h after words, 3 in a minute after a tap)."""

    __tablename__ = "speech"
    __table_args__ = (CheckConstraint("typed_used >= 0 AND tapped_used >= 0", name="used_not_negative"),)

    follower_id: Mapped[int] = mapped_column(ForeignKey("follower.id"), primary_key=True, autoincrement=False)
    typed_at: Mapped[datetime | None]
    typed_used: Mapped[int] = mapped_column(default=0)
    tapped_at: Mapped[datetime | None]
    tapped_used: Mapped[int] = mapped_column(default=0)


@dataclass(frozen=True)
class Heard:
    """What opens a window: `typed` for words, else a tap (menu, follow, scan)."""

    follower_id: int
    at: datetime
    typed: bool


def _opening(at: str, used: str) -> Ready:
    statement = insert(table_of(Speech))
    fresh, newer = statement.excluded[at], getattr(Speech, at)
    statement = statement.on_conflict_do_update(
        index_elements=["follower_id"], set_={at: fresh, used: 0}, where=or_(newer.is_(None), newer < fresh)
    )
    return Ready(statement, sets=("follower_id", "typed_used", "tapped_used", at))


_OPENS = {"typed_at": _opening("typed_at", "typed_used"), "tapped_at": _opening("tapped_at", "tapped_used")}


def opens(one: Heard) -> Ask:
    """To be written: this act opens its window again, to the full."""
    at = "typed_at" if one.typed else "tapped_at"
    return _OPENS[at], {"follower_id": one.follower_id, "typed_used": 0, "tapped_used": 0, at: one.at}


async def heard(work: Work, rows: list[Heard]) -> None:
    """Open the windows again; a new act renews its own allowance to the full."""
    latest: dict[tuple[int, bool], Heard] = {}
    for row in rows:
        known = latest.get((row.follower_id, row.typed))
        if known is None or known.at <= row.at:
            latest[(row.follower_id, row.typed)] = row
    for typed in (True, False):
        mine = sorted((row for row in latest.values() if row.typed is typed), key=lambda row: row.follower_id)
        # One statement for everybody: one of its own for each costs a hundred times as much (measured).
        await work.write(_OPENS["typed_at" if typed else "tapped_at"], [opens(row)[1] for row in mine])


async def spoken_since(reader: Reader, follower_id: int, then: datetime) -> bool:
    """Whether one has said or tapped anything since."""
    mine = (Speech.follower_id == follower_id, or_(Speech.typed_at > then, Speech.tapped_at > then))
    return await reader.one(select(Speech.follower_id).where(*mine)) is not None


async def spend(work: Work, follower_id: int, channel: str, figures: PushFigures, *, keep: int = 0) -> bool:
    """Take one message out of an open window, the short-lived one first; False when there is none.

    `keep` messages of the long window are left for what matters more (marketing leaves two for service notices).
    Weibo counts nothing within its 48 hours (doc: 2014-08 revision of messages/reply).
    """
    now = work.now
    if channel == "weibo":
        since = now - timedelta(hours=figures.weibo_hours)
        row = await work.one(
            select(Speech.follower_id).where(
                Speech.follower_id == follower_id, or_(Speech.typed_at > since, Speech.tapped_at > since)
            )
        )
        return row is not None
    tapped = await work.session.execute(
        update(Speech)
        .where(
            Speech.follower_id == follower_id,
            Speech.tapped_at > now - timedelta(minutes=figures.tap_minutes),
            Speech.tapped_used < figures.tap_messages,
        )
        .values(tapped_used=Speech.tapped_used + 1)
    )
    if tapped.rowcount == 1:  # type: ignore[attr-defined]
        return True
    typed = await work.session.execute(
        update(Speech)
        .where(
            Speech.follower_id == follower_id,
            Speech.typed_at > now - timedelta(hours=figures.customer_hours),
            Speech.typed_used < figures.customer_messages - keep,
        )
        .values(typed_used=Speech.typed_used + 1)
    )
    return bool(typed.rowcount == 1)  # type: ignore[attr-defined]


async def used_up(work: Work, follower_id: int, figures: PushFigures) -> None:
    """The platform says that nothing is left (45047, 45015): believe it."""
    await work.session.execute(
        update(Speech)
        .where(Speech.follower_id == follower_id)
        .values(typed_used=figures.customer_messages, tapped_used=figures.tap_messages)
    )


def open_window(figures: PushFigures, channel: str, now: datetime, *, keep: int) -> Any:
    """The condition under which a follower could be reached now; for counting before a push."""
    if channel == "weibo":
        since = now - timedelta(hours=figures.weibo_hours)
        return or_(Speech.typed_at > since, Speech.tapped_at > since)
    return (Speech.typed_at > now - timedelta(hours=figures.customer_hours)) & (
        Speech.typed_used < figures.customer_messages - keep
    )


INVARIANTS = (
    Invariant(
        "speech_not_overspent",
        "nobody was sent more customer messages in a window than the platform allows",
        select(Speech.follower_id).where((Speech.typed_used > 20) | (Speech.tapped_used > 20)),
    ),
)
