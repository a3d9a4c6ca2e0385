"""What the shop heard and what it answered, so that the same message gets the same words again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Index, UniqueConstraint, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Invariant, Moment, Work, table_of
from models.ready import Ask, Ready
from models.seal import SealedJson

KEPT = timedelta(hours=72)


class Inbox(Base):
    """One message that changed something, with its answer."""

    __tablename__ = "inbox"
    __table_args__ = (UniqueConstraint("channel", "account", "who", "key"), Index(None, "heard"))

    id: Mapped[int] = mapped_column(primary_key=True)
    channel: Mapped[str]
    account: Mapped[str]
    who: Mapped[str]
    key: Mapped[str]
    heard: Mapped[datetime]
    answer: Mapped[dict[str, Any] | None] = mapped_column(SealedJson)


_NOTE = Ready(
    insert(table_of(Inbox))
    .on_conflict_do_nothing(index_elements=["channel", "account", "who", "key"])
    .returning(Inbox.id),
    sets=("channel", "account", "who", "key", "heard"),
)
_KEEP = Ready(update(table_of(Inbox)).where(Inbox.id == bindparam("noted")), sets=("answer",))


async def note(work: Work, channel: str, account: str, who: str, key: str) -> int | None:
    """Write the message down; None when it is there already.

    A second delivery waits here until the first has committed, and then finds its answer.
    """
    noted = {"channel": channel, "account": account, "who": who, "key": key, "heard": work.now}
    row = await work.first(_NOTE, noted)
    return row["id"] if row is not None else None


async def answered(work: Work, channel: str, account: str, who: str, key: str) -> dict[str, Any]:
    """The stored answer of a message that is there."""
    statement = select(Inbox.answer).where(
        Inbox.channel == channel, Inbox.account == account, Inbox.who == who, Inbox.key == key
    )
    return (await work.session.execute(statement)).scalar_one_or_none() or {}


def keep(inbox_id: int, answer: dict[str, Any]) -> Ask:
    """To be written: the answer with its message."""
    return _KEEP, {"noted": inbox_id, "answer": answer}


async def sweep(work: Work, limit: int) -> int:
    """Forget up to `limit` messages that are older than 72 hours; how many."""
    old = select(Inbox.id).where(Inbox.heard < work.now - KEPT).order_by(Inbox.heard).limit(limit)
    gone = await work.session.execute(delete(Inbox).where(Inbox.id.in_(old.scalar_subquery())))
    return int(gone.rowcount)  # type: ignore[attr-defined]


INVARIANTS = (
    Invariant(
        "inbox_answered",
        "every message that was written down has its answer",
        select(Inbox.id).where(Inbox.answer.is_(None)),
    ),
    Invariant(
        "inbox_forgotten",
        "what was heard is forgotten after 72 hours",
        select(Inbox.id).where(Inbox.heard < bindparam("late", type_=Moment())),
        grace_minutes=int(KEPT.total_seconds()) // 60 + 3 * 60,
    ),
)
