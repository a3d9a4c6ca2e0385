"""What a handler is given: the things it names by type, and what becomes of the notices it writes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from handlers.errands import packed
from handlers.replies import Notice, Post, Reply
from models import outbox
from models.base import EPOCH, Glance, Reader, Refusal, Shelf, Work
from models.catalog import Catalog
from models.figures import Figures, PushFigures
from models.follower import Follower, Me
from models.seal import Keys
from models.staff import Role
from models.talk import Talking

if TYPE_CHECKING:
    from bot.desk import Desk

Guest = Me(0, "page", "", "", "", EPOCH, False)  # whoever looks at a page; owns nothing


@dataclass
class Step:
    """Everything one step may be given, and what it wants said."""

    desk: Desk
    kind: type[Me]
    me: Me
    reader: Reader
    work: Work | None
    now: datetime
    talking: Talking
    follower: Follower | None = None
    role: Role = Role.ANYONE  # what this person may do, read afresh for this step
    kept: list[Any] = field(default_factory=list)  # entities that live longer than one try
    post: Post = field(default_factory=Post)
    made: dict[type, Any] = field(default_factory=dict)

    def reset(self, work: Work) -> None:
        """A step that is tried again starts from nothing."""
        self.post, self.made = Post(), {}


PLAIN: dict[type, Callable[[Step], Any]] = {
    Me: lambda step: step.me,
    Follower: lambda step: step.follower,
    datetime: lambda step: step.now,
    Figures: lambda step: step.desk.figures,
    Talking: lambda step: step.talking,
    Post: lambda step: step.post,
    Catalog: lambda step: step.desk.catalogs.current,
    Keys: lambda step: step.desk.keys,
    Work: lambda step: step.work,
}


def providable(kind: Any) -> bool:
    """Whether a handler may ask for this type."""
    return isinstance(kind, type) and (kind in PLAIN or issubclass(kind, Shelf | Glance))


def provide(step: Step, kind: type) -> Any:
    """A thing for a handler, by type; RuntimeError when a step that only reads wants to write."""
    if kind in PLAIN:
        found = PLAIN[kind](step)
        if found is None:
            raise RuntimeError(f"{kind.__name__} exists only for a follower's changing message")
        return found
    if kind not in step.made:
        make: Any = kind
        if issubclass(kind, Shelf):
            if step.work is None:
                raise RuntimeError(f"{kind.__name__} is a shelf: its intent needs changes=True")
            step.made[kind] = make(step.work)
        else:
            step.made[kind] = make(step.reader)
    return step.made[kind]


_SNAKE = re.compile(r"(?<!^)(?=[A-Z])")


def template_of(refusal: type[Refusal]) -> str:
    """`models.groupbuy.GroupFull` → `groupbuy/group_full`."""
    return f"{refusal.__module__.rsplit('.', 1)[-1]}/{_SNAKE.sub('_', refusal.__name__).lower()}"


def desk_refusal(refusal: Refusal) -> Reply:
    """A refusal as the reply it becomes."""
    return Reply(template_of(type(refusal)), dict(refusal.facts), refused=True, keeps=True)


async def render_post(desk: Desk, work: Work, post: Post) -> None:
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


def quiet_until(now: datetime, quiet: str, zone: Any) -> datetime | None:
    """When the quiet hours that hold `now` end ("22-8": from 22:00 to 08:00 of the shop's zone), or None."""
    start, end = (int(part) for part in quiet.split("-"))
    local = now.astimezone(zone)
    inside = start <= local.hour or local.hour < end if start > end else start <= local.hour < end
    if start == end or not inside:
        return None
    day = local.date() + timedelta(days=1 if local.hour >= end and start > end else 0)
    return datetime.combine(day, time(end), tzinfo=zone).astimezone(now.tzinfo)


def due_of(notice: Notice, now: datetime, figures: PushFigures, zone: Any) -> datetime:
    """When a notice may go: at once, when it says, or in the morning if it is patient and it is night."""
    due = notice.due or now
    if notice.patient and (morning := quiet_until(due, figures.quiet, zone)) is not None:
        return morning
    return due
