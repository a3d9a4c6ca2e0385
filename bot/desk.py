"""The desk: one message, one transaction, one answer; the only commit on the message path."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError

from bot.backdesk import BackDesk
from bot.door import NotRecorded
from bot.face import Answer, Rendered
from bot.late import FRESH, Late, key_of, unpacked, within
from bot.memory import named, overlaid, remember
from bot.promises import lease_errand, render_post, say_alone
from bot.shared import Recalled
from bot.step import Step, carry_out, desk_refusal, instead
from handlers.asking import Intent, is_address
from handlers.replies import Reply
from handlers.resolving import Lost, resolve
from handlers.routing import Told
from models import inbox, outbox, quarantine
from models.audit import record
from models.base import Refusal, Work
from models.budget import Heard, heard, opens, spoken_since
from models.follower import FollowerGlance, Followers, Me, Visit
from models.ready import Ask
from models.staff import Role, StaffGlance
from models.talk import Talking
from models.words import leaving

log = logging.getLogger(__name__)

TYPED = frozenset({"text", "image", "voice", "video", "location", "link", "other"})
TAPPED = frozenset({"click", "follow", "scan"})
AWAY = (DBAPIError, PoolTimeout, OSError)  # the database did not answer
MESSAGES = 6  # that change something at once, of a store's 8 connections: money never queues behind a crowd
AGAIN = (0.5, 2.0, 8.0, 30.0)  # seconds between the tries to do what the platform counts as done

_T = TypeVar("_T")


@dataclass
class _Running:
    task: asyncio.Task[Answer] | None = None
    waiting: int = 0
    late: bool = False  # a door has gone, or is about to


@dataclass(frozen=True)
class Done:
    """What came of one changing step: the reply, its face, and the errand to perform at once."""

    reply: Reply
    answer: Answer
    errand: outbox.Promise | None
    rows: list[Ask]  # to be written last


@dataclass
class Desk(BackDesk):
    """Hears, decides, answers. What is not said comes in at its back."""

    _turns: dict[tuple[str, str, str], tuple[asyncio.Lock, list[int]]] = field(default_factory=dict)
    _running: dict[tuple[str, str, str, str], _Running] = field(default_factory=dict)
    _heard: list[Heard] = field(default_factory=list)
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MESSAGES))

    def __post_init__(self) -> None:
        self._late = Late(self._work, self.clock, self.spawn)

    @property
    def busy(self) -> bool:
        """Whether a message is being handled."""
        return bool(self._turns)

    # -- messages -----------------------------------------------------------------------------------

    async def hear_within(self, told: Told, seconds: float) -> Answer | None:
        """The answer, or None when it takes longer; then it follows as a message of its own.

        Before None is returned the message is written down: the platform will not say it again.
        """
        name = (told.channel, told.account, told.who, told.key)
        running = self._running.get(name) if told.key else None
        if running is None or running.task is None:
            running = _Running()
            running.task = self.spawn(self._run(told, name, running))
            if told.key:
                self._running[name] = running
        running.waiting += 1
        answer = None
        try:
            answer = await within(running.task, seconds)
        finally:
            running.waiting -= 1
            running.late = running.late or answer is None
        if answer is None and told.key:
            await self._late.note(told)
        return answer

    async def _run(self, told: Told, name: tuple[str, str, str, str], running: _Running) -> Answer:
        try:
            answer = await self._insist(lambda: self.hear(told), lambda: bool(told.key) and not running.waiting)
        finally:
            if told.key:
                self._running.pop(name, None)
        if running.waiting == 0 and (running.late or not answer.silent):
            await self._insist(lambda: self.say_later(told, answer), lambda: True)
        return answer

    async def _insist(self, act: Callable[[], Coroutine[Any, Any, _T]], alone: Callable[[], bool]) -> _T:
        """Do it again when the database did not answer and we are `alone` with it.

        Once the door has said `success` the platform asks no more: nobody else would.
        """
        for wait in AGAIN:
            try:
                return await act()
            except (*AWAY, NotRecorded):
                if not alone():
                    raise
            await asyncio.sleep(wait)
        return await act()

    async def say_later(self, told: Told, answer: Answer, promised: str = "") -> None:
        """The door could not wait for this answer: it goes out as a message, or is shown first at the next visit.

        What was `promised` about the message (a key of the outbox) is kept with that.
        """
        async with self._room, self._work() as work:
            follower = await Followers(work).meet(told.channel, told.account, told.who, work.now)
            if not answer.silent:
                await say_alone(work, "late", follower.id, told.key or str(work.now.timestamp()), answer.to_json())
            if told.key:
                await outbox.kept_by_key(work, promised or key_of(told))
        await self.shared.say("outbox")

    async def take_up(self, one: outbox.Promise) -> None:
        """A message that a process had in hand when it ended.

        It is carried out unless one has gone on talking since, or it is too long ago, or it may have been carried
        out before a restore. What makes the shop say less is carried out in any case.
        """
        told, noted = unpacked(one.payload)
        visit = await FollowerGlance(self.store.reader).visit(told.channel, told.account, told.who, told.key)
        answer = None
        if (visit is None or not visit.answered) and told.kind in TYPED | TAPPED and leaving(told.text) is None:
            quiet = one.key.startswith(quarantine.QUIET)
            if quiet or (visit is not None and await spoken_since(self.store.reader, visit.me.id, noted)):
                answer = Answer()
            elif self.clock.now() - noted > FRESH:
                answer = Answer(self.face.body("desk/unheard", told.channel, {"text": told.text}))
        if answer is None:
            answer = await self.hear(told)
        await self.say_later(told, answer, promised=one.key)

    async def hear(self, told: Told) -> Answer:
        """One message, one transaction, one answer; the same message gets the same answer again."""
        async with self._turn(told):
            try:
                return await self._hear(told)
            except AWAY as failure:
                # Nothing was kept, or nobody knows: the platform says it again, and the key decides.
                log.exception("the database did not answer")
                raise NotRecorded(type(failure).__name__) from failure

    @asynccontextmanager
    async def _turn(self, told: Told) -> AsyncIterator[None]:
        """One person's messages are handled in the order they came."""
        who = (told.channel, told.account, told.who)
        lock, waiting = self._turns.setdefault(who, (asyncio.Lock(), [0]))
        waiting[0] += 1
        try:
            async with lock:
                yield
        finally:
            waiting[0] -= 1
            if not waiting[0]:
                self._turns.pop(who, None)

    async def _hear(self, told: Told) -> Answer:
        now = self.clock.now()
        talk_name = f"{told.channel}:{told.account}:{told.who}"
        message = f"{talk_name}:{told.key}" if told.key else ""
        limits = self.figures.limits
        recalled = await self.shared.recall(
            message,
            talk_name,
            (
                (f"say:{talk_name}", limits.messages_per_minute, 60),
                (f"day:{talk_name}", limits.messages_per_day, 86_400),
            ),
        )
        if recalled.answer is not None:
            return Answer.from_json(json.loads(recalled.answer))
        visit = await FollowerGlance(self.store.reader).visit(told.channel, told.account, told.who, told.key)
        if visit is None:
            return await self._change(told, recalled)
        if visit.answered:
            return Answer.from_json(visit.answer or {})
        if recalled.left < 0 and told.kind not in ("unfollow", "follow") and leaving(told.text) is None:
            # Who writes faster than a person can is asked once to slow down; leaving is always heard.
            return Answer(self.face.body("desk/slower", told.channel, {})) if recalled.left == -1 else Answer()
        talking, lost = overlaid(visit, recalled)
        step = Step(self, Me, visit.me, self.store.reader, None, now, talking, signed=told.signed)
        intent, stale = await self._understand(told, step, lost)
        if visit.missed:
            return await self._change(told, recalled)
        reply, intent = await self._asked(step, intent)
        if reply is None or (self._private(told, intent, reply)):
            return await self._change(told, recalled)
        reply = replace(reply, facts=reply.facts | {"stale": True}) if stale and reply.lines else reply
        rendered = self._shown(reply, intent, told.channel, talking, stale)
        remember(talking, intent, reply, rendered, now)
        overlay = json.dumps({"number": visit.number, "state": talking.dump()}, ensure_ascii=False)
        await self.shared.keep(message, rendered.written, talk_name, overlay)
        self._note_heard(visit.me.id, told, now)
        return rendered.answer

    async def _understand(self, told: Told, step: Step, lost: bool) -> tuple[Intent, bool]:
        """What was asked; True when a number's list was stale and is asked again instead."""

        def find(role: Role) -> tuple[Intent, bool]:
            try:
                return resolve(told, step.talking, step.now, self.catalogs.current, role=role, lost=lost), False
            except Lost as gone:
                if gone.listing is None:
                    return self.shop.kinds["stale"](told), False
                return gone.listing, True

        found, stale = find(Role.OWNER)
        if found.role > Role.ANYONE:
            # Staff roles are never cached: who was dismissed a second ago is a customer now.
            step.role = await StaffGlance(step.reader).role_of(step.me.id) if self._staff_here(told) else Role.ANYONE
            if found.role > step.role:
                found, stale = find(step.role)
            if found.role > step.role:  # off a list, or the answer to a question, from when one still worked here
                return self.shop.kinds["unknown"](told), False
        if found.proven and not told.signed:
            return self.shop.kinds["unknown"](told), False
        return found, stale

    def _staff_here(self, told: Told) -> bool:
        # On a channel whose bodies anybody could have written, staff commands do not exist.
        return told.signed

    def _private(self, told: Told, intent: Intent, reply: Reply) -> bool:
        personal = intent.personal if reply.personal is None else reply.personal
        return personal and not told.signed

    async def _asked(self, step: Step, intent: Intent) -> tuple[Reply | None, Intent]:
        """As `_ask`; a refusal is an answer, or for staff something else."""
        try:
            return await self._ask(step, intent)
        except Refusal as refusal:
            other = await instead(step, intent, refusal)
            return (desk_refusal(refusal), intent) if other is None else await self._asked(step, other)

    async def _change(self, told: Told, recalled: Recalled) -> Answer:
        """One transaction for a message that changes something, its inbox row first."""
        try:
            return await self._once(told, recalled, marked=True)
        except StaleDataError:  # somebody was faster, and the transaction is gone: from the start, with more care
            return await self._once(told, recalled, marked=False)

    async def _once(self, told: Told, recalled: Recalled, *, marked: bool) -> Answer:
        done: Done | None = None
        again: dict[str, Any] | None = None
        async with self._room, self._work("message") as work:
            noted = None
            if told.key:
                noted = await inbox.note(work, told.channel, told.account, told.who, told.key)
                if noted is None:
                    again = await inbox.answered(work, told.channel, told.account, told.who, told.key)
            if again is None:
                done = await self._changed(work, told, recalled, marked)
                if noted is not None:
                    done.rows.append(inbox.keep(noted, done.answer.to_json()))
                await work.write_all(done.rows)
        if again is not None:
            return Answer.from_json(again)
        assert done is not None
        if done.errand is not None and self.perform is not None:
            self.spawn(self._performed(done.errand))
        await self.shared.say("outbox")
        return done.answer

    async def _performed(self, errand: outbox.Promise) -> None:
        assert self.perform is not None
        try:
            await self.perform(errand)
        except Exception:  # the row is leased: the courier does it again when the lease ends
            log.exception("foreground errand failed", extra={"errand": errand.name})

    async def _changed(self, work: Work, told: Told, recalled: Recalled, marked: bool) -> Done:
        followers = Followers(work)
        me, row = await followers.talk(told.channel, told.account, told.who, work.now)
        visit = Visit(_me(me), row.number, row.state, row.missed, False, None)
        talking, lost = overlaid(visit, recalled)
        kept: list[Any] = [me]
        step = Step(self, Me, visit.me, work, work, work.now, talking, signed=told.signed, follower=me, kept=kept)
        intent, stale = await self._understand(told, step, lost)
        reply, post, intent = await carry_out(work, step, intent, fact=False, marked=marked)
        if intent.changes and intent.role > Role.ANYONE and not reply.refused:
            await record(work, me.id, intent.verb, _facts(intent))
        errand = await lease_errand(self, work, reply, me.id)
        await render_post(self, work, post)
        rendered = self._shown(reply, intent, told.channel, talking, stale)
        answer = rendered.answer
        if self._private(told, intent, reply) and not answer.silent:
            await say_alone(work, "private", me.id, told.key or str(work.now.timestamp()), answer.to_json())
            answer = Answer(self.face.body("desk/sent_to_you", told.channel, {}))
        elif row.missed and not answer.silent and answer.text:
            answer = await self._with_missed(work, me.id, told.channel, answer)
            row = replace(row, missed=max(0, row.missed - 3))
        remember(talking, intent, reply, rendered, work.now)
        rows = [followers.leave(me.id, replace(row, number=row.number + 1, state=talking.dump()))]
        if (one := self._opens(told, me.id, work.now)) is not None:
            rows.append(opens(one))
        return Done(reply, answer, errand, rows)

    async def _with_missed(self, work: Work, follower: int, channel: str, answer: Answer) -> Answer:
        """What could not be sent stands on top of the next answer."""
        room = self.rooms[channel]

        def fits(words: Sequence[str]) -> bool:
            return room.length("\n\n".join([*words, answer.text])) <= room.size

        words = await outbox.take_missed(work, follower, 3, fits)
        return replace(answer, text="\n\n".join([*words, answer.text]))

    # -- what is shown ------------------------------------------------------------------------------

    def _shown(self, reply: Reply, intent: Intent, channel: str, talking: Talking, stale: bool) -> Rendered:
        """The reply's face; what would repeat the last refusal word for word is said otherwise the second time."""
        if reply.template == "desk/silent":
            return Rendered(Answer())
        lead, facts = "desk/list_stale" if stale and (reply.lines or reply.choices) else "", dict[str, Any]()
        if named(reply) == talking.last:
            again, facts = f"{reply.template}_again", reply.facts | {"times": talking.times + 1}
            if self.face.has(again, channel):
                reply = replace(reply, template=again, facts=facts)
            elif reply.refused and intent.role > Role.ANYONE:
                lead = "desk/still"  # they are the person whom others are sent to: what to do is said again
            elif reply.refused:
                reply = replace(reply, template="desk/still_no", facts=facts)
        asked = talking.asked(self.clock.now())
        if reply.keeps and reply.question is None and asked is not None and asked["options"]:
            reply = replace(reply, choices=())  # an aside leaves the numbers to the question that stays open
        rendered = self.face.render(reply, channel, self.rooms[channel])
        if lead and rendered.answer.text:
            words = self.face.body(lead, channel, facts)
            answer = replace(rendered.answer, text=f"{words}\n\n{rendered.answer.text}")
            rendered = replace(rendered, answer=answer)
        return rendered

    # -- what opens a window ------------------------------------------------------------------------

    def _opens(self, told: Told, follower: int, now: datetime) -> Heard | None:
        if told.kind in TYPED and not told.tapped:
            return Heard(follower, now, True)
        if told.tapped or told.kind in TAPPED:
            return Heard(follower, now, False)
        return None

    def _note_heard(self, follower: int, told: Told, now: datetime) -> None:
        if (one := self._opens(told, follower, now)) is not None:
            self._heard.append(one)

    async def write_behind(self) -> None:
        """Write down who was heard since the last call; at most a second's worth may be lost with the process."""
        if not self._heard:
            return
        rows, self._heard = self._heard, []
        try:
            async with self._work() as work:
                await heard(work, rows)
        except Exception:
            self._heard = rows + self._heard  # written down when the database is back
            raise


def _me(follower: Any) -> Me:
    return Me(
        follower.id,
        follower.channel,
        follower.account,
        follower.who,
        follower.name,
        follower.since,
        follower.following,
    )


def _facts(intent: Intent) -> dict[str, Any]:
    """What the record keeps of a command: all but where somebody lives."""
    return {k: v for k, v in intent.to_json().items() if k != "verb" and not is_address(type(intent), k)}
