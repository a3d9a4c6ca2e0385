"""Who may run the shop: roles, one-time codes and the people who hold them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from enum import IntEnum

from sqlalchemy import ForeignKey, UniqueConstraint, delete, select, update
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Glance, Invariant, Refusal, Shelf

CODE_LIFE = timedelta(minutes=30)
CODE_TRIES = 5


class Role(IntEnum):
    """What one may do; a higher role may do all that a lower one may. HOUSE is the shop itself, never a person."""

    ANYONE = 0
    SUPPORT = 1
    CLERK = 2
    MANAGER = 3
    OWNER = 4
    HOUSE = 9

    @property
    def word(self) -> str:
        return {0: "客人", 1: "客服", 2: "店员", 3: "店长", 4: "店主", 9: "小店"}[int(self)]


class CodeWrong(Refusal):
    """The one-time code is unknown, used, too old, or was guessed at too often."""


class NotYours(Refusal):
    """What waited for 确认 needs a role that this person does not have any more."""


class Staff(Base):
    """A follower who works here."""

    __tablename__ = "staff"
    __table_args__ = (UniqueConstraint("follower_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    follower_id: Mapped[int] = mapped_column(ForeignKey("follower.id"))
    role: Mapped[int]
    since: Mapped[datetime]


class StaffCode(Base):
    """A one-time code; only its hash is kept, and five wrong tries in all end every open one."""

    __tablename__ = "staff_code"

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(unique=True)
    role: Mapped[int]
    until: Mapped[datetime]
    tries_left: Mapped[int]
    used_by: Mapped[int | None] = mapped_column(ForeignKey("follower.id"))


def new_code() -> str:
    """A one-time code: six digits, the first of them not 0, so that nobody loses it in a spreadsheet."""
    return str(secrets.randbelow(900_000) + 100_000)


def code_hash(code: str, key: bytes) -> str:
    """The keyed hash under which a one-time code is kept."""
    return hmac.new(key, b"staff-code:" + code.encode(), hashlib.sha256).hexdigest()


class StaffRoom(Shelf[Staff]):
    """The people who work here, for the changing path."""

    entity = Staff
    believed = True  # False: anybody could have written this, so that nobody here is staff

    async def offer(self, role: Role, key: bytes, now: datetime) -> str:
        """A new one-time code, 30 minutes and five wrong tries long; codes that are over are forgotten."""
        await self.session.execute(delete(StaffCode).where(StaffCode.until < now))
        kept = set((await self.session.execute(select(StaffCode.hash))).scalars())
        while (hash := code_hash(code := new_code(), key)) in kept:
            pass
        self.session.add(StaffCode(hash=hash, role=int(role), until=now + CODE_LIFE, tries_left=CODE_TRIES))
        return code

    async def redeem(self, hash: str, follower_id: int, now: datetime) -> Role | None:
        """Spend the code and take its role; None when it does not fit, and then every open code has a try less."""
        live = (StaffCode.used_by.is_(None), StaffCode.until > now, StaffCode.tries_left > 0)
        taken = await self.session.execute(
            update(StaffCode).where(StaffCode.hash == hash, *live).values(used_by=follower_id)
        )
        if taken.rowcount != 1:  # type: ignore[attr-defined]
            await self.session.execute(update(StaffCode).where(*live).values(tries_left=StaffCode.tries_left - 1))
            return None
        role = Role((await self.session.execute(select(StaffCode.role).where(StaffCode.hash == hash))).scalar_one())
        mine = (await self.session.execute(select(Staff).where(Staff.follower_id == follower_id))).scalar_one_or_none()
        if mine is None:
            self.session.add(Staff(follower_id=follower_id, role=int(role), since=now))
        elif mine.role < role:  # a lower code takes nothing away: who gives up a role is dismissed first
            mine.role = int(role)
        return role

    async def role_of(self, follower_id: int) -> Role:
        if not self.believed:
            return Role.ANYONE
        role = (
            await self.session.execute(select(Staff.role).where(Staff.follower_id == follower_id))
        ).scalar_one_or_none()
        return Role(role) if role is not None else Role.ANYONE

    async def on_duty(self, least: Role) -> list[int]:
        """The follower ids of everyone with at least this role, oldest first."""
        rows = await self.session.execute(select(Staff.follower_id).where(Staff.role >= int(least)).order_by(Staff.id))
        return list(rows.scalars())


class StaffGlance(Glance):
    """Who works here, read only."""

    believed = True  # False: anybody could have written this, so that nobody here is staff

    async def role_of(self, follower_id: int) -> Role:
        if not self.believed:
            return Role.ANYONE
        row = await self.reader.one(select(Staff.role).where(Staff.follower_id == follower_id))
        return Role(row.role) if row is not None else Role.ANYONE

    async def all(self) -> list[tuple[int, Role, datetime]]:
        rows = await self.reader.all(select(Staff.follower_id, Staff.role, Staff.since).order_by(Staff.id))
        return [(r.follower_id, Role(r.role), r.since) for r in rows]


INVARIANTS = (
    Invariant(
        "staff_role_known",
        "every member of staff has one of the roles",
        select(Staff.id).where(Staff.role.not_in([1, 2, 3, 4])),
    ),
    Invariant(
        "staff_code_role_known",
        "every one-time code gives one of the roles",
        select(StaffCode.id).where(StaffCode.role.not_in([1, 2, 3, 4])),
    ),
)
