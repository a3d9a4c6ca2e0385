"""Finding goods by one's own words, against the demo shop's shelves."""
# ruff: noqa: E501 (tables of sentences; a Chinese character counts twice)

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.demo import catalogue
from handlers.data import synonyms
from models.prices import take_price, yuan
from models.search import Doc, Index, Query, understand

DOCS = [product.doc for product in catalogue.load().products]
INDEX = Index.build(DOCS, synonyms())


def found(said: str) -> list[str]:
    return [hit.doc.code for hit in INDEX.find(understand(said, INDEX))]


@pytest.mark.parametrize(
    "said",
    [
        "龙井",
        "龍井",
        "longjing",
        "Long Jing",
        "LONGJING",
        "longjin",
        "lj",
        "龙景",
        "龙井茶",
        "明前龙井",
        "有冇龙井",
        "呢款龙井几钱",
        "我想买点龙井",
        "龙丼龙井",
    ],
)
def test_longjing_is_found_however_it_is_said(said: str) -> None:
    assert found(said)[0] == "A1"


@pytest.mark.parametrize(
    ("said", "first"),
    [
        ("碧螺春", "A2"), ("biluochun", "A2"), ("blc", "A2"), ("碧罗春", "A2"), ("普耳", "A9"), ("鳳梨酥", "A34"), ("菠萝酥", "A34"), ("单枞", "A8"),
        ("铁观音有没有", "A7"), ("鸭屎香", "A8"), ("香片", "A6"), ("葵花籽", "A21"), ("蜜糖", "A45"), ("旅行茶具三件套", "A18"), ("冻干草莓", "A32"),
        ("团圆饼", "A37"), ("团圆餅", "A37"), ("地瓜干", "A29"), ("辣椒酱", "A47"), ("gouqi", "A15"), ("红枣", "A30"), ("龙井礼盒", "A1"),
    ],
)  # fmt: skip
def test_goods_are_found_by_other_names(said: str, first: str) -> None:
    assert found(said)[0] == first


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("80块以下的绿茶,不要花茶", "绿茶 · ¥80 以内 · 不要花茶"),
        ("绿茶 80以内 不要花茶", "绿茶 · ¥80 以内 · 不要花茶"),
        ("一百左右送长辈", "送长辈 · ¥80–120"),
        ("一百左右送给领导的茶叶,送领导", "茶叶 · 送人 · ¥80–120"),
        ("两三百的礼盒", "礼盒 · ¥200–399"),
        ("便宜点的红茶", "红茶 · 实惠的先看"),
        ("来3盒凤梨酥", "凤梨酥 · 3 份"),
        ("100块以上送人的", "送人 · ¥100 以上"),
        ("除了红茶和绿茶的茶", "茶 · 不要红茶 · 不要绿茶"),
        ("9.9以内的话梅", "话梅 · ¥9.9 以内"),
        ("送老人喝什么茶好", "茶 · 送长辈"),
        ("哪种绿茶比较好", "绿茶"),
    ],
)
def test_the_first_line_says_what_was_understood(said: str, line: str) -> None:
    assert understand(said, INDEX).said() == line


@pytest.mark.parametrize(
    ("said", "low", "high"),
    [
        ("一百左右", 80, 120), ("100左右", 80, 120), ("百来块", 80, 120), ("一百来块", 80, 120), ("一百多", 100, 199), ("100多块", 100, 199),
        ("两百多块", 200, 299), ("八十多块", 80, 89), ("两三百", 200, 399), ("三五百块", 300, 599), ("七八十块", 70, 89), ("几十块", 20, 99),
        ("200元左右", 160, 240), ("预算三百左右", 240, 360), ("80块以下", None, 80), ("八十以内", None, 80), ("不超过50", None, 50), ("预算一百", None, 100), ("80块钱之内", None, 80),
        ("100块以上", 100, None), ("50到100", 50, 100), ("五十到一百块", 50, 100), ("¥80-120", 80, 120), ("50-100元之间", 50, 100), ("100不到", None, 100),
    ],
)  # fmt: skip
def test_amounts_as_people_say_them(said: str, low: int | None, high: int | None) -> None:
    bounds, rest = take_price(said)
    assert bounds == (low and low * 100, high and high * 100)
    assert not rest.strip()


@pytest.mark.parametrize("said", ["龙井", "第2个", "3盒", "5天内到", "250g", "3-5天", "2024", "三件套", "千层饼"])
def test_other_numbers_are_no_prices(said: str) -> None:
    assert take_price(said) == ((None, None), said)


