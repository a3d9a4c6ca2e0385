"""Invite cards (邀请卡): one code per person and thing, its picture, who came by it, and integer scenes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, func, select
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Contended, Glance, Invariant, Refusal, Root, Shelf, fresh_code
from models.product import Picture

CODE_LENGTH = 4
SCENE_SECONDS = 30 * 24 * 3600  # a temporary code lives no longer (doc: parametric QR code)
INTEGER_SCENES = frozenset({"weibo"})  # channels whose scenes are integers (doc: eps/qrcode/create)
SCENE_SPARE = timedelta(days=5)  # renewed before it ends: a card sent today can be scanned for a while


class NoSuchCard(Refusal):
    """There is no invite card of this code. Facts: card."""


class Card(Root):
    """A person's card for a thing: "" the shop, "A12" a product, "G7K2" a group."""

    __tablename__ = "card"
    __table_args__ = (UniqueConstraint("code"), UniqueConstraint("follower_id", "thing"))

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str]
    follower_id: Mapped[int] = mapped_column(ForeignKey("follower.id"))
    thing: Mapped[str] = mapped_column(default="")
    made: Mapped[datetime]
    scene_url: Mapped[str] = mapped_column(default="")
    scene_until: Mapped[datetime | None]
    media_id: Mapped[str] = mapped_column(default="")
    media_until: Mapped[datetime | None]
    picture: Mapped[str] = mapped_column(default="")  # sha256 of the drawn JPEG
    drawn: Mapped[str] = mapped_column(default="")  # `facts_hash` of what is drawn on it

    @property
    def scene(self) -> str:
        """What the QR code carries: the intent that opens the card."""
        return f"card:{self.code}"

    def scene_good(self, now: datetime) -> bool:
        """Whether the QR code can be scanned for some days yet."""
        return bool(self.scene_url) and self.scene_until is not None and self.scene_until - SCENE_SPARE > now

    def drawn_good(self, drawn: str, now: datetime) -> bool:
        """Whether the picture as it was drawn still tells the truth and still leads here."""
        return bool(self.picture) and self.drawn == drawn and self.scene_good(now)

    def shown_good(self, drawn: str, now: datetime) -> bool:
        """Whether it can be the answer at once: true still, and kept by the platform where that keeps pictures."""
        kept = not self.media_id or (self.media_until is not None and self.media_until > now)
        return kept and self.drawn_good(drawn, now)

    def keep(
        self,
        *,
        drawn: str,
        picture: str,
        media_id: str,
        media_until: datetime | None,
        scene_url: str,
        scene_until: datetime | None,
    ) -> None:
        """What an errand brought home."""
        self.drawn, self.picture = drawn, picture
        self.media_id, self.media_until = media_id, media_until
        self.scene_url, self.scene_until = scene_url, scene_until


