"""What can happen to an order, as others hear of it."""

from __future__ import annotations

from dataclasses import dataclass

from models.base import Event, Invariant


@dataclass(frozen=True)
class OrderNews(Event):
    order_id: int
    no: str
    follower_id: int
    play: str
    group_id: int | None


@dataclass(frozen=True)
class OrderPlaced(OrderNews):
    """An order was made; `sku_ids` are its specs, `from_cart` says that they came from the cart."""

    sku_ids: tuple[int, ...] = ()
    from_cart: bool = False


@dataclass(frozen=True)
class OrderPaid(OrderNews):
    """The money for an order is here."""


@dataclass(frozen=True)
class OrderReady(OrderNews):
    """A paid order whose goods may leave; without a play that is at once (OrderPaid), in a group when it is full."""


@dataclass(frozen=True)
class OrderClosed(OrderNews):
    """An order ended without goods. `waited`: the cashier was asked first, so nobody has been answered yet."""

    cause: str = ""
    waited: bool = False


@dataclass(frozen=True)
class OrderShipped(OrderNews):
    """A parcel has left, or its number was put right. `rest`: something of the order is still to come."""

    carrier: str = ""
    tracking: str = ""
    rest: bool = False


@dataclass(frozen=True)
class OrderCompleted(OrderNews):
    """The goods have arrived."""


INVARIANTS: tuple[Invariant, ...] = ()
