"""What can be seen of group-buys: open groups, one's own, one of them, and those to be judged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, func, or_, select

from models.base import Glance, Invariant
from models.figures import GroupFigures
from models.follower import Follower
from models.groupbuy import Group, Seat
from models.offer import Offer
from models.product import Product, Sku

NOBODY = "友"  # stands for those who gave no name


@dataclass(frozen=True)
class GroupLine:
    """One group in a list. `left`: seats nobody pays or has paid; `needs`: seats not paid yet."""

    id: int
    code: str
    product: str  # code
    name: str
    spec: str
    size: int
    price_fen: int
    usual_fen: int
    paid: int
    left: int
    deadline: datetime
    state: str

    @property
    def needs(self) -> int:
        return self.size - self.paid

    @property
    def words(self) -> str:
        """龙井 250g"""
        return f"{self.name} {self.spec}".strip()


@dataclass(frozen=True)
class Member:
    """Who is in, as strangers may see it: one character."""

    n: int
    initial: str
    heads: bool
    paid: bool


@dataclass(frozen=True)
class GroupPage:
    """One group with everything about it that is public."""

    line: GroupLine
    members: tuple[Member, ...]
    picture: str  # sha256 of the product's picture


@dataclass(frozen=True)
class Deal:
    """A live offer as staff and cards see it."""

    sku_id: int
    spec: str
    size: int
    price_fen: int
    hours: int
    usual_fen: int


def initial(name: str) -> str:
    """The one character by which a member is shown to strangers."""
    return name.strip()[:1].upper() or NOBODY


_live = (
    select(func.count())
    .select_from(Seat)
    .where(Seat.group_id == Group.id, Seat.state != "freed")
    .correlate(Group)  # and not the seat of the one who asks
    .scalar_subquery()
)


def _lines() -> Select[Any]:
    return (
        select(
            Group.id,
            Group.code,
            Product.code.label("product"),
            Product.name,
            Sku.label.label("spec"),
            Group.size,
            Group.price_fen,
            Sku.price_fen.label("usual_fen"),
            Group.paid_seats.label("paid"),
            _live.label("live"),
            Group.deadline,
            Group.state,
            Product.picture,
        )
        .join(Sku, Sku.id == Group.sku_id)
        .join(Product, Product.id == Group.product_id)
    )


def _line(row: Row[Any]) -> GroupLine:
    left = max(0, row.size - row.live)
    return GroupLine(
        row.id,
        row.code,
        row.product,
        row.name,
        row.spec,
        row.size,
        row.price_fen,
        row.usual_fen,
        row.paid,
        left,
        row.deadline,
        row.state,
    )


class GroupGlance(Glance):
    """Group-buys, read only."""

    async def open(self, now: datetime, limit: int, *, product: str = "", least_minutes: int = 2) -> list[GroupLine]:
        """Groups one can still join, those that need the fewest first, then those that end first."""
        in_time = Group.deadline > now + timedelta(minutes=least_minutes)
        statement = _lines().where(Group.state == "forming", in_time, _live < Group.size)
        if product:
            statement = statement.where(Product.code == product)
        order = (Group.size - Group.paid_seats, Group.deadline, Group.id)
        return [_line(row) for row in await self.reader.all(statement.order_by(*order).limit(limit))]

    async def mine(self, follower_id: int, limit: int) -> list[GroupLine]:
        """The groups in which this follower has or had a paid seat, forming ones first, newest first."""
        statement = (
            _lines()
            .join(Seat, Seat.group_id == Group.id)
            .where(Seat.follower_id == follower_id, Seat.state == "taken")
            .order_by(Group.state != "forming", Group.id.desc())
            .limit(limit)
        )
        return [_line(row) for row in await self.reader.all(statement)]

    async def by_code(self, code: str) -> GroupPage | None:
        """A group and who is in it."""
        row = await self.reader.one(_lines().where(Group.code == code))
        if row is None:
            return None
        seats = await self.reader.all(
            select(Seat.n, Seat.state, Follower.name, (Group.head_id == Seat.follower_id).label("heads"))
            .join(Follower, Follower.id == Seat.follower_id)
            .join(Group, Group.id == Seat.group_id)
            .where(Seat.group_id == row.id, Seat.state != "freed")
            .order_by(Seat.n)
        )
        members = tuple(Member(s.n, initial(s.name), bool(s.heads), s.state == "taken") for s in seats)
        return GroupPage(_line(row), members, row.picture)

    async def seat_state(self, code: str, follower_id: int) -> str:
        """ "taken" or "held" for somebody who is in, "" for everybody else."""
        row = await self.reader.one(
            select(Seat.state)
            .join(Group, Group.id == Seat.group_id)
            .where(Group.code == code, Seat.follower_id == follower_id, Seat.state != "freed")
        )
        return str(row.state) if row is not None else ""

    async def deals(self, product: str) -> list[Deal]:
        """The live offers of a product, in the order in which its specs are offered."""
        rows = await self.reader.all(
            select(
                Offer.sku_id,
                Sku.label.label("spec"),
                Offer.size,
                Offer.price_fen,
                Offer.hours,
                Sku.price_fen.label("usual_fen"),
            )
            .join(Sku, Sku.id == Offer.sku_id)
            .join(Product, Product.id == Offer.product_id)
            .where(Product.code == product, Offer.state == "on")
            .order_by(Sku.place, Sku.id)
        )
        return [Deal(r.sku_id, r.spec, r.size, r.price_fen, r.hours, r.usual_fen) for r in rows]

    async def due(self, now: datetime, figures: GroupFigures, limit: int) -> list[int]:
        """The ids of groups to be judged now: nobody is paying, or the wait for those who are is over."""
        paying = select(Seat.id).where(Seat.group_id == Group.id, Seat.state == "held").exists()
        patience = now - timedelta(minutes=figures.settle_minutes)
        rows = await self.reader.all(
            select(Group.id)
            .where(Group.state == "forming", Group.deadline <= now, or_(~paying, Group.deadline <= patience))
            .order_by(Group.deadline, Group.id)
            .limit(limit)
        )
        return [row.id for row in rows]


INVARIANTS: tuple[Invariant, ...] = ()
