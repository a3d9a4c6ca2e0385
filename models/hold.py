"""What orders hold while they may still be paid: stock, seats, and whatever scarce thing a later play brings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from models import groupbuy, product
from models.base import Base, Contended, Invariant, Work, table_of
from models.plays import Wish
from models.product import Sku
from models.ready import Ask, Ready


class Hold(Base):
    """One thing that one order holds; the scarce row's own number changes only together with this row."""

    __tablename__ = "hold"
    __table_args__ = (
        UniqueConstraint("order_id", "kind", "thing"),
        CheckConstraint("state IN ('held','taken','freed')", name="state_known"),
        CheckConstraint("quantity > 0", name="quantity_positive"),
        Index(None, "kind", "thing", "state"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
    kind: Mapped[str]
    thing: Mapped[int]  # SKU id, group id …
    quantity: Mapped[int]
    until: Mapped[datetime]  # outlives the ability to pay
    state: Mapped[str] = mapped_column(default="held")


@dataclass(frozen=True)
class Claim:
    """One thing to be held, taken or freed for one order."""

    order_id: int
    follower_id: int
    thing: int
    quantity: int


Act = Callable[[Work, Claim], Awaitable[None]]


@dataclass(frozen=True)
class Kind:
    """How one kind of scarce thing is held, taken when paid, freed when closed, and given back after a full refund."""

    reserve: Act
    take: Act
    free: Act
    give_back: Act


async def _nothing(work: Work, claim: Claim) -> None:
    return None


# The order is the order of holding: what most people want at once, the stock, comes last, so that its row is
# locked for the shortest time.
KINDS: dict[str, Kind] = {
    "seat": Kind(
        reserve=lambda work, c: groupbuy.reserve_seat(work, c.thing, c.order_id, c.follower_id),
        take=lambda work, c: groupbuy.take_seat(work, c.thing, c.order_id),
        free=lambda work, c: groupbuy.free_seat(work, c.thing, c.order_id),
        give_back=_nothing,  # what becomes of a paid seat is the group's own story
    ),
    "stock": Kind(
        reserve=lambda work, c: product.reserve(work, c.thing, c.quantity),
        take=lambda work, c: product.take(work, c.thing, c.quantity),
        free=lambda work, c: product.release(work, c.thing, c.quantity),
        give_back=lambda work, c: product.adjust(work, c.thing, c.quantity),
    ),
    "spec": Kind(  # what a paid order is to be changed to, while its supplement may be paid; `swap` makes it stock
        reserve=lambda work, c: product.reserve(work, c.thing, c.quantity),
        take=lambda work, c: product.take(work, c.thing, c.quantity),
        free=lambda work, c: product.release(work, c.thing, c.quantity),
        give_back=_nothing,
    ),
}
_ORDER = list(KINDS)
PIECES = ("stock", "spec")  # the kinds of which the shelf keeps the count

# What a kind says when the thing was taken away meanwhile: the payment is late money then.
GONE: tuple[type[Exception], ...] = (groupbuy.NoSeat,)


def in_turn(wishes: Iterable[Wish]) -> list[Wish]:
    """Wishes in the one order in which everybody holds them, things merged: two never wait for each other."""
    merged: dict[tuple[str, int], int] = {}
    for wish in wishes:
        merged[wish.kind, wish.thing] = merged.get((wish.kind, wish.thing), 0) + wish.quantity
    return [
        Wish(kind, thing, merged[kind, thing])
        for kind, thing in sorted(merged, key=lambda key: (_ORDER.index(key[0]), key[1]))
    ]


_HOLD = Ready(insert(table_of(Hold)), sets=("order_id", "kind", "thing", "quantity", "until", "state"))


async def hold_all(work: Work, order: Any, wishes: Iterable[Wish], until: datetime, lines: Iterable[Ask] = ()) -> None:
    """Hold all that an order (with `id`, `follower_id`) wants; Contended, or the play's refusal, when one is gone.

    `lines` are the order's own, written with it.
    """
    rows = list(lines)
    for wish in in_turn(wishes):
        claim = Claim(order.id, order.follower_id, wish.thing, wish.quantity)
        await KINDS[wish.kind].reserve(work, claim)
        thing = {"kind": wish.kind, "thing": wish.thing, "quantity": wish.quantity}
        rows.append((_HOLD, {"order_id": order.id, **thing, "until": until, "state": "held"}))
    await work.write_all(rows)


async def take_all(work: Work, order: Any) -> None:
    """Paid: what was held is the order's own. One of GONE, and nothing has changed, when a play has taken it back."""
    await _move(work, order, "held", "taken", lambda kind: kind.take)


async def free_all(work: Work, order: Any) -> None:
    """Closed: what was held is free for others."""
    await _move(work, order, "held", "freed", lambda kind: kind.free)


async def give_back_all(work: Work, order: Any) -> None:
    """Paid, never shipped, and everything paid back: what was taken returns to the shelf."""
    await _move(work, order, "taken", "freed", lambda kind: kind.give_back)


async def hold_spec(work: Work, order: Any, sku_id: int, quantity: int, until: datetime) -> None:
    """Hold what a paid order may be changed to; Contended when there are fewer left, or it is held already."""
    await KINDS["spec"].reserve(work, Claim(order.id, order.follower_id, sku_id, quantity))
    again = {"quantity": quantity, "until": until, "state": "held"}
    written = await work.session.execute(
        work.insert(Hold)
        .values(order_id=order.id, kind="spec", thing=sku_id, **again)
        .on_conflict_do_update(index_elements=["order_id", "kind", "thing"], set_=again, where=still("freed"))
        .returning(Hold.id)
    )
    if written.first() is None:
        raise Contended


async def free_spec(work: Work, order: Any, sku_id: int) -> None:
    """It will not be changed to: free for others, if it is still held."""
    await _move(work, order, "held", "freed", lambda kind: kind.free, Hold.kind == "spec", Hold.thing == sku_id)


async def swap(work: Work, order_id: int, old: int, new: int, quantity: int, *, held: bool = False) -> None:
    """One spec of a paid order for another: the old one back on the shelf, the new one off it, or what is `held` of it.

    The lower id first, as everybody locks. Contended when somebody was faster.
    """
    for sku_id in sorted((old, new)):
        if sku_id == old:
            await product.adjust(work, old, quantity)
        elif held:
            await product.take(work, new, quantity)
        else:
            await product.adjust(work, new, -quantity)
    same = (Hold.order_id == order_id, Hold.quantity == quantity)
    if held:
        await _turn(work, {"state": "freed"}, *same, Hold.kind == "spec", Hold.thing == new, still("held"))
    await _turn(work, {"thing": new}, *same, Hold.kind == "stock", Hold.thing == old, still("taken"))


async def _turn(work: Work, values: dict[str, Any], *conditions: Any) -> None:
    """Change the one hold that is so; Contended when there is none."""
    turned = await work.session.execute(
        update(Hold).where(*conditions).values(values).returning(Hold.id).execution_options(synchronize_session=False)
    )
    if turned.first() is None:
        raise Contended


async def give_back_one(work: Work, order: Any, kind: str, thing: int) -> None:
    """The same for one of the things that an order has taken."""
    only = (Hold.kind == kind, Hold.thing == thing)
    await _move(work, order, "taken", "freed", lambda kind: kind.give_back, *only)


async def _move(work: Work, order: Any, before: str, after: str, act: Callable[[Kind], Act], *only: Any) -> None:
    mine = (Hold.order_id == order.id, Hold.state == before, *only)
    rows = (await work.session.execute(select(Hold.id, Hold.kind, Hold.thing, Hold.quantity).where(*mine))).all()
    for row in sorted(rows, key=lambda r: (_ORDER.index(r.kind), r.thing)):
        # The scarce row first: one that says no for good (a seat that is gone) has then changed nothing.
        await act(KINDS[row.kind])(work, Claim(order.id, order.follower_id, row.thing, row.quantity))
        await _turn(work, {"state": after}, Hold.id == row.id, still(before))


def still(state: str) -> Any:
    """The guard that lets a hold be taken, or freed, once."""
    return Hold.state == state


_sums = (
    select(Hold.thing.label("thing"), func.sum(Hold.quantity).label("held"))
    .where(Hold.kind.in_(PIECES), Hold.state == "held")
    .group_by(Hold.thing)
    .subquery()
)

INVARIANTS = (
    Invariant(
        "hold_sums_to_stock_held",
        "what a spec counts as held is what open orders hold of it",
        select(Sku.id).outerjoin(_sums, _sums.c.thing == Sku.id).where(Sku.held != func.coalesce(_sums.c.held, 0)),
    ),
)
