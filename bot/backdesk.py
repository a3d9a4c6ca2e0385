"""The desk's back: what enters without being said. Facts, pages and ticks, each a transaction of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bot.clock import Clock
from bot.face import Face, Room
from bot.points import point
from bot.promises import hushed, lease_errand, render_post
from bot.shared import Shared
from bot.step import HOPS, Guest, Step, carry_out, desk_refusal, may, provide, react
from handlers.asking import Intent
from handlers.replies import Reply
from handlers.routing import Shop, Tick, call
from models import inbox, outbox, quarantine, tick
from models.base import Event, Refusal, Work
from models.catalog import Catalogs
from models.figures import Figures
from models.follower import Me
from models.seal import Keys
from models.staff import NotYours, Role
from models.store import Store
from models.talk import Talking

log = logging.getLogger(__name__)

FORGOTTEN = 1000  # rows that are forgotten in one transaction


@dataclass
class BackDesk:
    """Where the world, the pages and the clock come in."""

    shop: Shop
    store: Store
    shared: Shared
    clock: Clock
    face: Face
    rooms: Mapping[str, Room]
    figures: Figures
    catalogs: Catalogs
    keys: Keys
    spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]
    # The courier's hands: set by the app.
    perform: Callable[[outbox.Promise], Coroutine[Any, Any, Reply | None]] | None = None

    # -- facts, pages, ticks ------------------------------------------------------------------------

    async def fact(self, intent: Intent, *, errand: outbox.Promise | None = None, quiet: bool = False) -> Reply:
        """Something the world has already done (paid, refunded, drawn) enters the desk.

        Each reaction has its own savepoint: one that fails is kept as a due event and raised as an alarm, and the
        fact stands. The errand that brought it is settled in the same transaction. What is found out `quiet`ly
        (after a restore) is told to nobody: they may have heard it before.
        """
        async with self._work("fact") as work:
            step = Step(self, Me, Guest, work, work, work.now, Talking(), role=Role.HOUSE)
            reply, post, _ = await carry_out(work, step, intent, fact=True)
            if errand is not None:
                await outbox.settle(work, errand, "done")
            await lease_errand(self, work, reply, None)
            await render_post(self, work, post)
            if quiet or (errand is not None and errand.key.startswith(quarantine.QUIET)):
                await hushed(work, post)
        await self.shared.say("outbox")
        return reply

    async def visit(self, intent: Intent, wait: float = 4.0) -> Reply:
        """A page asks or, after its button was pressed, changes something. Waits for a foreground errand's outcome."""
        now = self.clock.now()
        if not intent.changes:
            step = Step(self, Me, Guest, self.store.reader, None, now, Talking())
            try:
                found, _ = await self._ask(step, intent)
            except Refusal as refusal:
                return desk_refusal(refusal)
            if found is not None:
                return found
        async with self._work("page") as work:
            step = Step(self, Me, Guest, work, work, work.now, Talking())
            reply, post, _ = await carry_out(work, step, intent, fact=False)
            errand = await lease_errand(self, work, reply, None)
            await render_post(self, work, post)
        await self.shared.say("outbox")
        if errand is None or self.perform is None:
            return reply
        task = self.spawn(self.perform(errand))
        try:
            outcome: Reply | None = await asyncio.wait_for(asyncio.shield(task), wait)
        except Exception:  # too late for this page, or for the courier to do again
            return reply
        return outcome or reply

    async def look(self, one: Tick, *, quiet: bool = False) -> None:
        """A tick: of all processes one takes the slot, looks, and each thing that is due is a step of its own.

        In quarantine nothing is due, until what has become due meanwhile is looked at, once and `quiet`ly.
        """
        if not quiet and await quarantine.standing(self.store.reader) is not None:
            return
        now = self.clock.now()
        slot = int(now.timestamp()) // (one.minutes * 60)
        async with self._work("tick") as work:
            taken = await tick.take(work, one.name, slot)
        if not (taken or quiet):
            return
        step = Step(self, Me, Guest, self.store.reader, None, now, Talking())
        for due in await call(one.look, None, lambda kind: provide(step, kind)):
            try:
                await self.fact(due, quiet=quiet)
            except Exception:  # one thing that fails does not keep the others waiting; the next slot looks again
                log.exception("due step failed", extra={"intent": due.verb})

    async def forget(self) -> None:
        """What was heard more than 72 hours ago, and promises long over, are forgotten, a batch a transaction."""
        for sweep in (inbox.sweep, outbox.sweep):
            gone = FORGOTTEN
            while gone == FORGOTTEN:
                async with self._work() as work:
                    gone = await sweep(work, FORGOTTEN)

    async def react(self, name: str, event: Event, errand: outbox.Promise) -> None:
        """A reaction that had failed, once more."""
        async with self._work("react") as work:
            step = Step(self, Me, Guest, work, work, work.now, Talking())
            for known, handler in self.shop.reactions.get(type(event), []):
                if known == name:
                    await call(handler, event, lambda kind: provide(step, kind))
            await react(work, step, work.take_news(), fact=True)
            await outbox.settle(work, errand, "done")
            await render_post(self, work, step.post)
            if errand.key.startswith(quarantine.QUIET):
                await hushed(work, step.post)

    # -- one step -----------------------------------------------------------------------------------

    @asynccontextmanager
    async def _work(self, step: str = "") -> AsyncIterator[Work]:
        """One transaction; `step` names its crash points."""
        if step:
            point(f"desk.{step}.begin")
        async with self.store.session() as session, session.begin():
            work = Work(session, self.clock.now())
            yield work
            await work.finish()
            if step:
                point(f"desk.{step}.commit")
        if step:
            point(f"desk.{step}.committed")

    async def _ask(self, step: Step, intent: Intent) -> tuple[Reply | None, Intent]:
        """Answer from what can be read, and the intent that answered; None when something is to be changed.

        What is to be changed is looked at first: in a rush most wishes cannot come true, and need no transaction.
        """
        for hop in range(HOPS + 1):
            if hop and not await may(step, intent):
                return desk_refusal(NotYours()), intent
            handler = self.shop.looks.get(type(intent)) if intent.changes else self.shop.handlers[type(intent)]
            if handler is None:
                return None, intent
            found = await call(handler, intent, lambda kind: provide(step, kind))
            if found is None:
                return None, intent
            if isinstance(found, Reply):
                return (found if found.errand is None else None), intent
            intent = found
        raise RuntimeError(f"{type(intent).__name__} was handed over more than {HOPS} times")
