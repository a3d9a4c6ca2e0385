"""Group-buys (拼团): the groups that form, their numbered seats, and how a group ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    UniqueConstraint,
    and_,
    bindparam,
    exists,
    func,
    select,
    text,
)
from sqlalchemy import update as change
from sqlalchemy.orm import Mapped, aliased, mapped_column, relationship, selectinload

from models.base import Base, Contended, Event, Invariant, Moment, Refusal, Root, Shelf, Work, fresh_code
from models.figures import Figures, GroupFigures
from models.offer import PER_FOLLOWER, NoOffer, Offer, Offers
from models.plays import Terms, Wish
from models.product import Sku

PLAY = "group:"
NEW = "group:new"
COPIED = ("product_id", "sku_id", "size", "price_fen", "per_follower")  # from the offer, when a group opens
LIVE: Any = dict.fromkeys(("sqlite_where", "postgresql_where"), text("state <> 'freed'"))


class NoSuchGroup(Refusal):
    """There is no group of this code. Facts: group."""


class GroupFull(Refusal):
    """Every seat has been paid. Facts: group, size."""


class GroupOver(Refusal):
    """Its time is up, or it has ended without filling. Facts: group."""


class AlreadyIn(Refusal):
    """One seat a person. Facts: group, paid (False: the seat waits for the payment)."""


class LastMinutes(Refusal):
    """No seat is given in a group's last minutes, for nobody could pay in time. Facts: group, minutes."""


class SeatBeingPaid(Refusal):
    """Nothing is free, but somebody who holds a seat has not paid yet. Facts: group, minutes (at most)."""


class InAnother(Refusal):
    """One live group per follower and offer. Facts: group (the other one)."""


class NotIn(Refusal):
    """The person has no paid seat in this group. Facts: group."""


class NoSeat(Exception):
    """A payment came and its seat is gone: nobody's fault, and the money is late money."""


@dataclass(frozen=True)
class GroupFilled(Event):
    """The last seat has been paid, by this follower."""

    group_id: int
    code: str
    follower_id: int


@dataclass(frozen=True)
class GroupFailed(Event):
    """The deadline came before the last seat was paid; `paid` seats are to be refunded."""

    group_id: int
    code: str
    paid: int


@dataclass(frozen=True)
class GroupLeft(Event):
    """A member left before it filled; `head_id` heads it now (0: nobody is left)."""

    group_id: int
    code: str
    follower_id: int
    order_id: int
    head_id: int
    was_head: bool


