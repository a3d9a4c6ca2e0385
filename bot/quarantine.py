"""What a shop does first after a restore: asks the cashier, catches up in silence, and only then opens its mouth."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from handlers.asking import Intent
from handlers.errands import AskRefund, AskTrade, packed
from handlers.intents import RefundSeen, TradeSeen
from handlers.replies import Errand
from models import outbox, quarantine
from models.audit import record
from models.base import Work
from models.quarantine import ASKING, QUIET, RESTORED

if TYPE_CHECKING:
    from bot.app import House

log = logging.getLogger(__name__)


async def begin(work: Work) -> Counter[str]:
    """Skip what may have been said before, and ask the cashier of all that is open; how many of each kind.

    campaign, answer, notice, push, errand: skipped; trade, refund: asked about. Does nothing when it was done.
    """
    held = await quarantine.standing(work)
    if held is None or held.step != RESTORED:
        return Counter()
    done = await quarantine.skip(work, held.since)
    trades = await quarantine.open_trades(work)
    refunds = await quarantine.open_refunds(work, held.since)
    asked: list[Errand] = [*map(AskTrade, trades), *map(AskRefund, refunds)]
    rows = [
        {
            "kind": "errand",
            "name": type(errand).__name__,
            "key": f"{QUIET}{int(held.since.timestamp())}:{number}",
            "payload": packed(errand),
        }
        for errand, number in zip(asked, [*trades, *refunds], strict=True)
    ]
    for start in range(0, len(rows), quarantine.AT_ONCE):
        await outbox.promise(work, rows[start : start + quarantine.AT_ONCE])
    done.update(trade=len(trades), refund=len(refunds))
    await record(work, None, "restore", {"restored": held.since.isoformat()} | dict(done))
    return done


def unheard(fact: Intent) -> bool:
    """Whether the cashier has said nothing: to go on its own schedule later is not enough for a restored shop."""
    if isinstance(fact, TradeSeen):
        return fact.state == "UNKNOWN"
    return isinstance(fact, RefundSeen) and not fact.state


async def look(house: House) -> None:
    """One look at the quarantine, if there is one: begin it, go on with it, end it.

    When every question has been answered, what had become due since the backup is done without a word, and when the
    questions that arise from that are answered too, it ends. A question that was given up keeps it standing until
    somebody says `tuanpu restore --release`. Any number of processes may look; each step may be done twice.
    """
    held = await quarantine.standing(house.store.reader)
    if held is None:
        return
    if held.step == RESTORED:
        async with house.store.session() as session, session.begin():
            done = await begin(Work(session, house.clock.now()))
        log.warning("restored: in quarantine", extra=dict(done))
        return
    waiting, given_up = await quarantine.unanswered(house.store.reader)
    if waiting or given_up:
        return
    if held.step == ASKING:
        if not house.figures.cashier:
            order = house.figures.order
            async with house.store.session() as session, session.begin():
                until, extra = timedelta(minutes=order.hand_pay_minutes), timedelta(minutes=order.hold_extra_minutes)
                await quarantine.give_time(Work(session, house.clock.now()), held.since + until, extra)
        for one in house.shop.ticks:
            await house.desk.look(one, quiet=True)
    async with house.store.session() as session, session.begin():
        work = Work(session, house.clock.now())
        if held.step == ASKING:
            await quarantine.catch_up(work)
        elif await quarantine.release(work, "answers"):
            log.warning("the quarantine is over")
