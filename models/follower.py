"""Who speaks to the shop: a follower is (channel, account, who), and never merged with another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import String, UniqueConstraint, and_, bindparam, func, join, select, true, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from models.adopting import adopt
from models.base import Base, Glance, Invariant, Shelf, table_of
from models.inbox import Inbox
from models.ready import Ask, Ready
from models.talk import Talk

FRIEND = "朋友"


class Follower(Base):
    """One person on one channel."""

    __tablename__ = "follower"
    __table_args__ = (UniqueConstraint("channel", "account", "who"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    channel: Mapped[str]
    account: Mapped[str]
    who: Mapped[str]  # openid or uid
    since: Mapped[datetime]  # first seen; survives leaving, so that nobody becomes new twice
    following: Mapped[bool] = mapped_column(default=False)
    left_at: Mapped[datetime | None]
    name: Mapped[str] = mapped_column(default="")  # what they call themselves to friends; empty: 朋友
    asked_news_at: Mapped[datetime | None]  # when 新品告诉您? was last asked

    @property
    def called(self) -> str:
        return self.name or FRIEND


@dataclass(frozen=True)
class Me:
    """A follower as the asking path sees one."""

    id: int
    channel: str
    account: str
    who: str
    name: str
    since: datetime
    following: bool

    @property
    def called(self) -> str:
        return self.name or FRIEND


@dataclass(frozen=True)
class Visit:
    """What one read finds out before a message is understood: who, the talk, and whether it was answered before."""

    me: Me
    number: int
    state: dict[str, Any]
    missed: int
    answered: bool
    answer: dict[str, Any] | None


@dataclass(frozen=True)
class Held:
    """A talk whose row is locked, as the last changing answer left it."""

    number: int
    state: dict[str, Any]
    missed: int


_WHO = ("channel", "account", "who")
_KNOWN = Ready(select(Follower.__table__).where(*(getattr(Follower, name) == bindparam(name) for name in _WHO)))
_MET = Ready(
    select(Follower.__table__, Talk.number, Talk.state, Talk.missed)
    .join(Talk, Talk.follower_id == Follower.id)
    .where(*(getattr(Follower, name) == bindparam(name) for name in _WHO))
    .with_for_update(of=Talk.__table__)
)
_LEAVE = Ready(
    update(table_of(Talk)).where(Talk.follower_id == bindparam("follower")), sets=("number", "state", "missed")
)


class Followers(Shelf[Follower]):
    """The shop's followers, for the changing path."""

    entity = Follower

    async def meet(self, channel: str, account: str, who: str, now: datetime) -> Follower:
        """The follower; one who has never been seen is written down first."""
        asked = {"channel": channel, "account": account, "who": who}
        row = await self.work.first(_KNOWN, asked)
        if row is None:
            insert = self.work.insert(Follower).values(**asked, since=now, following=False, name="")
            await self.session.execute(insert.on_conflict_do_nothing(index_elements=_WHO))
            row = await self.work.first(_KNOWN, asked)
        assert row is not None
        return adopt(self.session, Follower, row)

    async def talk(self, channel: str, account: str, who: str, now: datetime) -> tuple[Follower, Held]:
        """The follower and the talk, its row locked, so that one person's messages are handled one after another."""
        asked = {"channel": channel, "account": account, "who": who}
        row = await self.work.first(_MET, asked)
        if row is None:
            follower = await self.meet(channel, account, who, now)
            insert = self.work.insert(Talk).values(follower_id=follower.id, number=0, state={}, missed=0)
            await self.session.execute(insert.on_conflict_do_nothing(index_elements=["follower_id"]))
            row = await self.work.first(_MET, asked)
        assert row is not None
        return adopt(self.session, Follower, row), Held(row["number"], row["state"], row["missed"])

    def leave(self, follower_id: int, talk: Held) -> Ask:
        """To be written: the talk as this answer leaves it."""
        return _LEAVE, {"follower": follower_id, **vars(talk)}

    async def by_id(self, follower_id: int) -> Follower | None:
        return await self.session.get(Follower, follower_id)


class FollowerGlance(Glance):
    """Followers, read only."""

    async def visit(self, channel: str, account: str, who: str, key: str) -> Visit | None:
        """Who this is, what we are in the middle of, and whether this very message was answered; one read."""
        row = await self.reader.first(_VISIT, {"channel": channel, "account": account, "who": who, "key": key})
        if row is None:
            return None
        me = Me(row["id"], channel, account, who, row["name"], row["since"], row["following"])
        state, missed = row["state"] or {}, row["missed"] or 0
        return Visit(me, row["number"] or 0, state, missed, row["heard"] is not None, row["answer"])

    async def by_id(self, follower_id: int) -> Me | None:
        row = await self.reader.one(
            select(
                Follower.id,
                Follower.channel,
                Follower.account,
                Follower.who,
                Follower.name,
                Follower.since,
                Follower.following,
            ).where(Follower.id == follower_id)
        )
        return Me(row.id, row.channel, row.account, row.who, row.name, row.since, row.following) if row else None


_ASKED = ("channel", "account", "who", "key")


def _visits(of: Any, asked: Any, *first: Any) -> Any:
    """What is known of those whose channel, account and who are `asked`, and of the message with this key."""
    return (
        select(
            *first,
            Follower.id,
            Follower.name,
            Follower.since,
            Follower.following,
            Talk.number,
            Talk.state,
            Talk.missed,
            Inbox.id.label("heard"),
            Inbox.answer,
        )
        .select_from(of)
        .outerjoin(Talk, Talk.follower_id == Follower.id)
        .outerjoin(
            Inbox,
            and_(
                Inbox.channel == Follower.channel,
                Inbox.account == Follower.account,
                Inbox.who == Follower.who,
                Inbox.key == asked["key"],
            ),
        )
        .where(*(getattr(Follower, name) == asked[name] for name in _ASKED[:3]))
    )


def _visit() -> Any:
    return _visits(Follower, {name: bindparam(name) for name in _ASKED})


def _many_visits() -> Any:
    lists = (bindparam(name, type_=ARRAY(String)) for name in _ASKED)
    asked = func.unnest(*lists).table_valued(*_ASKED, with_ordinality="place").render_derived()
    return _visits(join(asked, Follower, true()), asked.c, asked.c.place)


_VISIT = Ready(_visit(), together=Ready(_many_visits()))

INVARIANTS = (
    Invariant(
        "follower_left",
        "who follows has not left",
        select(Follower.id).where(Follower.following.is_(True), Follower.left_at.is_not(None)),
    ),
)
