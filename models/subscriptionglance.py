"""What a follower has asked for and by which rules, as it is shown; read only."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from models.base import Glance
from models.figures import PushFigures
from models.subscription import PushRule, Subscription


@dataclass(frozen=True)
class Wanted:
    """One subscription as it is shown."""

    topic: str
    max_fen: int | None
    state: str


@dataclass(frozen=True)
class Rules:
    """A follower's own rules as they are shown, with the shop's figures where they have none."""

    paused: bool
    quiet: str
    weekly: int
    wanted: tuple[Wanted, ...] = ()

    def of(self, *states: str) -> list[Wanted]:
        return [w for w in self.wanted if w.state in states]


class SubscriptionGlance(Glance):
    """What followers have asked for, read only."""

    async def of(self, follower_id: int, figures: PushFigures) -> Rules:
        rows = await self.reader.all(
            select(Subscription.topic, Subscription.max_fen, Subscription.state)
            .where(Subscription.follower_id == follower_id)
            .order_by(Subscription.id)
        )
        rule = await self.reader.one(
            select(PushRule.paused_at, PushRule.quiet, PushRule.weekly).where(PushRule.follower_id == follower_id)
        )
        return Rules(
            rule is not None and rule.paused_at is not None,
            (rule.quiet if rule is not None else "") or figures.quiet,
            (rule.weekly if rule is not None else None) or figures.weekly,
            tuple(Wanted(r.topic, r.max_fen, r.state) for r in rows),
        )
