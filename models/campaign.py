"""What the shop has to tell those who asked: one text on one topic, at one moment, to nobody else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, bindparam, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Contended, Glance, Invariant, Moment, Refusal, Root, Shelf, fresh_code
from models.outbox import Outbox

TEXT_ROOM = 160  # characters: with the rule's line and a link it still fits into Weibo's 280
CODE_LENGTH = 3
STATES = ("planned", "releasing", "done", "cancelled")

# Words that the advertising law (absolute claims) or the platform (sharing bait) objects to; named, then asked.
DOUBTFUL = re.compile(
    r"国家级|世界级|最高级|最[好佳优低大新]|第一(?![次时批期季步章天眼个位杯泡道名印])|唯一|顶级|极品|绝无仅有|独一无二|万能"
    r"|100%|百分百|永久|必中|稳赚|转发(?:即可|就送|有礼|抽奖|得)|分享(?:即可|就送|有礼|得)|集赞|减肥|降(?:三高|血压|血糖|血脂)|治疗|根治|包治"
)


class NoCampaign(Refusal):
    """There is no campaign of this code."""


class CampaignOver(Refusal):
    """The campaign has been sent or cancelled; facts: code, state."""


class Campaign(Root):
    """One push: planned → releasing → done; cancelled from either of the first two.

    `cursor` is the last follower id that was looked at, so that a release may stop anywhere and go on there.
    `from_fen` is the lowest price of the product it is about, None when it is about no product of the shelf.
    """

    __tablename__ = "campaign"
    __table_args__ = (
        UniqueConstraint("code"),
        CheckConstraint("state IN ('planned','releasing','done','cancelled')", name="state_known"),
        CheckConstraint("reached >= 0 AND skipped >= 0", name="counts_not_negative"),
        Index(None, "state", "due"),
        Index(None, "topic"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str]
    topic: Mapped[str]
    text: Mapped[str]  # the merchant's words, without the line that names the rule
    product: Mapped[str] = mapped_column(default="")  # its code; empty: none
    from_fen: Mapped[int | None]
    due: Mapped[datetime]
    state: Mapped[str] = mapped_column(default="planned")
    made_by: Mapped[int | None] = mapped_column(ForeignKey("follower.id"))  # None: the command line
    made: Mapped[datetime]
    done_at: Mapped[datetime | None]
    cursor: Mapped[int] = mapped_column(default=0)
    reached: Mapped[int] = mapped_column(default=0)
    skipped: Mapped[int] = mapped_column(default=0)

    @property
    def open(self) -> bool:
        return self.state in ("planned", "releasing")

    def start(self, from_fen: int | None) -> None:
        """The moment has come; the price that counts is today's."""
        self.state, self.from_fen = "releasing", from_fen

    def finish(self, now: datetime) -> None:
        """Everyone has been looked at."""
        self.state, self.done_at = "done", now

    def may_cancel(self) -> None:
        """Raises CampaignOver when there is nothing left to cancel."""
        if not self.open:
            raise CampaignOver(code=self.code, state=self.state)


def doubtful(text: str) -> tuple[str, ...]:
    """The words of a text that the law or the platform objects to, each once, in the order they stand."""
    return tuple(dict.fromkeys(found[0] for found in DOUBTFUL.finditer(text)))


def still_at(campaign_id: int, cursor: int) -> tuple[Any, ...]:
    """The guard of a release: nobody else has moved the cursor, and nobody has cancelled."""
    return (Campaign.id == campaign_id, Campaign.cursor == cursor, Campaign.state == "releasing")


