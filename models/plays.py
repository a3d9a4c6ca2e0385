"""What a play (a group-buy, later a flash sale) tells the checkout: at which price, for how long, holding what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from models.base import Invariant


@dataclass(frozen=True)
class Wish:
    """Something scarce that an order wants held: `kind` stock, seat …; `thing` the scarce row's id."""

    kind: str
    thing: int
    quantity: int


@dataclass(frozen=True)
class Terms:
    """What a play grants one person for one spec.

    `price_fen` is for one piece; the order is payable for `pay_minutes`, and not after `pay_until` where that is
    earlier; `holds` is what is held besides the stock; `label` names the discount in the sum.
    """

    price_fen: int
    pay_minutes: int
    pay_until: datetime | None = None
    holds: tuple[Wish, ...] = ()
    label: str = ""
    max_quantity: int = 99


INVARIANTS: tuple[Invariant, ...] = ()
