"""Whom a push reaches: counted before it is planned, with the reasons why not, and released in batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import String, Table, and_, case, cast, func, literal, or_, select, update

from models.base import Contended, Glance, Moment, Work
from models.budget import Speech, open_window
from models.campaign import Campaign, still_at
from models.figures import Figures
from models.follower import Follower
from models.moments import quiet_until
from models.outbox import Outbox
from models.subscription import PushRule, Subscription, why_not, with_rules

BATCH = 2000
ROOMS = {"wechat": 600, "weibo": 280}  # characters of one push
CHANNELS = tuple(ROOMS)
# In the order in which they are told to the merchant.
WHYS = ("not_asked", "left", "paused", "week_full", "price", "unfollowed", "no_way")


@dataclass(frozen=True)
class Reach:
    """`now` would get it at once, `quiet` in the morning, `why` stands against the others; the sum is `audience`."""

    now: int = 0
    quiet: int = 0
    why: Mapping[str, int] = field(default_factory=dict)

    @property
    def audience(self) -> int:
        return self.now + self.quiet + sum(self.why.values())

    @property
    def people(self) -> int:
        """How many it speaks to."""
        return self.now + self.quiet


class ReachGlance(Glance):
    """Counts a push's audience, read only."""

    async def count(self, topic: str, from_fen: int | None, due: datetime, figures: Figures) -> Reach:
        """The reach at `due` as far as it can be known now.

        The audience of a topic is everyone who has ever subscribed to it, whether they follow or not, and all other
        followers of today ("not asked"). One reason each, the first that holds, by the very condition that the
        courier asks at delivery; what is not against it then is whether a window is open, and the night.
        """
        keep = figures.push.keep_for_service
        opened = or_(*(and_(Follower.channel == c, open_window(figures.push, c, due, keep=keep)) for c in CHANNELS))
        why = why_not(from_fen, due, figures.push, own=0)
        reason = case((why != "", why), (func.coalesce(opened, False), ""), else_="no_way").label("why")
        quiet = func.coalesce(PushRule.quiet, "").label("quiet")
        counted = (
            select(reason, quiet)
            .select_from(with_rules(topic).outerjoin(Speech.__table__, Speech.follower_id == Follower.id))
            .where(or_(Follower.following.is_(True), Subscription.id.is_not(None)))
            .subquery()
        )
        rows = await self.reader.all(
            select(counted.c.why, counted.c.quiet, func.count().label("n")).group_by(counted.c.why, counted.c.quiet)
        )
        zone = ZoneInfo(figures.zone)
        now = asleep = 0
        whys = dict.fromkeys(WHYS, 0)
        for row in rows:
            if row.why:
                whys[row.why] += row.n
            elif quiet_until(due, row.quiet or figures.push.quiet, zone) is not None:
                asleep += row.n
            else:
                now += row.n
        return Reach(now, asleep, {why: n for why, n in whys.items() if n})

    async def steps(self, topic: str, cursor: int) -> int:
        """How many batches a release from `cursor` still takes, the last look included."""
        row = await self.reader.one(
            select(func.count(Subscription.id).label("n")).where(
                Subscription.topic == topic, Subscription.state == "live", Subscription.follower_id > cursor
            )
        )
        return 1 + (int(row.n) if row is not None else 0) // BATCH


async def release(
    work: Work, campaign: Campaign, payloads: Mapping[str, dict[str, Any]], figures: Figures, *, batch: int = BATCH
) -> bool:
    """Queue the pushes of the next `batch` subscribers and move the cursor behind them; False when none is left.

    `payloads` is what each channel is to show. One INSERT … SELECT a channel: nobody is loaded, and whom a reason
    stands against at this moment is left out. Raises Contended when somebody else moved the cursor or cancelled.
    """
    await work.session.flush()
    cursor = campaign.cursor
    ids = (
        select(Subscription.follower_id)
        .where(Subscription.topic == campaign.topic, Subscription.state == "live", Subscription.follower_id > cursor)
        .order_by(Subscription.follower_id)
        .limit(batch)
        .subquery()
    )
    looked = await work.one(select(func.count().label("n"), func.max(ids.c.follower_id).label("last")).select_from(ids))
    if looked is None or not looked.n:
        return False
    queued = 0
    for channel, payload in payloads.items():
        queued += await _queue(work, campaign, channel, payload, looked.last, figures)
    moved = await work.session.execute(
        update(Campaign)
        .where(*still_at(campaign.id, cursor))
        .values(
            cursor=looked.last,
            reached=Campaign.reached + queued,
            skipped=Campaign.skipped + looked.n - queued,
            version=Campaign.version + 1,
        )
        .execution_options(synchronize_session=False)
    )
    if moved.rowcount != 1:  # type: ignore[attr-defined]
        raise Contended
    await work.session.refresh(campaign)
    return bool(looked.n == batch)


async def _queue(
    work: Work, campaign: Campaign, channel: str, payload: dict[str, Any], last: int, figures: Figures
) -> int:
    table = Outbox.__table__
    assert isinstance(table, Table)
    moment = Moment()
    chosen = (
        select(
            literal("push"),
            literal("campaign"),
            literal(f"camp:{campaign.id}:").concat(cast(Follower.id, String)),
            Follower.id,
            literal(campaign.id),
            literal(payload, table.c.payload.type),
            literal("due"),
            literal(work.now, moment),
            literal(work.now, moment),
            literal(0),
            literal(""),
            literal(0),
            literal(""),
        )
        .select_from(with_rules(campaign.topic))
        .where(
            Follower.id > campaign.cursor,
            Follower.id <= last,
            Follower.channel == channel,
            Subscription.id.is_not(None),
            why_not(campaign.from_fen, work.now, figures.push, own=campaign.id) == "",
        )
        .order_by(Follower.id)
    )
    columns = ["kind", "name", "key", "follower_id", "campaign_id", "payload", "state", "made", "due"]
    columns += ["lease_until", "token", "attempts", "error"]
    insert = work.insert
    written: Any = await work.session.execute(
        insert(table).from_select(columns, chosen).on_conflict_do_nothing(index_elements=["key"])
    )
    return int(written.rowcount)