class Campaigns(Shelf[Campaign]):
    """The campaigns, for the changing path."""

    entity = Campaign

    async def plan(
        self, topic: str, text: str, due: datetime, *, product: str, from_fen: int | None, made_by: int | None
    ) -> Campaign:
        """A new campaign under a code that nobody has."""
        code = await fresh_code(self.work, Campaign.code, "P", CODE_LENGTH)
        return await self.add(
            Campaign(
                code=code,
                topic=topic,
                text=text,
                product=product,
                from_fen=from_fen,
                due=due,
                made_by=made_by,
                made=self.work.now,
            )
        )

    async def hold(self, campaign_id: int) -> Campaign | None:
        return await self._one(select(Campaign).where(Campaign.id == campaign_id), hold=True)

    async def cancel(self, code: str) -> tuple[Campaign, int]:
        """Stop it, also what is queued; how many pushes were taken back.

        Raises NoCampaign or CampaignOver. The campaign's row goes first: a release that is under way loses its guard.
        """
        found = await self._one(select(Campaign).where(Campaign.code == code), hold=True)
        if found is None:
            raise NoCampaign(code=code)
        found.may_cancel()
        stopped = await self.session.execute(
            update(Campaign)
            .where(Campaign.id == found.id, Campaign.state.in_(["planned", "releasing"]))
            .values(state="cancelled", done_at=self.work.now, version=Campaign.version + 1)
        )
        if stopped.rowcount != 1:  # type: ignore[attr-defined]
            raise Contended
        gone = await self.session.execute(
            update(Outbox)
            .where(Outbox.campaign_id == found.id, Outbox.kind == "push", Outbox.state.in_(["due", "leased"]))
            .values(state="dropped", error="cancelled", done_at=self.work.now)
        )
        return found, int(gone.rowcount)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Planned:
    """A campaign as it is shown; `sent` were delivered, `waiting` are still queued."""

    id: int
    code: str
    topic: str
    text: str
    product: str
    due: datetime
    state: str
    reached: int
    skipped: int
    sent: int
    waiting: int

    @property
    def word(self) -> str:
        return {"planned": "待发", "releasing": "正在发", "done": "已发", "cancelled": "已取消"}[self.state]


class CampaignGlance(Glance):
    """The campaigns, read only."""

    async def latest(self, limit: int = 6) -> list[Planned]:
        """Those to come first, then the newest."""
        first = (Campaign.state.in_(["planned", "releasing"])).desc()
        return await self._shown(select(Campaign.__table__).order_by(first, Campaign.id.desc()).limit(limit))

    async def by_code(self, code: str) -> Planned | None:
        found = await self._shown(select(Campaign.__table__).where(Campaign.code == code))
        return found[0] if found else None

    async def due(self, now: datetime) -> Sequence[Any]:
        """(id, topic, cursor) of what is to be released now, oldest first."""
        return await self.reader.all(
            select(Campaign.id, Campaign.topic, Campaign.cursor)
            .where(Campaign.state.in_(["planned", "releasing"]), Campaign.due <= now)
            .order_by(Campaign.due, Campaign.id)
        )

    async def _shown(self, statement: Any) -> list[Planned]:
        rows = await self.reader.all(statement)
        counted = await self.reader.all(
            select(Outbox.campaign_id, Outbox.state, func.count().label("n"))
            .where(Outbox.campaign_id.in_([r.id for r in rows]))
            .group_by(Outbox.campaign_id, Outbox.state)
        )
        counts = {(c.campaign_id, c.state): int(c.n) for c in counted}
        return [
            Planned(
                r.id,
                r.code,
                r.topic,
                r.text,
                r.product,
                r.due,
                r.state,
                r.reached,
                r.skipped,
                counts.get((r.id, "done"), 0),
                counts.get((r.id, "due"), 0) + counts.get((r.id, "leased"), 0),
            )
            for r in rows
        ]


def _cancelled_and_queued() -> Any:
    return (
        select(Outbox.id)
        .join(Campaign, Campaign.id == Outbox.campaign_id)
        .where(Campaign.state == "cancelled", Outbox.kind == "push", Outbox.state.in_(["due", "leased"]))
    )


_pushed = (
    select(func.count(Outbox.id))
    .where(Outbox.campaign_id == Campaign.id, Outbox.kind == "push")
    .correlate(Campaign)
    .scalar_subquery()
)
_late = bindparam("late", type_=Moment())

INVARIANTS = (
    Invariant(
        "campaign_says_something",
        "every campaign has a topic and a text",
        select(Campaign.id).where((Campaign.topic == "") | (Campaign.text == "")),
    ),
    Invariant(
        "campaign_on_time",
        "what is due is released",
        select(Campaign.id).where(Campaign.state.in_(["planned", "releasing"]), Campaign.due <= _late),
        grace_minutes=15,
    ),
    Invariant(
        "campaign_counts_its_pushes",
        "a campaign has queued as many pushes as it says",
        select(Campaign.id).where(Campaign.reached != _pushed),
    ),
    Invariant(
        "campaign_ended_dated",
        "a campaign says when it ended, exactly when it has",
        select(Campaign.id).where(Campaign.state.in_(["planned", "releasing"]) != Campaign.done_at.is_(None)),
    ),
    Invariant(
        "push_once_each",
        "nobody gets one campaign twice",
        select(func.max(Outbox.id))
        .where(Outbox.kind == "push")
        .group_by(Outbox.campaign_id, Outbox.follower_id)
        .having(func.count() > 1),
    ),
    Invariant(
        "campaign_cancelled_is_silent",
        "nothing of a cancelled campaign is still queued",
        _cancelled_and_queued(),
    ),
)
