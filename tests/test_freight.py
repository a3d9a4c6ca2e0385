"""Freight: by piece, by weight, by province, free from a sum; and where the shop does not send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from town import Town

from models.base import Work
from models.figures import Figures
from models.freight import (
    PIECE,
    WEIGHT,
    FreightGlance,
    Freights,
    FreightUnclear,
    NoFreightThere,
    Tariff,
    Zone,
    overlapping,
    plain_tariff,
    province_named,
    province_of,
    read_tariff,
)
from models.pricing import Line, quote

FIGURES = Figures()
XINJIANG = "新疆维吾尔自治区"
FAR = Zone((XINJIANG,), 1, 2000, 1, 500)
HERE = Zone(("浙江省", "江苏省"), 1, 600, 1, 100, free_from_fen=5000)


def test_the_shop_s_figures_are_a_template_free_from_its_sum() -> None:
    plain = plain_tariff(FIGURES)
    assert plain.fee([Line(1, 1, 9899)], "浙江省").fen == 800
    assert plain.fee([Line(1, 1, 9899)], "浙江省").missing_fen == 1
    assert plain.fee([Line(1, 1, 9900)], "浙江省").fen == 0
    assert quote([Line(1, 1, 9899)], {}, FIGURES).to_free_fen == 1


def test_what_does_not_ship_costs_no_freight_and_earns_none() -> None:
    plain = plain_tariff(FIGURES)
    assert plain.fee([Line(1, 1, 100, ships=False)], "").fen == 0
    assert plain.fee([Line(1, 1, 9900, ships=False), Line(2, 1, 100)], "").missing_fen == 9800


@pytest.mark.parametrize(("grams", "fen"), [(1, 1000), (1000, 1000), (1001, 1300), (1500, 1300), (1501, 1600)])
def test_a_begun_step_of_weight_is_a_whole_one(grams: int, fen: int) -> None:
    zone = Zone((), 1000, 1000, 500, 300)
    assert Tariff(WEIGHT, (zone,)).fee([Line(1, 1, 100, weight_g=grams)], "").fen == fen


@pytest.mark.parametrize(("pieces", "fen"), [(1, 600), (2, 700), (3, 800)])
def test_further_pieces_cost_their_step(pieces: int, fen: int) -> None:
    assert Tariff(PIECE, (HERE,)).fee([Line(1, pieces, 100)], "浙江省").fen == fen


@given(st.integers(1, 5000), st.integers(0, 5000), st.integers(1, 2000), st.integers(0, 2000), st.integers(0, 20000))
def test_more_never_travels_cheaper(first: int, first_fen: int, further: int, further_fen: int, amount: int) -> None:
    zone = Zone((), first, first_fen, further, further_fen)
    assert zone.charge(amount) <= zone.charge(amount + 1)
    assert zone.charge(0) == zone.charge(first) == first_fen


def test_the_same_goods_weigh_the_same_in_one_line_or_in_two() -> None:
    tariff = Tariff(WEIGHT, (Zone((), 500, 800, 500, 200),))
    one = tariff.fee([Line(1, 4, 100, weight_g=300)], "")
    assert one == tariff.fee([Line(1, 1, 100, weight_g=300), Line(2, 3, 100, weight_g=300)], "")


def test_each_province_has_its_zone_and_free_freight_of_its_own() -> None:
    tariff = Tariff(PIECE, (HERE, FAR))
    assert tariff.fee([Line(1, 1, 5000)], "江苏省").fen == 0
    assert tariff.fee([Line(1, 1, 5000)], XINJIANG).fen == 2000
    assert tariff.fee([Line(1, 1, 5000)], XINJIANG).missing_fen == 0


def test_a_province_without_a_zone_is_refused_unless_there_is_one_for_the_rest() -> None:
    with pytest.raises(NoFreightThere):
        Tariff(PIECE, (HERE, FAR)).fee([Line(1, 1, 100)], "西藏自治区")
    assert Tariff(PIECE, (HERE, Zone((), 1, 900))).fee([Line(1, 1, 100)], "西藏自治区").fen == 900


def test_provinces_are_read_from_labels_and_from_short_names() -> None:
    assert province_of("浙江省杭州市西湖区") == "浙江省"
    assert province_of("北京市朝阳区") == "北京市"
    assert province_named("新疆") == XINJIANG
    assert province_named("火星") == ""
    assert overlapping([HERE, Zone(("浙江省",), 1, 1)]) == {"浙江省"}


async def _put_up(town: Town, tariff: Tariff) -> None:
    house = town.stage.house
    async with house.store.session() as session, session.begin():
        await Freights(Work(session, house.clock.now())).put_up(tariff)


async def test_a_region_the_shop_does_not_serve_is_refused_before_anything_is_ordered(town: Town) -> None:
    await _put_up(town, Tariff(PIECE, (FAR,)))
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("地址 张三 13800138000 浙江省杭州市西湖区文三路1号")
    await mei.says("买 A11")
    answer = await mei.says("1")
    assert "浙江省我们暂时送不到" in answer.text
    assert "还没有订单" in (await mei.says("订单")).text


async def test_an_order_pays_the_freight_of_its_province_and_a_new_template_takes_the_old_one_s_place(
    town: Town,
) -> None:
    await _put_up(town, Tariff(PIECE, (FAR,)))
    await _put_up(town, Tariff(PIECE, (HERE,)))
    glance = FreightGlance(town.stage.house.store.reader)
    assert await glance.tariff(FIGURES) == Tariff(PIECE, (HERE,))
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("地址 张三 13800138000 浙江省杭州市西湖区文三路1号")
    await mei.says("买 A11 x2")
    placed = await mei.says("1")
    assert "运费 ¥7" in placed.text
    assert "再买 ¥12 包邮" in placed.text


def test_a_template_is_read_out_of_what_a_merchant_types() -> None:
    assert read_tariff("首1件6元 续1件1元 满50包邮 ; 新疆、西藏 首1件20元 续1件5元") == Tariff(
        PIECE,
        (Zone((), 1, 600, 1, 100, 5000), Zone((XINJIANG, "西藏自治区"), 1, 2000, 1, 500)),
    )
    assert read_tariff("浙江 首1公斤10元 续500克3元") == Tariff(WEIGHT, (Zone(("浙江省",), 1000, 1000, 500, 300),))
    assert read_tariff("8元 满99包邮") == Tariff(PIECE, (Zone((), 1, 800, free_from_fen=9900),))


@pytest.mark.parametrize(
    "said", ["随便", "火星 首1件8元", "首1件8元 续1公斤2元", "8元;9元", "浙江 8元;浙江 9元", "满99包邮"]
)
def test_a_template_that_does_not_read_is_refused(said: str) -> None:
    with pytest.raises(FreightUnclear):
        read_tariff(said)


async def test_a_merchant_sets_the_freight_with_four_digits_and_takes_it_back(town: Town) -> None:
    boss = await town.owner()
    asked = (await boss.says("设运费 浙江 首1件6元 续1件1元")).text
    assert "没写到的省份就不送了" in asked
    assert "运费改好了" in (await boss.says(f"确认 {asked.rsplit('确认 ', 1)[1][:4]}")).text
    assert "浙江省：首 1 件 ¥6，续 1 件 ¥1" in (await boss.says("运费表")).text
    asked = (await boss.says("设运费 恢复")).text
    await boss.says(f"确认 {asked.rsplit('确认 ', 1)[1][:4]}")
    assert "全国：一单 ¥8，满 ¥99 包邮" in (await boss.says("运费表")).text
