"""The courier: takes due promises out of the outbox, keeps them, tries again or gives up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import select, update

from bot import late
from bot.channel import Channel, SendFailed
from bot.clock import MINUTE, Clock
from bot.desk import Desk
from bot.face import Answer
from bot.logs import Seldom
from bot.points import point
from bot.quarantine import unheard
from bot.shared import Shared
from handlers.asking import Intent
from handlers.errands import unpacked
from handlers.replies import Errand, Reply
from models import budget, outbox, quarantine, subscription
from models.base import Event, Work
from models.figures import Figures
from models.follower import Follower
from models.moments import quiet_until
from models.outbox import Promise
from models.store import Store
from models.talk import Talk

log = logging.getLogger(__name__)

BATCH = 200
AT_ONCE = 20
KINDS = ("answer", "notice", "push", "errand", "event")
TRIES = {"answer": 3, "notice": 5, "push": 3, "errand": 40, "event": 20}
Performer = Callable[[Any], Awaitable[Intent]]


class Unknown(Exception):
    """An errand's outcome is not known; it is tried again, it is never taken for done."""


@dataclass
class Courier:
    """Claims by compare-and-swap, so that any number of couriers may work the same outbox."""

    store: Store
    clock: Clock
    shared: Shared
    desk: Desk
    figures: Figures
    channels: Mapping[str, Channel]
    performers: Mapping[type[Errand], Performer]
    events: Mapping[str, type[Event]]
    paused: bool = False
    _busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def _work(self, step: str) -> AsyncIterator[Work]:
        """One transaction; `step` names its crash points."""
        point(f"courier.{step}.begin")
        async with self.store.session() as session, session.begin():
            yield Work(session, self.clock.now())
            point(f"courier.{step}.commit")
        point(f"courier.{step}.committed")

    async def round(self) -> int:
        """Take what is due and keep it; how many promises were taken."""
        if self.paused:
            return 0
        async with self._busy:
            await self.desk.write_behind()
            kinds: tuple[str, ...] = KINDS
            if (restored := await quarantine.standing(self.store.reader)) is not None:
                if restored.step == quarantine.RESTORED:  # what may have been said before is not sorted out yet
                    return 0
                kinds = tuple(kind for kind in KINDS if kind != "push")
            async with self._work("claim") as work:
                taken = await outbox.claim(
                    work, self.clock.wall_ms(), BATCH, kinds=kinds, skip_locked=not self.store.sqlite
                )
            # One follower's messages keep their order; different followers do not wait for each other.
            rows: dict[object, list[Promise]] = {}
            for one in taken:
                rows.setdefault(one.follower_id if one.kind not in ("errand", "event") else one.id, []).append(one)
            gate = asyncio.Semaphore(AT_ONCE)

            async def keep(row: list[Promise]) -> None:
                async with gate:
                    for one in row:
                        await self.keep(one)

            await asyncio.gather(*(keep(row) for row in rows.values()))
            return len(taken)

    async def drain(self, most: int = 50) -> None:
        """Rounds until nothing is due (for the simulator's clock and the tests)."""
        for _ in range(most):
            if not await self.round():
                return

    async def keep(self, one: Promise) -> Reply | None:
        """Does what was promised; what cannot be done now is put back, so that nobody waits for the lease to end."""
        try:
            if one.kind == "errand":
                return await self.perform(one)
            if one.kind == "event" and one.name == late.NAME:
                await self.desk.take_up(one)
            elif one.kind == "event":
                event = self.events[str(one.payload["event"])](**one.payload["facts"])
                await self.desk.react(one.name, event, one)
            else:
                await self._say(one)
        except Exception as failure:
            known = isinstance(failure, Unknown | SendFailed)
            log.log(
                logging.INFO if known else logging.ERROR,
                "promise not kept yet",
                extra={"promise": one.id, "kind": one.kind, "subject": one.name, "why": str(failure)[:200]},
                exc_info=None if known else failure,
            )
            await self._put_back(one, str(failure) or type(failure).__name__)
        return None

    async def _put_back(self, one: Promise, why: str) -> None:
        async with self._work("back") as work:
            if one.attempts >= TRIES[one.kind]:
                await self._give_up(work, one, why)
            else:
                await outbox.settle(work, one, "due", error=why, again=outbox.next_try(work.now, one.attempts))

    async def _give_up(self, work: Work, one: Promise, why: str) -> None:
        """What is owed to a person is shown at the next visit; errands stay for the alarm."""
        if one.kind in ("answer", "notice"):
            await self._missed(work, one, why)
        else:
            await outbox.settle(work, one, "dropped" if one.kind == "push" else "unknown", error=why)

    async def perform(self, one: Promise) -> Reply | None:
        """Carry out an errand and enter the desk with its outcome; raises when the outcome is unknown."""
        errand = unpacked(one.name, one.payload)
        performer = self.performers.get(type(errand))
        if performer is None:
            raise Unknown(f"nobody performs {one.name} here")
        point("courier.errand")
        fact = await performer(errand)
        point("courier.performed")
        if one.key.startswith(quarantine.QUIET) and unheard(fact):  # a restored shop opens only when it has answers
            raise Unknown("the cashier has not said")
        return await self.desk.fact(fact, errand=one)

    # -- saying something ----------------------------------------------------------------------------

    async def _say(self, one: Promise) -> None:
        async with self._work("allow") as work:
            follower = await work.one(
                select(Follower.channel, Follower.who, Follower.following).where(Follower.id == one.follower_id)
            )
            if follower is None or not await self._may_go(work, one, follower.channel, follower.following):
                return
        channel = self.channels.get(follower.channel)
        if channel is None:
            async with self._work("refused") as work:
                await self._give_up(work, one, "no channel")
            return
        answer = Answer.from_json(one.payload)
        point("courier.saying")
        try:
            await channel.say(follower.who, answer, key=f"o{one.id}")
        except SendFailed as failure:
            await self._refused(one, failure)
            return
        point("courier.said")
        async with self._work("settle") as work:
            await outbox.settle(work, one, "done")

    async def _may_go(self, work: Work, one: Promise, channel: str, following: bool) -> bool:
        """Asked at delivery: is this still wanted, and may we speak now? Settles the promise when not."""
        assert one.follower_id is not None
        keep = 0
        if one.kind == "push":
            wish = await subscription.may_go(work, one.follower_id, one.campaign_id or 0, self.figures.push)
            if wish.why:
                await outbox.settle(work, one, "dropped", error=wish.why)
                return False
            # A follower's own quiet hours are kept at delivery too: what slipped into the night waits for the morning.
            morning = quiet_until(work.now, wish.quiet or self.figures.push.quiet, self.desk.face.zone)
            if morning is not None:
                await outbox.settle(work, one, "due", error="quiet", again=morning)
                return False
            keep = self.figures.push.keep_for_service
        if not following and channel == "wechat" and one.kind == "push":
            await outbox.settle(work, one, "dropped", error="left")
            return False
        if await budget.spend(work, one.follower_id, channel, self.figures.push, keep=keep):
            return True
        if one.kind == "push":
            await outbox.settle(work, one, "dropped", error="no way open")
        else:
            await self._missed(work, one, "no way open")
        return False

    async def _missed(self, work: Work, one: Promise, why: str) -> None:
        """Not sent: it is shown on top of the next answer."""
        if await outbox.settle(work, one, "missed", error=why):
            await work.session.execute(
                update(Talk).where(Talk.follower_id == one.follower_id).values(missed=Talk.missed + 1)
            )

    async def _refused(self, one: Promise, failure: SendFailed) -> None:
        assert one.follower_id is not None
        async with self._work("refused") as work:
            why = str(failure)[:200]
            match failure.reason:
                case "closed" | "used_up":
                    await self._give_up(work, one, why)  # the talk's row before the right to speak, as everybody locks
                    await budget.used_up(work, one.follower_id, self.figures.push)
                case "gone":
                    await work.session.execute(
                        update(Follower).where(Follower.id == one.follower_id).values(following=False, left_at=work.now)
                    )
                    await subscription.Subscriptions(work).stop_all(one.follower_id, "gone")
                    await self._give_up(work, one, why)
                case "bad" if "media_id" in one.payload:  # the platform has forgotten the picture: one asks for it anew
                    await outbox.settle(work, one, "dropped", error=why)
                case "muted" | "bad" | "no_right":
                    await self._give_up(work, one, why)
                case "unknown" if one.kind == "push":
                    await outbox.settle(work, one, "unknown", error=why)  # marketing is never repeated on a doubt
                case "unknown":
                    await self._missed(work, one, why)
                case _:
                    if one.attempts >= TRIES[one.kind]:
                        await self._give_up(work, one, why)
                    else:
                        again = outbox.next_try(work.now, one.attempts)
                        if failure.retry_after:
                            again = max(again, work.now + timedelta(seconds=failure.retry_after))
                        await outbox.settle(work, one, "due", error=why, again=again)

    async def listen(self) -> None:
        """Wake up whenever somebody has written to the outbox."""
        async for _ in self.shared.hear("outbox"):
            self._woken.set()

    async def run(self) -> None:
        """Work until cancelled: woken by `listen`, and every second anyway."""
        stumbled = Seldom(log, every=MINUTE)
        while True:
            try:
                busy = await self.round() == BATCH
            except Exception as failure:
                stumbled("the courier stumbled", failure)
                busy = False
            if busy:
                continue
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), 1.0)
