"""Who works here, with their names, and how somebody stops."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select

from models.base import Contended, Glance, Invariant, Refusal, Shelf
from models.follower import FRIEND, Follower
from models.staff import Role, Staff


class LastOwner(Refusal):
    """Nobody else owns the shop: this one cannot stop."""


class NotStaff(Refusal):
    """This person does not work here (any more)."""


@dataclass(frozen=True)
class Member:
    """One of the staff; `tail` tells two of the same name apart."""

    follower_id: int
    name: str
    tail: str
    role: Role
    since: datetime


class Roster(Shelf[Staff]):
    """The staff, for taking a role away."""

    entity = Staff

    async def dismiss(self, follower_id: int) -> Role:
        """Take the role away, which is given back; LastOwner, NotStaff; Contended when two owners left at once."""
        mine = await self._one(select(Staff).where(Staff.follower_id == follower_id), hold=True)
        if mine is None:
            raise NotStaff
        role = Role(mine.role)
        # Both owners' rows are locked, so that the two cannot dismiss one another at the same moment.
        owners = select(Staff).where(Staff.role == int(Role.OWNER)).order_by(Staff.id).with_for_update()
        if role is Role.OWNER and len((await self.session.execute(owners)).scalars().all()) < 2:
            raise LastOwner
        await self.session.execute(
            delete(Staff).where(Staff.follower_id == follower_id).execution_options(synchronize_session="fetch")
        )
        left = select(func.count(Staff.id)).where(Staff.role == int(Role.OWNER))
        if role is Role.OWNER and not (await self.session.execute(left)).scalar_one():
            raise Contended
        return role


class RosterGlance(Glance):
    """The staff by name, read only."""

    async def members(self) -> list[Member]:
        rows = await self.reader.all(
            select(Staff.follower_id, Follower.name, Follower.who, Staff.role, Staff.since)
            .join(Follower, Follower.id == Staff.follower_id)
            .order_by(Staff.role.desc(), Staff.id)
        )
        return [Member(r.follower_id, r.name or FRIEND, r.who[-4:], Role(r.role), r.since) for r in rows]

    async def member(self, follower_id: int) -> Member | None:
        return next((m for m in await self.members() if m.follower_id == follower_id), None)


INVARIANTS: tuple[Invariant, ...] = ()
