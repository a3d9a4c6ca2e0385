"""What an order costs: one ordered list of price rules.

The guarantee to the buyer: the sum shown in the order is the sum you pay until the pay window ends. Prices are taken
when the order is made, each discount stands on its own line, and nothing that happens afterwards (a new price, an ended
play, more stock) changes it. A discount is in fen and rounded down; it leaves at least one fen on the goods it covers.
Every line keeps its share of every discount (largest remainder, ties by line id), so that a part can be paid back to
the fen. Freight belongs to the parcel and comes last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from models import discount, groupbuy
from models.base import Invariant, Reader, Refusal, Work
from models.figures import Figures
from models.freight import Tariff, plain_tariff
from models.plays import Terms

POINTS_PERCENT = 20  # points pay at most so much of the goods


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
    weight_g: int = 0  # of one piece

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


@dataclass(frozen=True)
class Off:
    """Something off: `percent` of what it covers, rounded down to the fen, or `fen`; at most `cap_fen` (0: no cap).

    Only when the sum reached so far over the covered lines is at least `from_fen`. `lines` None: it covers all.
    """

    label: str
    percent: int = 0
    fen: int = 0
    from_fen: int = 0
    cap_fen: int = 0
    lines: frozenset[int] | None = None


@dataclass(frozen=True)
class Granted:
    """What this person has besides plays when the order is made: level, timed discounts by line, coupon, points."""

    level: Off | None = None
    timed: Mapping[int, Off] = field(default_factory=dict)
    coupon: Off | None = None
    points_fen: int = 0


@dataclass(frozen=True)
class Case:
    """What every rule looks at."""

    plays: Mapping[int, Terms]
    granted: Granted
    figures: Figures


Rule = Callable[[Sequence[Line], Case], list[Cut]]


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


def of_pieces(amount_fen: int, quantity: int, before: int, pieces: int) -> int:
    """What `pieces` of a line are worth when `before` of them have gone back already, in fen.

    However a line is taken apart, its parts are its amount to the fen.
    """
    return amount_fen * (before + pieces) // quantity - amount_fen * before // quantity


def _take(off: Off, lines: Sequence[Line]) -> list[Cut]:
    """The cut of one discount over the lines that it covers; at least one fen is left on them."""
    covered = {line.id: line.amount_fen for line in lines if off.lines is None or line.id in off.lines}
    base = sum(covered.values())
    if base < off.from_fen:
        return []
    fen = off.fen or base * off.percent // 100
    fen = min(fen, base - 1, off.cap_fen or fen)
    return [Cut(off.label, share(fen, covered))] if fen > 0 else []


def _open(lines: Sequence[Line], case: Case) -> list[Line]:
    """The lines that other discounts may touch: those without a play."""
    return [line for line in lines if line.id not in case.plays]


def _play(lines: Sequence[Line], case: Case) -> list[Cut]:
    """A line has at most one play price, and then takes no other discount."""
    cuts: dict[str, dict[int, int]] = {}
    for line in lines:
        terms = case.plays.get(line.id)
        if terms is not None and (off := (line.list_fen - terms.price_fen) * line.quantity) > 0:
            cuts.setdefault(terms.label, {})[line.id] = off
    return [Cut(label, by_line) for label, by_line in cuts.items()]


def _level_or_timed(lines: Sequence[Line], case: Case) -> list[Cut]:
    """Per line the better of the two (the level when they are alike); each is taken of the lines that chose it."""
    chosen: dict[Off, list[Line]] = {}
    level = case.granted.level
    for line in _open(lines, case):
        timed = case.granted.timed.get(line.id)
        best = level if level and (timed is None or level.percent >= timed.percent) else timed
        if best is not None:
            chosen.setdefault(best, []).append(line)
    return [cut for off, mine in chosen.items() for cut in _take(off, mine)]


def _spend_and_save(lines: Sequence[Line], case: Case) -> list[Cut]:
    """The place of 满减: no such rule exists yet."""
    return []


def _coupon(lines: Sequence[Line], case: Case) -> list[Cut]:
    """One coupon an order."""
    return _take(case.granted.coupon, _open(lines, case)) if case.granted.coupon else []


def _points(lines: Sequence[Line], case: Case) -> list[Cut]:
    """Points pay a part of what the goods cost by now, whatever play they are in."""
    most = sum(line.amount_fen for line in lines) * POINTS_PERCENT // 100
    fen = min(case.granted.points_fen, most)
    return _take(Off("积分", fen=fen), lines) if fen > 0 else []


# The better of level and timed discount is one rule: a line takes one of the two.
RULES: tuple[tuple[str, Rule], ...] = (
    ("play", _play),
    ("level or timed discount", _level_or_timed),
    ("spend-N-save", _spend_and_save),
    ("coupon", _coupon),
    ("points", _points),
)


def quote(
    lines: Sequence[Line],
    plays: Mapping[int, Terms],
    figures: Figures,
    *,
    granted: Granted | None = None,
    tariff: Tariff | None = None,
    province: str = "",
) -> Quote:
    """The sum of these lines; `plays` are the terms of the lines that have a play, by line id.

    `tariff` None: the shop's figures; `province` "": nobody has said where to. Raises NoFreightThere.
    """
    case = Case(plays, granted or Granted(), figures)
    now = sorted((replace(line, discount_fen=0) for line in lines), key=lambda line: line.id)
    goods = sum(line.gross_fen for line in now)
    discounts: list[tuple[str, int]] = []
    for _, rule in RULES:
        for cut in rule(now, case):
            now = [replace(line, discount_fen=line.discount_fen + cut.by_line.get(line.id, 0)) for line in now]
            discounts.append((cut.label, sum(cut.by_line.values())))
    fee = (tariff or plain_tariff(figures)).fee(now, province)
    total = sum(line.amount_fen for line in now) + fee.fen
    return Quote(tuple(now), goods, tuple(discounts), fee.fen, total, fee.missing_fen)


async def granted(reader: Reader, follower_id: int, products: Mapping[int, int], now: datetime) -> Granted:
    """What this person has now; `products` are product ids by line id. Levels, coupons and points come here later."""
    found = await discount.running(reader, set(products.values()), now)
    timed = {
        line: Off(found[product].label, percent=found[product].percent)
        for line, product in products.items()
        if product in found
    }
    return Granted(timed=timed)


async def terms(work: Work, play: str, sku: Any, follower_id: int, quantity: int, figures: Figures) -> Terms | None:
    """What the play grants this person for this spec; None without one. Raises NoSuchPlay, or the play's own no."""
    if not play:
        return None
    kind = play.partition(":")[0]
    if kind == "group":
        return await groupbuy.terms(work, play, sku, follower_id, quantity, figures)
    raise NoSuchPlay(play=play)


INVARIANTS: tuple[Invariant, ...] = ()