class Group(Root):
    """One group. It exists when its opener has paid; the offer's figures are its own from then on."""

    __tablename__ = "groupbuy"
    __table_args__ = (
        UniqueConstraint("code"),
        CheckConstraint("paid_seats >= 0 AND paid_seats <= size", name="seats_within_size"),
        CheckConstraint("state IN ('forming','filled','failed')", name="state_known"),
        Index(None, "state", "deadline"),
        Index(None, "sku_id", "state"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str]
    offer_id: Mapped[int] = mapped_column(ForeignKey("group_offer.id"))
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"))
    sku_id: Mapped[int] = mapped_column(ForeignKey("sku.id"))
    size: Mapped[int]
    price_fen: Mapped[int]
    per_follower: Mapped[int] = mapped_column(default=PER_FOLLOWER)
    head_id: Mapped[int] = mapped_column(ForeignKey("follower.id"))
    opened: Mapped[datetime]
    deadline: Mapped[datetime]
    ended: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(default="forming")
    paid_seats: Mapped[int] = mapped_column(default=0)

    seats: Mapped[list[Seat]] = relationship(  # the live ones
        lambda: Seat,
        primaryjoin=lambda: and_(Seat.group_id == Group.id, Seat.state != "freed"),
        order_by=lambda: Seat.n,
        viewonly=True,
        lazy="raise",
    )

    def join(self, follower_id: int, now: datetime, figures: GroupFigures, seat_minutes: int) -> int:
        """The number of the seat that is given, 1 … size; `seat_minutes`: how long a payer keeps one.

        Raises GroupFull, GroupOver, AlreadyIn, SeatBeingPaid, LastMinutes.
        """
        if self.state == "filled":
            raise GroupFull(group=self.code, size=self.size)
        if self.state != "forming" or now >= self.deadline:
            raise GroupOver(group=self.code)
        for seat in self.seats:
            if seat.follower_id == follower_id:
                raise AlreadyIn(group=self.code, paid=seat.state == "taken")
        n = free_number([seat.n for seat in self.seats], self.size)
        if n == 0:
            held = [seat for seat in self.seats if seat.state == "held"]
            if not held:
                raise GroupFull(group=self.code, size=self.size)
            waits = [minutes_left(seat.made, seat_minutes, now) for seat in held]
            raise SeatBeingPaid(group=self.code, minutes=max(waits))
        if now >= self.deadline - timedelta(minutes=figures.last_minutes):
            raise LastMinutes(group=self.code, minutes=figures.last_minutes)
        return n

    def seat_taken(self, follower_id: int, now: datetime) -> None:
        """A seat has just been paid (and counted); the last one fills the group, who sits alone heads it."""
        if not any(seat.follower_id == self.head_id and seat.state == "taken" for seat in self.seats):
            self.head_id = follower_id  # whoever opened it has left while this one was paying
        if self.state == "forming" and self.paid_seats == self.size:
            self.state, self.ended = "filled", now
            self.tell(GroupFilled(self.id, self.code, follower_id))

    def due(self, now: datetime, figures: GroupFigures) -> bool:
        """Whether it is to be judged: its time is up, and no payment of a seat may still be found."""
        if self.state != "forming" or now < self.deadline:
            return False
        paying = any(seat.state == "held" for seat in self.seats)
        return not paying or now >= self.deadline + timedelta(minutes=figures.settle_minutes)

    def fail(self, now: datetime) -> None:
        """The deadline came first. Judged once: a group that has ended stays as it is."""
        if self.state != "forming":
            return
        if now < self.deadline:
            raise ValueError(f"{self.code} has time left")
        self.state, self.ended = "failed", now
        self.tell(GroupFailed(self.id, self.code, self.paid_seats))

    def leave(self, follower_id: int, now: datetime) -> Seat:
        """The paid seat of somebody who leaves before the group fills.

        Raises NotIn, GroupFull (goods are on their way: 退款), GroupOver (the refund comes by itself).
        """
        seat = next((s for s in self.seats if s.follower_id == follower_id and s.state == "taken"), None)
        if seat is None:
            raise NotIn(group=self.code)
        if self.state == "filled":
            raise GroupFull(group=self.code, size=self.size)
        if self.state != "forming" or now >= self.deadline:
            raise GroupOver(group=self.code)
        return seat

    def head_without(self, leaver: Seat) -> int:
        """Who heads it when this one leaves: its head, or the earliest paid member; 0: nobody is left."""
        stays = [s.follower_id for s in self.seats if s.id != leaver.id and s.state == "taken"]
        return self.head_id if self.head_id in stays else next(iter(stays), 0)


class Seat(Base):
    """A numbered place in a group; among the live ones each number and each person comes once."""

    __tablename__ = "seat"
    __table_args__ = (
        Index("uq_seat_number", "group_id", "n", unique=True, **LIVE),
        Index("uq_seat_person", "group_id", "follower_id", unique=True, **LIVE),
        UniqueConstraint("order_id"),
        CheckConstraint("n BETWEEN 1 AND 10", name="number_sane"),
        CheckConstraint("state IN ('held','taken','freed')", name="state_known"),
        Index(None, "follower_id", "state"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("groupbuy.id"))
    n: Mapped[int]
    follower_id: Mapped[int] = mapped_column(ForeignKey("follower.id"))
    order_id: Mapped[int]  # no foreign key: the order names the group, and neither table can come first
    state: Mapped[str]
    made: Mapped[datetime]


def free_number(taken: list[int], size: int) -> int:
    """The lowest seat number that nobody has, 0 when there is none. The unique key decides who gets it."""
    return next((n for n in range(1, size + 1) if n not in taken), 0)


def minutes_left(made: datetime, seat_minutes: int, now: datetime) -> int:
    """Whole minutes, at least one, until a seat that is being paid is free again."""
    left = made + timedelta(minutes=seat_minutes) - now
    return max(1, -(-int(left.total_seconds()) // 60))


def room_for_one() -> Any:
    """The guard of a paid seat: a forming group with fewer paid seats than its size."""
    return and_(Group.state == "forming", Group.paid_seats < Group.size)


async def _changed(work: Work, statement: Any) -> bool:
    """Carry out an update of at most one row; whether it met one."""
    done: Any = await work.session.execute(statement.execution_options(synchronize_session=False))
    return bool(done.rowcount == 1)


class GroupBuys(Shelf[Group]):
    """The groups with their live seats, for the changing path. NoSuchGroup for a code that none has."""

    entity = Group

    async def get(self, code: str) -> Group:
        return await self._found(Group.code == code, code)

    async def hold(self, code: str) -> Group:
        return await self._found(Group.code == code, code, True)

    async def by_id(self, group_id: int, *, hold: bool = False) -> Group:
        return await self._found(Group.id == group_id, "", hold)

    async def _found(self, condition: Any, code: str, hold: bool = False) -> Group:
        statement = select(Group).where(condition).options(selectinload(Group.seats))
        found = await self._one(statement.execution_options(populate_existing=True), hold=hold)
        if found is None:
            raise NoSuchGroup(group=code)
        return found

    async def open(self, offer: Offer, head_id: int, order_id: int, now: datetime) -> Group:
        """The group of an opener who has paid; seat 1 is theirs."""
        code = await fresh_code(self.work, Group.code, "G", 3)
        figures = {name: getattr(offer, name) for name in COPIED}
        when = {"opened": now, "deadline": now + timedelta(hours=offer.hours)}
        new = Group(code=code, offer_id=offer.id, head_id=head_id, paid_seats=1, **figures, **when)
        group = await self.add(new)
        seat = {"group_id": group.id, "n": 1, "follower_id": head_id, "order_id": order_id}
        await self.put(Seat, [seat | {"state": "taken", "made": now}])
        return group

    async def settle(self, group: Group, now: datetime) -> None:
        """Let a due group fail: seats that are still being paid are freed, paid ones stay on record."""
        paying = change(Seat).where(Seat.group_id == group.id, Seat.state == "held").values(state="freed")
        await _changed(self.work, paying)
        group.fail(now)

    async def let_go(self, group: Group, seat: Seat, now: datetime) -> None:
        """Free a leaver's seat (`Group.leave` has said yes); Contended when the group filled meanwhile."""
        head_id, was_head = group.head_without(seat), group.head_id == seat.follower_id
        fewer = change(Group).where(Group.id == group.id, Group.state == "forming", Group.paid_seats > 0)
        numbers = {"paid_seats": Group.paid_seats - 1, "head_id": head_id or group.head_id}
        mine = change(Seat).where(Seat.id == seat.id, Seat.state == "taken").values(state="freed")
        if not (await _changed(self.work, fewer.values(numbers)) and await _changed(self.work, mine)):
            raise Contended
        fresh = await self.by_id(group.id)
        if not fresh.seats:  # nobody is left and nobody is paying: there is nothing to wait for
            fresh.state, fresh.ended = "failed", now
        fresh.tell(GroupLeft(group.id, group.code, seat.follower_id, seat.order_id, head_id, was_head))


# -- what checkout, holds and payment ask of this play ---------------------------------------------------


def group_of(play: str) -> str:
    """ "group:G7K2" → "G7K2", "group:new" → "", and "" for every other play."""
    return play.removeprefix(PLAY) if play.startswith(PLAY) and play != NEW else ""


async def terms(work: Work, play: str, sku: Sku, follower_id: int, quantity: int, figures: Figures) -> Terms:
    """What an order with play "group:new" or "group:G7K2" is made on: price, time to pay, the seat it holds.

    `quantity` is bounded by the terms' `max_quantity`. Raises the refusals of `Group.join`, and NoOffer,
    NoSuchGroup, InAnother.
    """
    minutes = figures.order.group_seat_minutes
    code = group_of(play)
    if not code:
        offer = await Offers(work).live(sku.id)
        if offer is None:
            raise NoOffer(product="")
        await _only_one(work, sku.id, follower_id, 0)
        return Terms(offer.price_fen, minutes, label=f"{offer.size}人团", max_quantity=offer.per_follower)
    group = await GroupBuys(work).hold(code)
    if group.sku_id != sku.id:
        raise NoSuchGroup(group=code)
    group.join(follower_id, work.now, figures.group, minutes)
    await _only_one(work, sku.id, follower_id, group.id)
    seat = (Wish("seat", group.id, 1),)
    label = f"{group.size}人团"
    return Terms(group.price_fen, minutes, group.deadline, seat, label, group.per_follower)


async def _only_one(work: Work, sku_id: int, follower_id: int, but: int) -> None:
    """InAnother for a second live group of one follower and spec."""
    mine = (Seat.follower_id == follower_id, Seat.state == "taken")
    live = (Group.sku_id == sku_id, Group.state == "forming", Group.id != but)
    found = select(Group.code).join(Seat, Seat.group_id == Group.id).where(*live, *mine)
    if (other := await work.one(found.order_by(Group.id).limit(1))) is not None:
        raise InAnother(group=other.code)


async def reserve_seat(work: Work, group_id: int, order_id: int, follower_id: int) -> None:
    """Keep a seat for an order that is to be paid; Contended when the unique key found somebody faster."""
    group = await GroupBuys(work).by_id(group_id)
    n = free_number([seat.n for seat in group.seats], group.size)
    if group.state != "forming" or n == 0:
        raise Contended
    insert = work.insert
    seat = {"group_id": group_id, "n": n, "follower_id": follower_id, "order_id": order_id, "state": "held"}
    row = insert(Seat).values(seat | {"made": work.now}).on_conflict_do_nothing().returning(Seat.id)
    if (await work.session.execute(row)).first() is None:
        raise Contended


async def take_seat(work: Work, group_id: int, order_id: int) -> None:
    """The order is paid: its seat counts, and the last one fills the group; one that is taken stays so.

    Raises NoSeat, and has changed nothing, when the seat is gone (the payment code makes it late money), and
    Contended when the group ended this very moment.
    """
    mine = (Seat.group_id == group_id, Seat.order_id == order_id)
    open_still = select(Group.id).where(Group.id == group_id, room_for_one()).exists()
    taken = change(Seat).where(*mine, Seat.state == "held", open_still).values(state="taken")
    if not await _changed(work, taken):
        if await work.one(select(Seat.id).where(*mine, Seat.state == "taken")) is None:
            raise NoSeat
        return
    counted = change(Group).where(Group.id == group_id, room_for_one())
    if not await _changed(work, counted.values(paid_seats=Group.paid_seats + 1)):
        raise Contended
    group = await GroupBuys(work).by_id(group_id)
    group.seat_taken(next(s.follower_id for s in group.seats if s.order_id == order_id), work.now)
    await work.session.flush()


async def free_seat(work: Work, group_id: int, order_id: int) -> None:
    """The order was closed unpaid: its seat is anybody's again; one that is freed already stays so."""
    mine = (Seat.group_id == group_id, Seat.order_id == order_id, Seat.state == "held")
    await _changed(work, change(Seat).where(*mine).values(state="freed"))


_paid = select(func.count()).where(Seat.group_id == Group.id, Seat.state == "taken").scalar_subquery()
_again, _others = aliased(Seat), aliased(Group)
_due = and_(Group.state == "forming", Group.deadline <= bindparam("late", type_=Moment()))

INVARIANTS = (
    Invariant(
        "group_seats_counted",
        "a group has as many paid seats as it says",
        select(Group.id).where(Group.paid_seats != _paid),
    ),
    Invariant(
        "group_seat_within",
        "no seat is numbered beyond the size of its group",
        select(Seat.id).join(Group, Group.id == Seat.group_id).where(Seat.n > Group.size),
    ),
    Invariant(
        "group_one_live",
        "nobody is in two forming groups of one spec",
        select(_again.id).where(
            exists().where(
                Seat.group_id == Group.id,
                Seat.state == "taken",
                Seat.follower_id == _again.follower_id,
                Seat.id < _again.id,
                Group.state == "forming",
                Group.sku_id == _others.sku_id,
            ),
            _again.state == "taken",
            _again.group_id == _others.id,
            _others.state == "forming",
        ),
    ),
    Invariant(
        "group_filled_full",
        "a group is filled exactly when its last seat is paid",
        select(Group.id).where((Group.state == "filled") != (Group.paid_seats == Group.size)),
    ),
    Invariant("group_judged", "a group whose time is up is judged", select(Group.id).where(_due), 10),
)

__all__ = ["GroupBuys", "Offer", "Offers", "free_seat", "reserve_seat", "take_seat", "terms"]
