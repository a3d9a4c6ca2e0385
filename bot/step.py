"""One step: what a handler is given by type, and the handler with its reactions in a savepoint."""

from __future__ import annotations

import json
import logging
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm.exc import StaleDataError

from handlers.asking import Intent
from handlers.replies import Post, Reply
from handlers.routing import call
from models import outbox
from models.base import EPOCH, Contended, Event, Glance, Reader, Refusal, Shelf, Work
from models.catalog import Catalog
from models.figures import Figures
from models.follower import Follower, Me
from models.seal import Keys
from models.staff import NotYours, Role, StaffGlance, StaffRoom
from models.talk import Talking

if TYPE_CHECKING:
    from bot.backdesk import BackDesk

log = logging.getLogger(__name__)

HOPS = 3
TRIES = 3
DEPTH = 5

Guest = Me(0, "page", "", "", "", EPOCH, False)  # whoever looks at a page; owns nothing


@dataclass
class Step:
    """Everything one step may be given, and what it wants said."""

    desk: BackDesk
    kind: type[Me]
    me: Me
    reader: Reader
    work: Work | None
    now: datetime
    talking: Talking
    follower: Follower | None = None
    role: Role = Role.ANYONE  # what this person may do, read afresh for this step
    signed: bool = True  # False: anybody could have written this, so that nobody here is staff
    kept: list[Any] = field(default_factory=list)  # entities that live longer than one try
    post: Post = field(default_factory=Post)
    made: dict[type, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Only a step that changes something is ever tried again.
        self._talk_before = pickle.dumps(vars(self.talking)) if self.work is not None else b""
        self._tried = False

    def reset(self) -> None:
        """A step that is tried again, or refused, starts from nothing; the talk is as it was."""
        if self._tried:
            self.post, self.made = Post(), {}
            vars(self.talking).update(pickle.loads(self._talk_before))
        self._tried = True


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
        if kind in (StaffGlance, StaffRoom):
            step.made[kind].believed = step.signed
    return step.made[kind]


_SNAKE = re.compile(r"(?<!^)(?=[A-Z])")


def template_of(refusal: type[Refusal]) -> str:
    """`models.groupbuy.GroupFull` → `groupbuy/group_full`."""
    return f"{refusal.__module__.rsplit('.', 1)[-1]}/{_SNAKE.sub('_', refusal.__name__).lower()}"


def desk_refusal(refusal: Refusal) -> Reply:
    """A refusal as the reply it becomes."""
    return Reply(template_of(type(refusal)), dict(refusal.facts), refused=True, keeps=True)


async def instead(step: Step, intent: Intent, refusal: Refusal) -> Intent | None:
    """What this person wants, being staff, who was refused so; None for everybody else."""
    handover = step.desk.shop.instead.get(type(refusal))
    if handover is None or intent.role > Role.ANYONE:
        return None
    other = await call(handover, intent, lambda kind: provide(step, kind))
    return other if other is not None and await may(step, other) else None


async def carry_out(
    work: Work, step: Step, intent: Intent, *, fact: bool, marked: bool = False
) -> tuple[Reply, Post, Intent]:
    """The handler and its reactions in a savepoint; a lost guard runs it again, everything read afresh.

    With `marked` it is the cheap one (`Work.mark`): StaleDataError then, for a race that was lost in a flush, and the
    whole transaction is gone.
    """
    for attempt in range(TRIES):
        savepoint = await (work.mark() if marked else work.savepoint())
        step.reset()
        try:
            reply, last = await _handled(step, intent)
            await react(work, step, work.take_news(), fact=fact)
            await work.session.flush()
            await savepoint.commit()
            return reply, step.post, last
        except Refusal as refusal:
            await _undo(work, savepoint, step)
            step.reset()
            if (other := await instead(step, intent, refusal)) is not None:
                return await carry_out(work, step, other, fact=fact, marked=marked)
            return desk_refusal(refusal), Post(), intent
        except (Contended, StaleDataError) as lost:
            if marked and isinstance(lost, StaleDataError):
                raise
            await _undo(work, savepoint, step)
            if attempt == TRIES - 1 and fact:
                raise
    return Reply("desk/crowded", refused=True), Post(), intent


async def _undo(work: Work, savepoint: Any, step: Step) -> None:
    await savepoint.rollback()
    await work.forget(*step.kept)


async def may(step: Step, intent: Intent) -> bool:
    """Whether this person may do what one was handed over to (更多 of a list that only staff see)."""
    if step.role < intent.role and step.signed:
        step.role = await StaffGlance(step.reader).role_of(step.me.id)
    return intent.role <= step.role


async def _handled(step: Step, intent: Intent) -> tuple[Reply, Intent]:
    for hop in range(HOPS + 1):
        if hop and not await may(step, intent):
            # Handed over what this person may not do (any more): as if the command did not exist.
            return desk_refusal(NotYours()), intent
        found = await call(step.desk.shop.handlers[type(intent)], intent, lambda kind: provide(step, kind))
        if isinstance(found, Reply):
            return found, intent
        intent = found
    raise RuntimeError(f"{type(intent).__name__} was handed over more than {HOPS} times")


async def react(work: Work, step: Step, news: list[Event], *, fact: bool) -> None:
    for _ in range(DEPTH):
        if not news:
            return
        for event in news:
            for name, handler in step.desk.shop.reactions.get(type(event), []):
                if not fact:
                    await call(handler, event, lambda kind: provide(step, kind))
                    continue
                savepoint = await work.savepoint()
                kept = (list(step.post.notices), list(step.post.errands))
                try:
                    await call(handler, event, lambda kind: provide(step, kind))
                    await work.session.flush()
                    await savepoint.commit()
                except Exception:
                    await savepoint.rollback()
                    step.post.notices, step.post.errands = kept
                    log.exception("reaction failed, kept for later", extra={"reaction": name})
                    await _keep_event(work, name, event)
        news = work.take_news()
    if news:
        raise RuntimeError("reactions went too deep")


async def _keep_event(work: Work, name: str, event: Event) -> None:
    payload = {"event": type(event).__name__, "facts": vars(event)}
    key = f"event:{name}:{type(event).__name__}:{json.dumps(vars(event), sort_keys=True, default=str)}"
    await outbox.promise(work, [{"kind": "event", "name": name, "key": key[:400], "payload": payload}])