def test_bounds_look_at_every_spec_of_a_product() -> None:
    assert "A1" in found("一百多的茶叶")  # its gift box, though the bag costs 26
    hits = INDEX.find(understand("100块以上的茶叶", INDEX))
    assert all(max(hit.doc.prices_fen) >= 100_00 for hit in hits)


def test_what_is_not_wanted_is_not_shown() -> None:
    shown = found("茶叶不要花茶")
    assert "A1" in shown
    assert "A6" not in shown
    assert "A26" not in found("坚果不要花生")


def test_nothing_in_range_shows_the_nearest_with_the_difference() -> None:
    query = understand("龙井 1000块以上", INDEX)
    assert INDEX.find(query) == []
    (nearest,) = INDEX.nearest(query)
    assert (nearest.doc.code, nearest.off_fen) == ("A1", 118_00 - 1000_00)


def test_goods_nobody_sells_are_not_found_and_the_words_are_kept_for_a_subscription() -> None:
    query = understand("你们家有没有蓝牙耳机啊", INDEX)
    assert INDEX.find(query) == []
    assert query.goods == "蓝牙 耳机"
    assert not query.empty


def test_a_guess_by_sound_is_named() -> None:
    assert understand("龙景", INDEX).guesses == (("龙景", "龙井"),)
    assert understand("龙井", INDEX).guesses == ()


def test_weights_and_pieces_are_told_apart() -> None:
    assert understand("来两斤瓜子", INDEX).weight_g == 1000
    assert understand("半斤枸杞", INDEX).weight_g == 250
    assert understand("一斤半瓜子", INDEX).weight_g == 750
    assert understand("两盒桂花糕", INDEX).quantity == 2
    assert understand("旅行茶具三件套", INDEX).quantity is None


def test_ties_are_always_told_apart_by_code() -> None:
    twins = [Doc(f"A{n}", "云雾茶", keywords=("云雾",), price_from_fen=100) for n in (10, 2, 1, 33)]
    index = Index.build(twins)
    assert [hit.doc.code for hit in index.find(understand("云雾", index))] == ["A1", "A2", "A10", "A33"]


def test_sold_out_goods_come_last_and_cheap_ones_first_when_asked() -> None:
    index = Index.build(
        [Doc("A1", "云雾茶", price_from_fen=100, stock_word="售罄"), Doc("A2", "云雾茶", price_from_fen=300), Doc("A3", "云雾茶", price_from_fen=200)]
    )  # fmt: skip
    assert [hit.doc.code for hit in index.find(understand("云雾茶", index))] == ["A2", "A3", "A1"]
    assert [hit.doc.code for hit in index.find(understand("便宜的云雾茶", index))] == ["A3", "A2", "A1"]


def test_an_index_built_in_slices_is_the_same() -> None:
    sliced = Index(synonyms())
    assert list(sliced.building(DOCS, slice_size=20)) == [20, 40, 48]
    for said in ("龙井", "80块以下的茶", "送长辈"):
        assert sliced.find(understand(said, sliced)) == INDEX.find(understand(said, INDEX))


def test_an_empty_shop_finds_nothing() -> None:
    index = Index.build([])
    query = understand("龙井", index)
    assert (index.find(query), index.nearest(query)) == ([], [])


def test_more_goods_of_a_kind_do_not_hide_the_exact_one() -> None:
    crowd = [replace(doc, code=f"B{n}") for n, doc in enumerate(DOCS * 3) if "龙井" not in doc.keywords]
    index = Index.build([*crowd, *DOCS], synonyms())
    assert index.find(understand("明前龙井", index))[0].doc.code == "A1"


def test_yuan_are_written_as_people_write_them() -> None:
    assert [yuan(fen) for fen in (8800, 990, 995, 5, 0)] == ["88", "9.9", "9.95", "0.05", "0"]


@given(
    st.text(max_size=80)
    | st.text(alphabet="一两三百十几块多左右以内到不要花茶龙井来盒斤半送人-~¥.0189lj ", max_size=40)
)
def test_nothing_typed_raises_and_every_hit_keeps_the_bounds(said: str) -> None:
    query = understand(said, INDEX)
    query.said()
    hits = INDEX.find(query)
    INDEX.nearest(query)
    assert hits == INDEX.find(query)
    for hit in hits:
        assert hit.doc.off(query.min_fen, query.max_fen) == 0
        assert not any(word in hit.doc.keywords for word in query.without)


def test_a_query_without_words_is_empty() -> None:
    assert understand("", INDEX).empty
    assert understand("???", INDEX) == Query(text="???")
