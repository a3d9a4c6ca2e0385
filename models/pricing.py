"""What an order costs: one ordered list of price rules.

The guarantee to the buyer: the sum shown in the order is the sum you pay until the pay window ends. Prices are taken
when the order is made, each discount stands on its own line, and nothing that happens afterwards (a new price, an ended
play, more stock) changes it. A discount is in fen and rounded down; it leaves at least one fen on the goods it covers.
Every line keeps its share of every discount (largest remainder, ties by line id), so that a part can be paid back to
the fen. Freight belongs to the parcel and comes last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models import groupbuy
from models.base import Invariant, Refusal, Work
from models.figures import Figures
from models.plays import Terms


class NoSuchPlay(Refusal):
    """The play that was named does not exist, or does not run on this product."""


@dataclass(frozen=True)
class Line:
    """One line of an order: `quantity` pieces at `list_fen` each, less its share of the discounts in fen.

    `id` is the spec's: lines are merged by spec, so it names a line whatever their order.
    """

    id: int
    quantity: int
    list_fen: int
    ships: bool = True
    discount_fen: int = 0

    @property
    def gross_fen(self) -> int:
        return self.list_fen * self.quantity

    @property
    def amount_fen(self) -> int:
        return self.gross_fen - self.discount_fen


@dataclass(frozen=True)
class Quote:
    """A sum and how it came about; `discounts`: (label, fen off), `to_free_fen`: what is missing to free freight."""

    lines: tuple[Line, ...]
    goods_fen: int
    discounts: tuple[tuple[str, int], ...]
    freight_fen: int
    total_fen: int
    to_free_fen: int = 0


@dataclass(frozen=True)
class Cut:
    """What a rule takes off: a label for the buyer, and fen by line id."""

    label: str
    by_line: Mapping[int, int]


Rule = Callable[[Sequence[Line], Mapping[int, Terms], Figures], list[Cut]]


def share(fen: int, weights: Mapping[int, int]) -> dict[int, int]:
    """`fen` shared by weight, to the last fen (largest remainder, ties by the lower id); 0 when all weigh nothing."""
    whole = sum(weights.values())
    if whole <= 0:
        return dict.fromkeys(weights, 0)
    shares = {key: fen * weight // whole for key, weight in weights.items()}
    left = fen - sum(shares.values())
    for key in sorted(weights, key=lambda k: (-(fen * weights[k] % whole), k))[:left]:
        shares[key] += 1
    return shares


def _play(lines: Sequence[Line], plays: Mapping[int, Terms], figures: Figures) -> list[Cut]:
    """A line has at most one play price, and then takes no other discount."""
    cuts: dict[str, dict[int, int]] = {}
    for line in lines:
        terms = plays.get(line.id)
        if terms is not None and (off := (line.list_fen - terms.price_fen) * line.quantity) > 0:
            cuts.setdefault(terms.label, {})[line.id] = off
    return [Cut(label, by_line) for label, by_line in cuts.items()]


def _none(lines: Sequence[Line], plays: Mapping[int, Terms], figures: Figures) -> list[Cut]:
    """A place in the order that no rule has taken yet."""
    return []


# The better of level and timed discount is one rule: a line takes one of the two.
RULES: tuple[tuple[str, Rule], ...] = (
    ("play", _play),
    ("level or timed discount", _none),
    ("spend-N-save", _none),
    ("coupon", _none),
    ("points", _none),
)


def freight(lines: Sequence[Line], figures: Figures) -> tuple[int, int]:
    """(freight in fen, fen missing to free freight) of what ships, after every discount."""
    shipped = [line for line in lines if line.ships]
    if not shipped:
        return 0, 0
    goods = sum(line.amount_fen for line in shipped)
    missing = figures.order.freight_free_from_fen - goods
    return (0, 0) if missing <= 0 else (figures.order.freight_fen, missing)


def quote(lines: Sequence[Line], plays: Mapping[int, Terms], figures: Figures) -> Quote:
    """The sum of these lines; `plays` are the terms of the lines that have a play, by line id."""
    now = sorted((replace(line, discount_fen=0) for line in lines), key=lambda line: line.id)
    goods = sum(line.gross_fen for line in now)
    discounts: list[tuple[str, int]] = []
    for _, rule in RULES:
        for cut in rule(now, plays, figures):
            now = [replace(line, discount_fen=line.discount_fen + cut.by_line.get(line.id, 0)) for line in now]
            discounts.append((cut.label, sum(cut.by_line.values())))
    fee, missing = freight(now, figures)
    total = sum(line.amount_fen for line in now) + fee
    return Quote(tuple(now), goods, tuple(discounts), fee, total, missing if fee else 0)


async def terms(work: Work, play: str, sku: Any, follower_id: int, quantity: int, figures: Figures) -> Terms | None:
    """What the play grants this person for this spec; None without one. Raises NoSuchPlay, or the play's own no."""
    if not play:
        return None
    kind = play.partition(":")[0]
    if kind == "group":
        return await groupbuy.terms(work, play, sku, follower_id, quantity, figures)
    raise NoSuchPlay(play=play)


INVARIANTS: tuple[Invariant, ...] = ()
