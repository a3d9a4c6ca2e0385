"""What each follower has asked to be told, in which words and by which rules of their own; the log of consent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    UniqueConstraint,
    and_,
    case,
    exists,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import Mapped, aliased, mapped_column

from models.base import Base, Invariant, Refusal, Shelf, Work, earlier
from models.campaign import Campaign
from models.figures import PushFigures
from models.follower import Follower
from models.outbox import Outbox, drop_pushes

MOST = 20  # live subscriptions of one follower
WEEK = timedelta(days=7)
MOST_WEEKLY = 7
IN_FLIGHT = 15  # seconds a message may be on the wire, and a leaving wait for its turn


class TooManySubscriptions(Refusal):
    """One follower keeps at most so many; facts: most."""


# -- rows ----------------------------------------------------------------------------------------------


class Subscription(Base):
    """One follower's wish to hear of one topic.

    live → left (they said so) and back by asking again; live → paused (they unfollowed) and back by 恢复.
    """

    __tablename__ = "subscription"
    __table_args__ = (
        UniqueConstraint("follower_id", "topic"),
        CheckConstraint("state IN ('live','left','paused')", name="state_known"),
        Index(None, "topic", "state", "follower_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    follower_id: Mapped[int] = mapped_column(ForeignKey("follower.id"))
    topic: Mapped[str]  # goods words, or one of STANDING
    words: Mapped[str]  # as they were said
    max_fen: Mapped[int | None]
    state: Mapped[str] = mapped_column(default="live")
    since: Mapped[datetime]
    left_at: Mapped[datetime | None]

    def join(self, words: str, max_fen: int | None, now: datetime) -> None:
        """Asked for, perhaps again; the last words and limit count."""
        if self.state != "live":
            self.state, self.since, self.left_at = "live", now, None
        self.words, self.max_fen = words, max_fen

    def leave(self, now: datetime) -> None:
        """No more of it, until it is asked for again."""
        if self.state != "left":
            self.state, self.left_at = "left", now

    def stop(self, now: datetime) -> None:
        """The follower has gone; a live one waits for 恢复, a left one stays left."""
        if self.state == "live":
            self.state, self.left_at = "paused", now

    def go_on(self, now: datetime) -> None:
        """恢复: what had stopped when the follower went is live again."""
        if self.state == "paused":
            self.state, self.since, self.left_at = "live", now, None


class Consent(Base):
    """One act of asking or leaving, in the words that were said; rows are only ever added."""

    __tablename__ = "consent"
    __table_args__ = (
        CheckConstraint(
            "act IN ('join','leave','leave_all','pause','resume','unfollow','quiet','weekly')", name="act_known"
        ),
        Index(None, "follower_id", "topic"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    follower_id: Mapped[int] = mapped_column(ForeignKey("follower.id"))
    at: Mapped[datetime]
    act: Mapped[str]
    topic: Mapped[str] = mapped_column(default="")  # empty: all
    words: Mapped[str]  # what was said
    key: Mapped[str] = mapped_column(default="")  # the question it answered; empty: nobody had asked


class PushRule(Base):
    """One follower's own rules for what is pushed; empty or none: the shop's figure."""

    __tablename__ = "push_rule"
    __table_args__ = (CheckConstraint("weekly IS NULL OR weekly BETWEEN 1 AND 7", name="weekly_in_range"),)

    follower_id: Mapped[int] = mapped_column(ForeignKey("follower.id"), primary_key=True, autoincrement=False)
    paused_at: Mapped[datetime | None]
    quiet: Mapped[str] = mapped_column(default="")  # "22-8"
    weekly: Mapped[int | None]


# -- who may be told: one condition for the courier, the release and the count --------------------------


def _week_used(at: Any, own: Any) -> Any:
    """How many pushes a follower got in the seven days before `at`; one that is on its way counts as got."""
    sent = and_(Outbox.state.in_(["done", "unknown"]), Outbox.done_at > at - WEEK)
    return (
        select(func.count(Outbox.id))
        .where(
            Outbox.follower_id == Follower.id,
            Outbox.kind == "push",
            Outbox.campaign_id != own,
            or_(sent, Outbox.state == "leased"),
        )
        .correlate(Follower)
        .scalar_subquery()
    )


def why_not(from_fen: int | None, at: datetime, figures: PushFigures, *, own: int) -> Any:
    """The reason why a follower is not to be told of a campaign at `at`, "" when nothing stands against it.

    An expression over Follower, outer joined with its Subscription to the topic and its PushRule; `own` is the
    campaign itself, whose push on its way does not count against it.
    """
    gone = and_(Follower.following.is_(False), or_(Follower.left_at.is_not(None), Follower.channel == "wechat"))
    dear = Subscription.max_fen < literal(from_fen) if from_fen is not None else None
    return case(
        (Subscription.id.is_(None), "not_asked"),
        (Subscription.state == "left", "left"),
        (gone, "unfollowed"),
        (or_(Subscription.state == "paused", PushRule.paused_at.is_not(None)), "paused"),
        *([(dear, "price")] if dear is not None else []),
        (_week_used(at, own) >= func.coalesce(PushRule.weekly, figures.weekly), "week_full"),
        else_="",
    )


def with_rules(topic: str) -> Any:
    """Followers with their subscription to the topic and their own rules; to be selected from."""
    joined = and_(Subscription.follower_id == Follower.id, Subscription.topic == topic)
    follower: Any = Follower.__table__
    return follower.outerjoin(Subscription.__table__, joined).outerjoin(
        PushRule.__table__, PushRule.follower_id == Follower.id
    )


@dataclass(frozen=True)
class Wish:
    """Whether a push may go: `why` not, "" when it may; the follower's own quiet hours, "" for the shop's."""

    why: str = ""
    quiet: str = ""


async def may_go(work: Work, follower_id: int, campaign_id: int, figures: PushFigures) -> Wish:
    """Asked at the moment of delivery: is the consent for this campaign's topic live, now?

    Reasons: not_asked, left, unfollowed, paused, price, week_full, cancelled.
    """
    campaign = await work.one(
        select(Campaign.topic, Campaign.from_fen, Campaign.state).where(Campaign.id == campaign_id)
    )
    if campaign is None:
        return Wish("not_asked")
    if campaign.state == "cancelled":
        return Wish("cancelled")
    why = why_not(campaign.from_fen, work.now, figures, own=campaign_id)
    row = await work.one(
        select(why.label("why"), PushRule.quiet)
        .select_from(with_rules(campaign.topic))
        .where(Follower.id == follower_id)
    )
    return Wish("not_asked") if row is None else Wish(row.why, row.quiet or "")


# -- the shelf -----------------------------------------------------------------------------------------


class Subscriptions(Shelf[Subscription]):
    """What followers have asked for, for the changing path; every act leaves its words in the log."""

    entity = Subscription

    def _log(self, follower_id: int, act: str, words: str, topic: str = "", key: str = "") -> None:
        self.session.add(
            Consent(follower_id=follower_id, at=self.work.now, act=act, topic=topic, words=words[:200], key=key[:80])
        )

    async def of(self, follower_id: int) -> list[Subscription]:
        """All of one follower, oldest first, whatever their state."""
        rows = await self.session.execute(
            select(Subscription).where(Subscription.follower_id == follower_id).order_by(Subscription.id)
        )
        return list(rows.scalars())

    async def stopped(self, follower_id: int) -> list[str]:
        """The topics that 恢复 would bring back after an unfollow."""
        return [one.topic for one in await self.of(follower_id) if one.state == "paused"]

    async def rule(self, follower_id: int) -> PushRule:
        """The follower's own rules; those who have none get a row."""
        rule = await self.session.get(PushRule, follower_id)
        if rule is None:
            rule = PushRule(follower_id=follower_id, quiet="")
            self.session.add(rule)
        return rule

    async def join(
        self, follower_id: int, topics: Sequence[str], words: str, *, max_fen: int | None = None, key: str = ""
    ) -> bool:
        """Subscribe; `words` as they were said, `key` the question they answered. False: paused at the moment.

        Raises TooManySubscriptions.
        """
        mine = {one.topic: one for one in await self.of(follower_id)}
        for topic in topics:
            one = mine.get(topic)
            if one is None:
                if sum(s.state == "live" for s in mine.values()) >= MOST:
                    raise TooManySubscriptions(most=MOST)
                one = Subscription(follower_id=follower_id, topic=topic, words=words, since=self.work.now)
                mine[topic] = one
                self.session.add(one)
            one.join(words[:200], max_fen, self.work.now)
            self._log(follower_id, "join", words, topic, key)
        await self.session.flush()
        rule = await self.session.get(PushRule, follower_id)
        return rule is None or rule.paused_at is None

    async def leave(self, follower_id: int, topics: Sequence[str], words: str) -> int:
        """Leave these topics at once, also what is queued of them; how many pushes were taken back."""
        for one in await self.of(follower_id):
            if one.topic in topics:
                one.leave(self.work.now)
        for topic in topics:
            self._log(follower_id, "leave", words, topic)
        await self.session.flush()
        about = await self.session.execute(
            select(Outbox.campaign_id)
            .join(Campaign, Campaign.id == Outbox.campaign_id)
            .where(
                Outbox.follower_id == follower_id,
                Outbox.kind == "push",
                Outbox.state.in_(["due", "leased"]),
                Campaign.topic.in_(list(topics)),
            )
        )
        queued = [c for c in about.scalars() if c is not None]
        return await drop_pushes(self.work, follower_id, queued) if queued else 0

    async def leave_all(self, follower_id: int, words: str) -> int:
        """Leave everything at once, also what is queued; how many pushes were taken back."""
        return await self._end(follower_id, "leave_all", words, "left")

    async def stop_all(self, follower_id: int, words: str = "") -> int:
        """The follower has gone (unfollow): every push stops at once; 恢复 brings the subscriptions back."""
        return await self._end(follower_id, "unfollow", words, "paused")

    async def _end(self, follower_id: int, act: str, words: str, state: str) -> int:
        for one in await self.of(follower_id):
            if state == "left":
                one.leave(self.work.now)
            else:
                one.stop(self.work.now)
        self._log(follower_id, act, words)
        await self.session.flush()
        return await drop_pushes(self.work, follower_id)

    async def pause(self, follower_id: int, words: str) -> None:
        """Nothing until 恢复; the subscriptions stay, what is queued goes."""
        rule = await self.rule(follower_id)
        rule.paused_at = rule.paused_at or self.work.now
        self._log(follower_id, "pause", words)
        await self.session.flush()
        await drop_pushes(self.work, follower_id)

    async def resume(self, follower_id: int, words: str) -> bool:
        """Go on after 暂停, and bring back what an unfollow had stopped; False when nothing was stopped."""
        rule = await self.rule(follower_id)
        stopped = [one for one in await self.of(follower_id) if one.state == "paused"]
        anything = rule.paused_at is not None or bool(stopped)
        rule.paused_at = None
        for one in stopped:
            one.go_on(self.work.now)
        if anything:
            self._log(follower_id, "resume", words)
        await self.session.flush()
        return anything

    async def keep_quiet(self, follower_id: int, hours: str, words: str) -> None:
        """The follower's own quiet hours, as `quiet_hours` gives them."""
        (await self.rule(follower_id)).quiet = hours
        self._log(follower_id, "quiet", words)
        await self.session.flush()

    async def cap(self, follower_id: int, weekly: int, words: str) -> int:
        """At most so many a week, 1 to 7; the number that was set."""
        weekly = max(1, min(weekly, MOST_WEEKLY))
        (await self.rule(follower_id)).weekly = weekly
        self._log(follower_id, "weekly", words)
        await self.session.flush()
        return weekly