class Scene(Base):
    """An integer that stands for a code, for platforms whose QR codes carry only integers."""

    __tablename__ = "scene"
    __table_args__ = (UniqueConstraint("code"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str]


class CardScan(Base):
    """Somebody came by a card; the first time counts."""

    __tablename__ = "card_scan"
    __table_args__ = (UniqueConstraint("card_id", "follower_id"), Index(None, "follower_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    card_id: Mapped[int] = mapped_column(ForeignKey("card.id"))
    follower_id: Mapped[int] = mapped_column(ForeignKey("follower.id"))
    at: Mapped[datetime]
    was_new: Mapped[bool]  # had never been seen before


def facts_hash(facts: Mapping[str, Any]) -> str:
    """A short name for what a card says: another price or another seat line, another name."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:24]


class Cards(Shelf[Card]):
    """Invite cards, for the changing path."""

    entity = Card

    async def of(self, follower_id: int, thing: str, now: datetime) -> Card:
        """This person's card for this thing, made when there is none; Contended when two were made."""
        statement = select(Card).where(Card.follower_id == follower_id, Card.thing == thing)
        found = await self._one(statement)
        if found is not None:
            return found
        code = await fresh_code(self.work, Card.code, "", CODE_LENGTH)
        written = await self.session.execute(
            self._insert(Card)
            .values(
                code=code,
                follower_id=follower_id,
                thing=thing,
                made=now,
                version=1,
                scene_url="",
                media_id="",
                picture="",
                drawn="",
            )
            .on_conflict_do_nothing()
            .returning(Card.id)
        )
        if written.first() is None:
            raise Contended
        made = await self._one(statement)
        assert made is not None
        return made

    async def hold(self, code: str) -> Card:
        found = await self._one(select(Card).where(Card.code == code), hold=True)
        if found is None:
            raise NoSuchCard(card=code)
        return found

    async def get(self, code: str) -> Card:
        found = await self._one(select(Card).where(Card.code == code))
        if found is None:
            raise NoSuchCard(card=code)
        return found

    async def scanned(self, card: Card, follower_id: int, was_new: bool, now: datetime) -> bool:
        """Write down who came by it, once, and never the card's own person; True the first time."""
        if follower_id == card.follower_id:
            return False
        written = await self.session.execute(
            self._insert(CardScan)
            .values(card_id=card.id, follower_id=follower_id, at=now, was_new=was_new)
            .on_conflict_do_nothing(index_elements=["card_id", "follower_id"])
            .returning(CardScan.id)
        )
        return written.first() is not None

    async def keep_picture(self, sha256: str, jpeg: bytes, thumb: bytes, now: datetime) -> None:
        """Keep a drawn card among the shop's pictures; the same picture is kept once."""
        await self.session.execute(
            self._insert(Picture)
            .values(sha256=sha256, jpeg=jpeg, thumb=thumb, made=now)
            .on_conflict_do_nothing(index_elements=["sha256"])
        )

    def _insert(self, entity: type[Base]) -> Any:
        insert = self.work.insert
        return insert(entity)


class Scenes(Shelf[Scene]):
    """Integers for codes."""

    entity = Scene

    async def said(self, channel: str, code: str) -> str:
        """The scene of a code on this channel: the code, or its integer where there are only those."""
        return str(await self.number_of(code)) if channel in INTEGER_SCENES else code

    async def number_of(self, code: str) -> int:
        """The integer that stands for a code, always the same one."""
        insert = self.work.insert
        row = insert(Scene).values(code=code).on_conflict_do_nothing(index_elements=["code"])
        await self.session.execute(row)
        return int((await self.session.execute(select(Scene.id).where(Scene.code == code))).scalar_one())

    async def code_of(self, number: int) -> str:
        """The code that an integer stands for, "" for one that was never given out."""
        found = await self.session.execute(select(Scene.code).where(Scene.id == number))
        return found.scalar_one_or_none() or ""


@dataclass(frozen=True)
class Came:
    """How many came by a person's cards, and how many of them had never been here."""

    cards: int
    scanned: int
    new: int


class InviteGlance(Glance):
    """Invite cards, read only."""

    async def code_of(self, number: int) -> str:
        """The code that an integer scene stands for, "" for one that was never given out."""
        row = await self.reader.one(select(Scene.code).where(Scene.id == number))
        return row.code if row is not None else ""

    async def came(self, follower_id: int) -> Came:
        mine = select(Card.id).where(Card.follower_id == follower_id)
        row = await self.reader.one(
            select(
                func.count().label("scanned"),
                func.count().filter(CardScan.was_new.is_(True)).label("fresh"),
            ).where(CardScan.card_id.in_(mine))
        )
        cards = await self.reader.one(select(func.count().label("n")).where(Card.follower_id == follower_id))
        assert row is not None
        assert cards is not None
        return Came(cards.n, row.scanned, row.fresh)


_own = CardScan.follower_id == Card.follower_id

INVARIANTS = (
    Invariant(
        "card_own_scan",
        "nobody comes by their own card",
        select(CardScan.id).join(Card, Card.id == CardScan.card_id).where(_own),
    ),
    Invariant(
        "card_media_dated",
        "a picture that the platform keeps says until when",
        select(Card.id).where(Card.media_id != "", Card.media_until.is_(None)),
    ),
)
