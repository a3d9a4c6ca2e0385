"""What an order costs: shares that sum to the total, in any order of lines, and freight at the end."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from models.figures import Figures
from models.plays import Terms
from models.pricing import Line, freight, quote, share

FIGURES = Figures()
NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
lines_of = st.lists(
    st.builds(Line, st.integers(1, 9999), st.integers(1, 99), st.integers(0, 10_000_00), st.booleans()),
    min_size=1,
    max_size=20,
    unique_by=lambda line: line.id,
)


@given(st.integers(0, 10**9), st.dictionaries(st.integers(1, 999), st.integers(0, 10**7), min_size=1, max_size=20))
def test_shares_sum_to_what_is_shared_to_the_fen(fen: int, weights: dict[int, int]) -> None:
    shares = share(fen, weights)
    assert sum(shares.values()) == (fen if any(weights.values()) else 0)
    assert all(part >= 0 for part in shares.values())
    assert all(part == 0 for key, part in shares.items() if weights[key] == 0)


@given(st.integers(0, 10**9), st.dictionaries(st.integers(1, 999), st.integers(0, 10**7), min_size=1), st.randoms())
def test_shares_do_not_depend_on_the_order_of_lines(fen: int, weights: dict[int, int], dice: object) -> None:
    mixed = list(weights.items())
    dice.shuffle(mixed)  # type: ignore[attr-defined]
    assert share(fen, dict(mixed)) == share(fen, weights)


def test_equal_weights_give_the_odd_fen_to_the_lowest_line() -> None:
    assert share(100, {3: 1, 1: 1, 2: 1}) == {1: 34, 2: 33, 3: 33}


@given(lines_of, st.integers(0, 10_000_00), st.integers(0, 19), st.randoms())
def test_the_lines_and_the_freight_are_the_total(lines: list[Line], price: int, which: int, dice: object) -> None:
    plays = {lines[which % len(lines)].id: Terms(price, 10, label="3人团")}
    said = quote(lines, plays, FIGURES)
    assert said.total_fen == sum(line.amount_fen for line in said.lines) + said.freight_fen
    assert said.total_fen == said.goods_fen - sum(fen for _, fen in said.discounts) + said.freight_fen
    assert all(line.amount_fen >= 0 for line in said.lines)
    mixed = list(lines)
    dice.shuffle(mixed)  # type: ignore[attr-defined]
    assert quote(mixed, plays, FIGURES) == said


def test_a_play_price_stands_on_a_line_of_its_own() -> None:
    said = quote([Line(7, 2, 8800)], {7: Terms(5990, 10, label="3人团")}, FIGURES)
    assert said.goods_fen == 17600
    assert said.discounts == (("3人团", 5620),)
    assert said.total_fen == 11980


def test_a_play_price_never_makes_it_dearer() -> None:
    said = quote([Line(7, 1, 5000)], {7: Terms(5990, 10, label="3人团")}, FIGURES)
    assert said.discounts == ()
    assert said.lines[0].amount_fen == 5000


def test_freight_is_free_from_its_threshold_and_says_what_is_missing() -> None:
    assert freight([Line(1, 1, 9899)], FIGURES) == (800, 1)
    assert freight([Line(1, 1, 9900)], FIGURES) == (0, 0)
    assert quote([Line(1, 1, 9899)], {}, FIGURES).to_free_fen == 1


def test_what_does_not_ship_costs_no_freight_and_earns_none() -> None:
    assert freight([Line(1, 1, 100, ships=False)], FIGURES) == (0, 0)
    assert freight([Line(1, 1, 9900, ships=False), Line(2, 1, 100)], FIGURES) == (800, 9800)


def test_the_threshold_counts_what_is_paid_after_the_discount() -> None:
    said = quote([Line(7, 1, 12000)], {7: Terms(6000, 10, label="3人团")}, FIGURES)
    assert said.freight_fen == 800