# -- what always holds ---------------------------------------------------------------------------------


def _live_without_consent() -> Any:
    joined = exists().where(
        Consent.follower_id == Subscription.follower_id, Consent.topic == Subscription.topic, Consent.act == "join"
    )
    return select(Subscription.id).where(Subscription.state == "live", ~joined)


def _pushed_after_leaving() -> Any:
    """Pushes that were delivered although the follower had left before they were due, and had not come back."""
    gone, back = aliased(Consent), aliased(Consent)
    returned = exists().where(
        back.follower_id == gone.follower_id,
        back.id > gone.id,
        back.at <= Outbox.done_at,
        or_(
            and_(back.act == "join", back.topic == Campaign.topic),
            and_(back.act == "resume", gone.act.in_(["unfollow", "pause"])),
        ),
    )
    left = exists().where(
        gone.follower_id == Outbox.follower_id,
        # Left before it was due, or before it was delivered: what was on the wire at that moment is forgiven.
        or_(gone.at < Outbox.due, gone.at < earlier(Outbox.done_at, IN_FLIGHT)),
        or_(gone.act.in_(["leave_all", "unfollow", "pause"]), and_(gone.act == "leave", gone.topic == Campaign.topic)),
        ~returned,
    )
    return (
        select(Outbox.id)
        .join(Campaign, Campaign.id == Outbox.campaign_id)
        .where(Outbox.kind == "push", Outbox.state.in_(["done", "unknown"]), left)
    )


def _pushed_without_asking() -> Any:
    asked_for = exists().where(
        Consent.follower_id == Outbox.follower_id,
        Consent.topic == Campaign.topic,
        Consent.act == "join",
        Consent.at <= Outbox.done_at,
    )
    return (
        select(Outbox.id)
        .join(Campaign, Campaign.id == Outbox.campaign_id)
        .where(Outbox.kind == "push", Outbox.state.in_(["done", "unknown"]), ~asked_for)
    )


INVARIANTS = (
    Invariant("subscription_asked", "every live subscription was asked for, in words", _live_without_consent()),
    Invariant("push_asked", "nobody was pushed what they had not asked for", _pushed_without_asking()),
    Invariant("push_not_left", "nobody was pushed what they had left before it was sent", _pushed_after_leaving()),
    Invariant(
        "subscription_left_dated",
        "a subscription says since when it is silent, exactly when it is",
        select(Subscription.id).where((Subscription.state == "live") != Subscription.left_at.is_(None)),
    ),
)
