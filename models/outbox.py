"""What the shop has promised to say or to do: written in the transaction that owes it, taken by compare-and-swap."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    UniqueConstraint,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Invariant, Moment, Work
from models.seal import SealedJson

LEASE_SECONDS = 60
KEPT = timedelta(days=30)
"""How long what is over stays on record: far longer than anybody would promise it again, to be told no by its key."""
NOTICE_TRIES = 5
STATES = ("due", "leased", "done", "missed", "dropped", "unknown")


class Outbox(Base):
    """A promise.

    `kind`: answer (a late or private answer), notice (service), push (asked-for marketing), errand (needs the
    network), event (a reaction that failed, or a message that a door could not wait for). `missed` waits to be shown
    first at the follower's next visit.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("key"),
        CheckConstraint("state IN ('due','leased','done','missed','dropped','unknown')", name="state_known"),
        CheckConstraint("kind IN ('answer','notice','push','errand','event')", name="kind_known"),
        Index(None, "state", "due"),
        Index(None, "follower_id", "state"),
        Index(None, "campaign_id", "state"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]  # the template, the errand, the reaction
    key: Mapped[str]
    follower_id: Mapped[int | None] = mapped_column(ForeignKey("follower.id"))
    campaign_id: Mapped[int | None] = mapped_column(ForeignKey("campaign.id"))
    payload: Mapped[dict[str, Any]] = mapped_column(SealedJson)
    state: Mapped[str]
    made: Mapped[datetime]
    due: Mapped[datetime]
    done_at: Mapped[datetime | None]
    lease_until: Mapped[int] = mapped_column(
        default=0
    )  # wall clock, Unix milliseconds: moving the shop's clock ends no lease
    token: Mapped[str] = mapped_column(default="")
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(default="")


@dataclass(frozen=True)
class Promise:
    """A promise that was taken to be kept."""

    id: int
    kind: str
    name: str
    key: str
    follower_id: int | None
    campaign_id: int | None
    payload: dict[str, Any]
    attempts: int
    token: str
    due: datetime


async def promise(work: Work, rows: list[dict[str, Any]]) -> int:
    """Write promises; one whose key is there already is the same promise and is not written again. Returns how many."""
    if not rows:
        return 0
    insert = work.insert
    full = [
        {
            "follower_id": None,
            "campaign_id": None,
            "state": "due",
            "made": work.now,
            "due": work.now,
            "lease_until": 0,
            "token": "",
            "attempts": 0,
            "error": "",
        }
        | row
        for row in rows
    ]
    written = await work.session.execute(
        insert(Outbox).values(full).on_conflict_do_nothing(index_elements=["key"]).returning(Outbox.id)
    )
    return len(written.all())


async def claim(work: Work, wall_ms: int, limit: int, *, kinds: Sequence[str], skip_locked: bool) -> list[Promise]:
    """Take up to `limit` due promises for 60 seconds; the condition stands in the sub-select and in the update.

    (With the first only, five workers got the same row.)
    """
    due = or_(
        (Outbox.state == "due") & (Outbox.due <= work.now),
        (Outbox.state == "leased") & (Outbox.lease_until < wall_ms),
    )
    wanted = select(Outbox.id).where(due, Outbox.kind.in_(kinds)).order_by(Outbox.due, Outbox.id).limit(limit)
    if skip_locked:
        wanted = wanted.with_for_update(skip_locked=True)
    token = secrets.token_hex(8)
    taken = await work.session.execute(
        update(Outbox)
        .where(Outbox.id.in_(wanted.scalar_subquery()), due)
        .values(
            state="leased",
            token=token,
            lease_until=wall_ms + LEASE_SECONDS * 1000,
            attempts=Outbox.attempts + 1,
        )
        .returning(
            Outbox.id,
            Outbox.kind,
            Outbox.name,
            Outbox.key,
            Outbox.follower_id,
            Outbox.campaign_id,
            Outbox.payload,
            Outbox.attempts,
            Outbox.due,
        )
        .execution_options(synchronize_session=False)
    )
    rows = [
        Promise(r.id, r.kind, r.name, r.key, r.follower_id, r.campaign_id, r.payload, r.attempts, token, r.due)
        for r in taken.all()
    ]
    return sorted(rows, key=lambda p: (p.due, p.id))


def leased(wall_ms: int) -> dict[str, Any]:
    """What a row says that is in the hands of whoever writes it, from the wall clock's `wall_ms` on."""
    return {
        "state": "leased",
        "token": secrets.token_hex(8),
        "attempts": 1,
        "lease_until": wall_ms + LEASE_SECONDS * 1000,
    }


def by_key(key: str) -> Any:
    """The statement that finds a promise by what it names."""
    return select(Outbox.id).where(Outbox.key == key)


