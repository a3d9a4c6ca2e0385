"""What an order costs: shares that sum to the total, in any order of lines, and freight at the end."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from models.figures import Figures
from models.plays import Terms
from models.pricing import RULES, Case, Granted, Line, Off, of_pieces, quote, share

FIGURES = Figures()
NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
lines_of = st.lists(
    st.builds(
        Line,
        st.integers(1, 9999),
        st.integers(1, 99),
        st.integers(0, 10_000_00),
        st.booleans(),
        weight_g=st.integers(0, 5000),
    ),
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


def test_the_threshold_counts_what_is_paid_after_the_discount() -> None:
    said = quote([Line(7, 1, 12000)], {7: Terms(6000, 10, label="3人团")}, FIGURES)
    assert said.freight_fen == 800


def test_the_rules_have_one_order_and_spend_and_save_its_empty_place() -> None:
    names = [name for name, _ in RULES]
    assert names == ["play", "level or timed discount", "spend-N-save", "coupon", "points"]
    everything = Granted(Off("会员", percent=10), {}, Off("券", fen=100), 100)
    assert dict(RULES)["spend-N-save"]([Line(1, 1, 99_00)], Case({}, everything, FIGURES)) == []


offs = st.builds(
    Off,
    st.sampled_from(["会员", "限时9折", "券"]),
    percent=st.integers(0, 95),
    fen=st.integers(0, 50_000),
    from_fen=st.integers(0, 200_000),
    cap_fen=st.integers(0, 10_000),
)


@st.composite
def baskets(draw: st.DrawFn) -> tuple[list[Line], dict[int, Terms], Granted]:
    lines = draw(lines_of)
    ids = [line.id for line in lines]
    plays = {i: Terms(draw(st.integers(1, 100_000)), 10, label="3人团") for i in draw(st.sets(st.sampled_from(ids)))}
    percents = st.builds(Off, st.just("限时"), percent=st.integers(1, 90))
    timed = {i: draw(percents) for i in draw(st.sets(st.sampled_from(ids)))}
    level = draw(st.none() | st.builds(Off, st.just("会员"), percent=st.integers(1, 30)))
    return lines, plays, Granted(level, timed, draw(st.none() | offs), draw(st.integers(0, 100_000)))


@given(baskets(), st.randoms())
def test_every_discount_keeps_the_sums_whatever_comes_together(
    basket: tuple[list[Line], dict[int, Terms], Granted], dice: object
) -> None:
    lines, plays, granted = basket
    said = quote(lines, plays, FIGURES, granted=granted)
    assert said.total_fen == sum(line.amount_fen for line in said.lines) + said.freight_fen
    assert said.total_fen == said.goods_fen - sum(fen for _, fen in said.discounts) + said.freight_fen
    assert all(0 <= line.amount_fen <= line.gross_fen for line in said.lines)
    assert all(fen > 0 for _, fen in said.discounts)
    if said.goods_fen:
        assert sum(line.amount_fen for line in said.lines) >= 1  # an order is free only if every price is 0
    mixed = list(lines)
    dice.shuffle(mixed)  # type: ignore[attr-defined]
    assert quote(mixed, plays, FIGURES, granted=granted) == said


@given(baskets())
def test_a_line_with_a_play_takes_nothing_but_points(basket: tuple[list[Line], dict[int, Terms], Granted]) -> None:
    lines, plays, granted = basket
    without_points = Granted(granted.level, granted.timed, granted.coupon)
    for line in quote(lines, plays, FIGURES, granted=without_points).lines:
        if line.id in plays:
            assert line.discount_fen == max(0, line.list_fen - plays[line.id].price_fen) * line.quantity


@given(st.integers(0, 10**8), st.integers(1, 99), st.lists(st.integers(1, 20), max_size=20))
def test_a_part_paid_back_and_its_complement_are_what_was_paid(amount: int, quantity: int, cuts: list[int]) -> None:
    before = back = 0
    for pieces in cuts:
        pieces = min(pieces, quantity - before)
        part = of_pieces(amount, quantity, before, pieces)
        assert part >= 0
        back, before = back + part, before + pieces
    assert back + of_pieces(amount, quantity, before, quantity - before) == amount


@given(baskets(), st.randoms())
def test_an_order_taken_apart_piece_by_piece_gives_back_exactly_what_was_paid(
    basket: tuple[list[Line], dict[int, Terms], Granted], dice: object
) -> None:
    """However it is taken apart, and in whatever order its lines go: all parts and the freight are the total."""
    lines, plays, granted = basket
    said = quote(lines, plays, FIGURES, granted=granted)
    parts = [(line, n) for line in said.lines[:5] for n in range(min(line.quantity, 5))]
    dice.shuffle(parts)  # type: ignore[attr-defined]
    gone = dict.fromkeys((line.id for line in said.lines), 0)
    back = 0
    for line, _ in parts:
        back += of_pieces(line.amount_fen, line.quantity, gone[line.id], 1)
        gone[line.id] += 1
    rest = sum(of_pieces(x.amount_fen, x.quantity, gone[x.id], x.quantity - gone[x.id]) for x in said.lines)
    assert back + rest + said.freight_fen == said.total_fen
    assert min(back, rest) >= 0


@given(baskets())
def test_what_this_person_has_never_makes_it_dearer(basket: tuple[list[Line], dict[int, Terms], Granted]) -> None:
    lines, plays, granted = basket
    with_all = {line.id: line for line in quote(lines, plays, FIGURES, granted=granted).lines}
    for line in quote(lines, plays, FIGURES).lines:
        assert with_all[line.id].amount_fen <= line.amount_fen


@given(lines_of, st.integers(1, 95), st.data())
def test_a_coupon_for_some_goods_touches_no_others_and_counts_no_others(
    lines: list[Line], percent: int, data: st.DataObject
) -> None:
    some = data.draw(st.sets(st.sampled_from([line.id for line in lines])))
    base = sum(line.gross_fen for line in lines if line.id in some)
    least = data.draw(st.integers(0, 2 * base + 1))
    coupon = Off("券", percent=percent, from_fen=least, lines=frozenset(some))
    said = quote(lines, {}, FIGURES, granted=Granted(coupon=coupon))
    assert all(line.discount_fen == 0 for line in said.lines if line.id not in some)
    off = sum(fen for _, fen in said.discounts)
    assert off == (min(base * percent // 100, base - 1) if base >= max(least, 1) else 0)


def test_a_line_takes_the_better_of_level_and_timed_discount() -> None:
    granted = Granted(level=Off("会员", percent=5), timed={1: Off("限时9折", percent=10), 2: Off("限时", percent=3)})
    said = quote([Line(1, 1, 1000), Line(2, 1, 1000), Line(3, 1, 1000)], {}, FIGURES, granted=granted)
    assert [line.discount_fen for line in said.lines] == [100, 50, 50]
    assert dict(said.discounts) == {"限时9折": 100, "会员": 100}


def test_a_percentage_is_taken_of_the_sum_and_rounded_down_to_the_fen() -> None:
    granted = Granted(timed={1: Off("限时", percent=15), 2: Off("限时", percent=15)})
    said = quote([Line(1, 1, 333), Line(2, 1, 334)], {}, FIGURES, granted=granted)
    assert dict(said.discounts) == {"限时": 100}  # 15 % of 667 is 100.05; line by line it would have been 99


def test_thresholds_look_at_the_sum_reached_so_far() -> None:
    coupon = Off("满100减10", fen=1000, from_fen=10_000)
    timed = {1: Off("限时9折", percent=10)}
    dear, cheap = [Line(1, 1, 11_200)], [Line(1, 1, 11_000)]
    assert dict(quote(dear, {}, FIGURES, granted=Granted(timed=timed, coupon=coupon)).discounts)["满100减10"] == 1000
    assert "满100减10" not in dict(quote(cheap, {}, FIGURES, granted=Granted(timed=timed, coupon=coupon)).discounts)


def test_a_discount_leaves_a_fen_on_what_it_covers() -> None:
    said = quote([Line(1, 1, 500), Line(2, 1, 300)], {}, FIGURES, granted=Granted(coupon=Off("券", fen=9900)))
    assert sum(line.amount_fen for line in said.lines) == 1


def test_points_pay_at_most_a_fifth_of_the_goods() -> None:
    said = quote([Line(1, 1, 999)], {}, FIGURES, granted=Granted(points_fen=10_000))
    assert dict(said.discounts) == {"积分": 199}
