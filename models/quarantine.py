"""After a restore: what may have been said or done since the backup is not said again, and the cashier is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, exists, or_, select, update

from models.audit import record
from models.base import EPOCH, Invariant, Reader, Work
from models.campaign import Campaign
from models.hold import Hold
from models.order import Order
from models.outbox import Outbox
from models.payment import OPEN, Attempt, Payment
from models.refund import Refund
from models.supplement import Supplement
from models.talk import Talk
from models.tick import Tick

BACKUP = "backup"  # when the newest backup was begun, Unix seconds; a restored database says so when it was its own
SINCE = "restored"  # when the database was restored, Unix seconds; 0: there is no quarantine
STEP = "restored-step"
RESTORED, ASKING, CAUGHT_UP = 1, 2, 3
QUIET = "restored:"  # so begins the key of an errand whose outcome is told to nobody
TRADES = ("AskTrade", "CloseTrade")
SKIPPED = "skipped: may have been said before the restore"
SPOKEN = ("answer", "notice", "push")
WAITING = ("due", "leased")
AT_ONCE = 500


@dataclass(frozen=True)
class Quarantine:
    """Since when, and how far: RESTORED (nothing was looked at yet), ASKING the cashier, CAUGHT_UP."""

    since: datetime
    step: int


async def standing(reader: Reader) -> Quarantine | None:
    """The quarantine of this database; None when there is none."""
    rows = await reader.all(select(Tick.name, Tick.slot).where(Tick.name.in_([SINCE, STEP])))
    slots = {row.name: int(row.slot) for row in rows}
    if not slots.get(SINCE):
        return None
    return Quarantine(EPOCH + timedelta(seconds=slots[SINCE]), slots.get(STEP, RESTORED))


async def backed_up(reader: Reader) -> datetime | None:
    """When the newest backup that this database knows of was begun."""
    row = await reader.one(select(Tick.slot).where(Tick.name == BACKUP))
    return EPOCH + timedelta(seconds=int(row.slot)) if row is not None and row.slot else None


async def note_backup(work: Work) -> None:
    """Write down, before it is made, when the backup is made: so it says itself how old it is."""
    await _put(work, BACKUP, int(work.now.timestamp()))


async def impose(work: Work) -> None:
    """From now on this database is a restored one; touches only what every version of the schema has."""
    await _put(work, SINCE, int(work.now.timestamp()))
    await _put(work, STEP, RESTORED)


async def _put(work: Work, name: str, slot: int) -> None:
    statement = work.insert(Tick).values(name=name, slot=slot)
    await work.session.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"slot": slot}))


LOUD = "elsewhere:"  # so begins the key of a notice that is never hushed: staff have never heard it


async def skip(work: Work, since: datetime) -> Counter[str]:
    """Leave out what the shop of before may have done after the backup was made; how many of each kind.

    Messages that were due by the restore, and errands, which are thought of anew; pushes of campaigns that were on
    their way, and these campaigns. What was to be said later has not been said. A reaction that had failed is still
    made, quietly.
    """
    gone: Counter[str] = Counter()
    on_the_way = or_(Campaign.state == "releasing", and_(Campaign.state == "planned", Campaign.due <= since))
    stopped = (await work.session.execute(select(Campaign.id).where(on_the_way))).scalars().all()
    for some in _parts(stopped):
        await work.session.execute(
            update(Campaign)
            .where(Campaign.id.in_(some))
            .values(state="cancelled", done_at=work.now, version=Campaign.version + 1)
            .execution_options(synchronize_session=False)
        )
        gone["campaign"] += len(some)
    of_them = Outbox.campaign_id.in_(select(Campaign.id).where(Campaign.state == "cancelled"))
    said = and_(
        Outbox.kind.in_(SPOKEN),
        or_(Outbox.state == "missed", and_(Outbox.state.in_(WAITING), or_(Outbox.due <= since, of_them))),
    )
    asked = and_(Outbox.kind == "errand", Outbox.state.in_(WAITING))
    dropped = await work.session.execute(
        update(Outbox)
        .where(or_(said, asked))
        .values(state="dropped", error=SKIPPED, done_at=work.now, token="")
        .returning(Outbox.kind)
        .execution_options(synchronize_session=False)
    )
    gone.update(dropped.scalars().all())
    await work.session.execute(  # questions of an earlier quarantine that nobody answered: they are asked anew
        update(Outbox)
        .where(Outbox.kind == "errand", Outbox.key.startswith(QUIET), Outbox.state == "unknown")
        .values(state="dropped")
        .execution_options(synchronize_session=False)
    )
    await work.session.execute(
        update(Outbox)
        .where(Outbox.kind == "event", Outbox.state.in_(WAITING))
        .values(key=QUIET + Outbox.key, state="due", token="", lease_until=0)
        .execution_options(synchronize_session=False)
    )
    await work.session.execute(update(Talk).where(Talk.missed > 0).values(missed=0))
    await _put(work, STEP, ASKING)
    return gone


async def give_time(work: Work, until: datetime, extra: timedelta) -> None:
    """Who pays the shop itself may have done so since the backup, and only staff can tell: unpaid orders wait anew.

    What they hold outlives that by `extra`.
    """
    waits = update(Order).where(Order.state == "pending", Order.pay_until < until)
    waits = waits.values(pay_until=until, version=Order.version + 1).returning(Order.id)
    orders = (await work.session.execute(waits.execution_options(synchronize_session=False))).scalars().all()
    more = update(Supplement).where(Supplement.state == "pending", Supplement.pay_until < until)
    more = more.values(pay_until=until).returning(Supplement.order_id)
    changes = (await work.session.execute(more.execution_options(synchronize_session=False))).scalars().all()
    for some in _parts(changes):
        longer = update(Order).where(Order.id.in_(some)).values(waits_until=until, version=Order.version + 1)
        await work.session.execute(longer.execution_options(synchronize_session=False))
    for some in _parts([*orders, *changes]):
        held = update(Hold).where(Hold.order_id.in_(some), Hold.state == "held").values(until=until + extra)
        await work.session.execute(held.execution_options(synchronize_session=False))


async def open_trades(reader: Reader) -> list[str]:
    """The numbers at the cashier under which somebody may have paid since the backup."""
    rows = await reader.all(select(Attempt.out_trade_no).where(Attempt.state.in_(OPEN)).order_by(Attempt.id))
    return [row.out_trade_no for row in rows]


async def open_refunds(reader: Reader, since: datetime) -> list[str]:
    """The numbers of the refunds that may have been asked for, or have ended, since the backup."""
    begun = or_(Refund.state != "due", Refund.tries > 0, Refund.next_try <= since)
    rows = await reader.all(
        select(Refund.out_refund_no)
        .join(Payment, Payment.id == Refund.payment_id)
        .where(Refund.state.not_in(["done", "failed"]), Payment.source != "hand", begun)
        .order_by(Refund.id)
    )
    return [row.out_refund_no for row in rows]


async def hush(work: Work, notices: Sequence[str], errands: Sequence[tuple[str, str]]) -> None:
    """What was just written is told to nobody: notices by key; (name, key) of errands whose outcome is quiet too.

    A refund that is asked for only now is no news of before: what becomes of it is told.
    """
    for keys in _parts(notices):
        await work.session.execute(
            update(Outbox)
            .where(Outbox.key.in_(keys), Outbox.state == "due")
            .values(state="dropped", error=SKIPPED, done_at=work.now)
            .execution_options(synchronize_session=False)
        )
    for keys in _parts([key for name, key in errands if name in TRADES]):
        await work.session.execute(
            update(Outbox)
            .where(Outbox.key.in_(keys), Outbox.state == "due")
            .values(key=QUIET + Outbox.key)
            .execution_options(synchronize_session=False)
        )


async def unanswered(reader: Reader) -> tuple[int, int]:
    """How many questions of the quarantine are under way, and how many were given up."""
    rows = await reader.all(
        select(Outbox.state).where(
            Outbox.kind == "errand", Outbox.key.startswith(QUIET), Outbox.state.in_([*WAITING, "unknown"])
        )
    )
    given_up = sum(row.state == "unknown" for row in rows)
    return len(rows) - given_up, given_up


async def catch_up(work: Work) -> None:
    """What had become due since the backup has been looked at."""
    await _put(work, STEP, CAUGHT_UP)


async def release(work: Work, by: str) -> bool:
    """End the quarantine; False when there was none. `by`: answers, or command."""
    done = await work.session.execute(
        update(Tick).where(Tick.name == SINCE, Tick.slot > 0).values(slot=0).returning(Tick.name)
    )
    if done.first() is None:
        return False
    await _put(work, STEP, 0)
    await record(work, None, "release", {"by": by})
    return True


def _parts(things: Sequence[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(things), AT_ONCE):
        yield list(things[start : start + AT_ONCE])


INVARIANTS = (
    Invariant(
        "quarantine_holds_pushes",
        "in quarantine no push is on its way",
        select(Outbox.id).where(
            Outbox.kind == "push", Outbox.state == "leased", exists().where(Tick.name == SINCE, Tick.slot > 0)
        ),
    ),
)