async def settle(work: Work, one: Promise, state: str, *, error: str = "", again: datetime | None = None) -> bool:
    """Note how it went, if the lease is still ours; `again` puts it back for later. False: somebody else has it."""
    values: dict[str, Any] = {"state": "due" if again else state, "error": error[:200], "token": ""}
    if again:
        values["due"] = again
    else:
        values["done_at"] = work.now
    done = await work.session.execute(
        update(Outbox).where(Outbox.id == one.id, Outbox.token == one.token, Outbox.state == "leased").values(**values)
    )
    return bool(done.rowcount == 1)  # type: ignore[attr-defined]


async def kept_by_key(work: Work, key: str) -> None:
    """The errand of this key has had its effect, whoever carried it out."""
    await work.session.execute(
        update(Outbox)
        .where(Outbox.key == key, Outbox.state.in_(["due", "leased"]))
        .values(state="done", done_at=work.now, token="")
    )


async def take_missed(work: Work, follower_id: int, limit: int, fits: Callable[[Sequence[str]], bool]) -> list[str]:
    """The words of what could not be sent, oldest first; they count as said now.

    Whoever speaks opens a window: what has no room beside the answer (`fits`), and every picture, is sent after it.
    """
    rows = (
        await work.session.execute(
            select(Outbox.id, Outbox.payload)
            .where(Outbox.follower_id == follower_id, Outbox.state == "missed")
            .order_by(Outbox.id)
            .limit(limit)
        )
    ).all()
    words: list[str] = []
    for row in rows:
        text = str(row.payload.get("text", ""))
        shown = any(name in row.payload for name in ("media_id", "article"))
        values: dict[str, Any] = {"state": "done", "done_at": work.now}
        if text and not shown and fits([*words, text]):
            words.append(text)
        elif text or shown:
            values = {"state": "due", "due": work.now, "done_at": None, "attempts": 0}
        await work.session.execute(update(Outbox).where(Outbox.id == row.id).values(**values))
    return words


async def drop_pushes(work: Work, follower_id: int, campaign_ids: Sequence[int] | None = None) -> int:
    """Leaving takes effect at once, also for what is queued."""
    conditions = [
        Outbox.follower_id == follower_id,
        Outbox.kind == "push",
        Outbox.state.in_(["due", "leased"]),
    ]
    if campaign_ids is not None:
        conditions.append(Outbox.campaign_id.in_(campaign_ids))
    gone = await work.session.execute(update(Outbox).where(*conditions).values(state="dropped", done_at=work.now))
    return int(gone.rowcount)  # type: ignore[attr-defined]


def next_try(now: datetime, attempts: int) -> datetime:
    """When to try again: 5 s, 30 s, 2 min, 5 min, then every 10 minutes."""
    waits = (5, 30, 120, 300)
    return now + timedelta(seconds=waits[attempts - 1] if attempts <= len(waits) else 600)


async def sweep(work: Work, limit: int) -> int:
    """Forget up to `limit` promises that ended 30 days ago; how many.

    Pushes stay: they are the proof that nobody was sent what they had not asked for. So does what was missed, and
    what nobody knows the end of.
    """
    before = work.now - KEPT
    over = (Outbox.state.in_(["done", "dropped"]), Outbox.kind != "push", Outbox.due < before, Outbox.done_at < before)
    old = select(Outbox.id).where(*over).order_by(Outbox.due).limit(limit)
    gone = await work.session.execute(delete(Outbox).where(Outbox.id.in_(old.scalar_subquery())))
    return int(gone.rowcount)  # type: ignore[attr-defined]


async def oldest_due(work: Work) -> datetime | None:
    return (await work.session.execute(select(func.min(Outbox.due)).where(Outbox.state == "due"))).scalar_one()


INVARIANTS = (
    Invariant(
        "outbox_follower",
        "what is to be said has somebody to say it to",
        select(Outbox.id).where(Outbox.kind.in_(["answer", "notice", "push"]), Outbox.follower_id.is_(None)),
    ),
    Invariant(
        "outbox_push_campaign",
        "every push belongs to a campaign",
        select(Outbox.id).where(Outbox.kind == "push", Outbox.campaign_id.is_(None)),
    ),
    Invariant(
        "outbox_leased_to_somebody",
        "what is in hand is in somebody's hand, for so long and no longer",
        select(Outbox.id).where(
            Outbox.state == "leased", (Outbox.token == "") | (Outbox.lease_until <= 0) | (Outbox.attempts < 1)
        ),
    ),
    Invariant(
        "outbox_ended_dated",
        "a promise says when it ended, exactly when it has",
        select(Outbox.id).where(Outbox.state.in_(["due", "leased"]) != Outbox.done_at.is_(None)),
    ),
    Invariant(
        "outbox_in_time",
        "what is due is taken in hand and comes to its end",
        select(Outbox.id).where(Outbox.state.in_(["due", "leased"]), Outbox.due < bindparam("late", type_=Moment())),
        grace_minutes=20,
    ),
)
