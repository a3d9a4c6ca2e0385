"""What a step owes: its notices rendered and written before the commit, its errand leased to this process."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from handlers.errands import packed
from handlers.replies import Notice, Post, Reply
from models import outbox, quarantine
from models.base import Work
from models.figures import PushFigures
from models.follower import Follower
from models.moments import quiet_until

if TYPE_CHECKING:
    from bot.backdesk import BackDesk


async def render_post(desk: BackDesk, work: Work, post: Post) -> None:
    """Write what a step wants said or done into the outbox, rendered for whoever it is for, before the commit."""
    rows: list[dict[str, Any]] = []
    wanted = sorted({n.to for n in post.notices})
    where: dict[int, str] = {}
    for start in range(0, len(wanted), 200):
        found = await work.all(
            select(Follower.id, Follower.channel).where(Follower.id.in_(wanted[start : start + 200]))
        )
        where |= {row.id: row.channel for row in found}
    for notice in post.notices:
        channel = where.get(notice.to)
        if channel is None or channel not in desk.rooms:
            continue
        rendered = desk.face.render(notice.reply, channel, desk.rooms[channel], numbers=False)
        rows.append(
            {
                "kind": "notice",
                "name": notice.reply.template,
                "key": notice.key,
                "follower_id": notice.to,
                "payload": rendered.answer.to_json(),
                "due": due_of(notice, work.now, desk.figures.push, desk.face.zone),
            }
        )
    for errand, key, due in post.errands:
        rows.append(
            {
                "kind": "errand",
                "name": type(errand).__name__,
                "key": key,
                "payload": packed(errand),
                "due": due or work.now,
            }
        )
    # One statement a state of columns; 200 rows is the most a reaction may write.
    await outbox.promise(work, rows)


async def hushed(work: Work, post: Post) -> None:
    """What was just written stays, and is told to nobody; but that money is kept here, staff have never heard."""
    errands = [(type(errand).__name__, key) for errand, key, _ in post.errands]
    await quarantine.hush(
        work, [notice.key for notice in post.notices if not notice.key.startswith(quarantine.LOUD)], errands
    )


def due_of(notice: Notice, now: datetime, figures: PushFigures, zone: Any) -> datetime:
    """When a notice may go: at once, when it says, or in the morning if it is patient and it is night."""
    due = notice.due or now
    if notice.patient and (morning := quiet_until(due, figures.quiet, zone)) is not None:
        return morning
    return due


async def lease_errand(desk: BackDesk, work: Work, reply: Reply, follower: int | None) -> outbox.Promise | None:
    """A reply's errand as a row that is leased to this process: whoever dies holding it, the courier does it again."""
    if reply.errand is None:
        return None
    name, payload = type(reply.errand).__name__, packed(reply.errand)
    digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()[:32]
    key, lease = f"{name}:{digest}:{work.now.timestamp()}", outbox.leased(desk.clock.wall_ms())
    await outbox.promise(
        work,
        [
            {
                "kind": "errand",
                "name": name,
                "key": key,
                "follower_id": follower,
                "payload": payload,
            }
            | lease
        ],
    )
    row = await work.one(outbox.by_key(key))
    return (
        outbox.Promise(row.id, "errand", name, key, follower, None, payload, 1, lease["token"], work.now)
        if row
        else None
    )


async def say_alone(work: Work, kind: str, follower: int, key: str, answer: dict[str, Any]) -> None:
    """An answer that cannot go through the door: it is too late for it, or nothing personal may pass there."""
    row = {
        "kind": "answer",
        "name": kind,
        "key": f"{kind}:{follower}:{key}",
        "follower_id": follower,
        "payload": answer,
    }
    await outbox.promise(work, [row])
