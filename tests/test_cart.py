"""The cart: lines by number, sums, freight; a number that means something else by now does nothing."""

import asyncio
import re

import pytest
from follower import Follower
from sqlalchemy import text
from test_aftersale import confirms
from town import Town

from models.cart import Basket, InCart

WHERE = "张三 13800138000 浙江省杭州市西湖区文三路1号"


def line(**other: object) -> InCart:
    usual: dict[str, object] = {
        "sku_id": 1,
        "product": "A1",
        "name": "龙井",
        "label": "",
        "spec": 1,
        "quantity": 1,
        "price_fen": 5000,
        "left": 10,
        "on_sale": True,
        "ships": True,
    }
    return InCart(**(usual | other))  # type: ignore[arg-type]


def test_what_cannot_be_bought_is_not_in_the_sum() -> None:
    basket = Basket((line(), line(spec=2, left=0), line(spec=3, on_sale=False), line(spec=4, quantity=11)))
    assert basket.sum_fen == 5000
    assert [one.trouble for one in basket.lines] == ["", "out", "off", "few"]


async def filled(person: Follower) -> None:
    """A cart of 3 罐 龙井 (A1-2, ¥88) and 2 袋 碧螺春 (A2-1, ¥45)."""
    for said in ("加 A1 x3", "2", "加 A2 x2", "1"):
        await person.says(said)


async def test_a_spec_is_asked_for_and_the_same_spec_is_one_line(town: Town) -> None:
    mei = town.wechat("小美")
    assert "哪一种" in (await mei.says("加 A1")).text
    await mei.says("2")
    await mei.says("加 A1 x2")
    assert "一共 3" in (await mei.says("250g 罐装")).text
    assert "×3 ¥264" in (await mei.says("购物车")).text


async def test_the_cart_sums_up_and_says_what_is_missing_to_free_freight(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.says("加 A2")
    await mei.says("1")
    shown = (await mei.says("购物车")).text
    assert "1 件，¥45，运费 ¥8，再买 ¥54 包邮" in shown


async def test_what_does_not_ship_costs_no_freight(town: Town) -> None:
    mei = town.wechat("小美")
    async with town.stage.house.store.engine.begin() as connection:
        await connection.execute(text("UPDATE product SET ships = (1 = 0) WHERE code = 'A2'"))
    await mei.says("加 A2")
    await mei.says("1")
    assert "1 件，¥45，免运费" in (await mei.says("购物车")).text


async def test_the_cart_costs_what_its_order_will_cost(town: Town) -> None:
    """By the template in force, where this person lives, less what is taken off now."""
    boss, mei = await town.owner(), town.wechat("小美")
    await confirms(boss, "设运费 首1件8元 续1件2元 满99包邮; 新疆 首1件20元")
    await confirms(boss, "限时 A1 7折 到 明天")
    await mei.says("地址 张三 13800138000 新疆维吾尔自治区喀什市人民路1号")
    await filled(mei)
    shown = (await mei.says("购物车")).text
    assert "5 件，¥354，限时7折 -¥79.2，运费 ¥20\n" in shown
    placed = (await mei.says("结算")).text
    assert "限时7折 -¥79.2" in placed
    assert "运费 ¥20" in placed


async def test_freight_is_free_only_from_what_is_left_after_discounts(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    await confirms(boss, "限时 A1 8折 到 明天")
    await mei.says("加 A1")
    await mei.says("3")
    assert "1 件，¥118，限时8折 -¥23.6，运费 ¥8，再买 ¥4.6 包邮" in (await mei.says("购物车")).text
    assert "还差 ¥4.6" in (await mei.says("包邮吗")).text


async def test_a_cart_that_goes_nowhere_says_so(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    await confirms(boss, "设运费 浙江 首1件8元")
    await mei.says("地址 张三 13800138000 新疆维吾尔自治区喀什市人民路1号")
    await mei.says("加 A2")
    await mei.says("1")
    assert "新疆维吾尔自治区暂时寄不到" in (await mei.says("购物车")).text


async def test_lines_are_changed_and_taken_out_by_their_number(town: Town) -> None:
    mei = town.wechat("小美")
    await filled(mei)
    await mei.says("购物车")
    assert "明前龙井 250g 罐装 ×1 ¥88" in (await mei.says("改 1 x1")).text
    left = (await mei.says("删 1")).text
    assert "明前龙井" not in left
    assert "洞庭碧螺春" in left


async def test_a_line_that_is_taken_out_twice_at_once_takes_no_other_with_it(town: Town) -> None:
    """The second 1 was read off the list before; three seconds later it is the list that is shown now."""
    mei = town.wechat("小美")
    await filled(mei)
    await mei.says("购物车")
    await asyncio.gather(mei.says("删 1"), mei.says("删 1"))
    assert "洞庭碧螺春" in (await mei.says("购物车")).text
    await town.later(seconds=2)
    again = (await mei.says("删 1")).text
    assert "还没动" in again
    assert "洞庭碧螺春" in again
    assert "改好了" in (await mei.says("改 1 x3")).text, "nobody changes how many of what has just been taken out"
    await town.later(seconds=2)
    assert "空的" in (await mei.says("删 1")).text


@pytest.mark.parametrize(
    "said", ["第1个改成3个", "1改成3个", "改 1 3", "把第一个改成三份吧", "第一个数量改到3", "把1改3"]
)
async def test_a_line_is_changed_in_one_s_own_words(town: Town, said: str) -> None:
    mei = town.wechat("小美")
    await mei.says("加 A2 x2")
    await mei.says("1")
    await mei.says("购物车")
    assert "洞庭碧螺春 100g 袋装 ×3" in (await mei.says(said)).text


@pytest.mark.parametrize("said", ["把第一个删了", "删掉第1个", "不要第一个", "第一个不要了", "第1个删掉吧", "去掉1"])
async def test_a_line_is_taken_out_in_one_s_own_words(town: Town, said: str) -> None:
    mei = town.wechat("小美")
    await filled(mei)
    await mei.says("购物车")
    left = (await mei.says(said)).text
    assert "明前龙井" not in left
    assert "洞庭碧螺春" in left


async def test_without_a_number_it_is_the_only_line_or_the_one_that_is_asked_about(town: Town) -> None:
    mei = town.wechat("小美")
    await filled(mei)
    await mei.says("购物车")
    assert "再说一次" in (await mei.says("改成3")).text
    await mei.says("2")
    assert "洞庭碧螺春 100g 袋装 ×3" in (await mei.says("改成3份")).text
    await mei.says("删 2")
    await town.later(seconds=5)
    assert "明前龙井 250g 罐装 ×2" in (await mei.says("改成2")).text


async def test_what_was_not_understood_does_not_take_the_cart_s_numbers_away(town: Town) -> None:
    mei = town.wechat("小美")
    await filled(mei)
    await mei.says("购物车")
    assert "没听懂" in (await mei.says("这个咋整才好呢您说")).text
    assert "明前龙井 250g 罐装 ×5" in (await mei.says("改1x5")).text
    await mei.says("商品")
    assert "明前龙井 250g 罐装 ×4" in (await mei.says("改1x4")).text
    await town.later(minutes=31)
    assert "再说一次" in (await mei.says("改1x3")).text


async def test_a_question_about_the_cart_changes_nothing(town: Town) -> None:
    mei = town.wechat("小美")
    await filled(mei)
    before = (await mei.says("购物车")).text
    for words in ("第一个删掉了吗？", "第1个改成3个吗", "A11两罐吗？"):
        await mei.says(words)
    assert (await mei.says("购物车")).text == before


async def test_not_the_second_one_is_no_line_of_the_cart_while_goods_are_on_screen(town: Town) -> None:
    mei = town.wechat("小美")
    await filled(mei)
    await mei.says("购物车")
    await mei.says("商品")
    await mei.says("不要第2个")
    assert "洞庭碧螺春" in (await mei.says("购物车")).text


@pytest.mark.parametrize("said", ["加两个到购物车", "购物车加两个", "加2份进购物车", "加 x2", "再加两份", "add x2"])
async def test_so_many_of_what_is_on_screen_go_into_the_cart(town: Town, said: str) -> None:
    mei = town.wechat("小美")
    await mei.says("看 A2")
    await mei.says(said)
    assert "洞庭碧螺春 100g 袋装 ×2" in (await mei.says("1")).text


@pytest.mark.parametrize("said", ["加", "add"])
async def test_what_goes_into_the_cart_may_be_left_out_when_it_is_on_screen(town: Town, said: str) -> None:
    mei = town.wechat("小美")
    assert "哪一样" in (await mei.says(said)).text
    await mei.says("看 A2")
    await mei.says(said)
    assert "放进购物车了：洞庭碧螺春 100g 袋装 ×1" in (await mei.says("1")).text


async def test_so_many_more_is_no_cart_while_an_order_asks(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.says("买 A2")
    assert "（要 2 份）" in (await mei.says("加2盒")).text
    assert "购物车还是空的" in (await mei.says("购物车")).text


async def test_a_number_is_no_line_while_another_list_is_on_screen(town: Town) -> None:
    mei = town.wechat("小美")
    await filled(mei)
    await mei.says("商品")
    again = (await mei.says("删 1")).text
    assert "再说一次" in again
    assert "明前龙井" in again


async def test_a_line_whose_price_has_changed_is_shown_again_and_not_changed(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    await filled(mei)
    await mei.says("购物车")
    asked = (await boss.says("改价 A1-2 80")).text
    found = re.search(r"确认 (\d{4})", asked)
    assert found
    await boss.says(found[0])
    answer = (await mei.says("改 1 x5")).text
    assert "还没动" in answer
    assert "×3 ¥240" in answer
    assert "×5 ¥400" in (await mei.says("改 1 x5")).text  # now it is the line that was shown


async def test_a_bare_number_on_the_cart_asks_how_many(town: Town) -> None:
    mei = town.wechat("小美")
    await filled(mei)
    await mei.says("购物车")
    assert "改成几份" in (await mei.says("2")).text
    assert "洞庭碧螺春 100g 袋装 ×5" in (await mei.says("5")).text


async def test_more_than_there_is_does_not_go_in(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.says("加 A2 x4")
    assert "只剩 3" in (await mei.says("2")).text
    assert "空的" in (await mei.says("购物车")).text


async def test_more_than_there_is_is_refused_for_a_line_too(town: Town) -> None:
    mei = town.wechat("小美")
    await filled(mei)
    await mei.says("购物车")
    assert "只剩 40" in (await mei.says("改 2 x41")).text
    assert "×2" in (await mei.says("购物车")).text


async def test_no_line_holds_more_than_an_order_may(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.says("加 A6 x60")
    await mei.says("1")
    await mei.says("加 A6 x40")
    assert "最多买 99" in (await mei.says("1")).text
    assert "×60" in (await mei.says("购物车")).text


async def test_clearing_takes_everything_out(town: Town) -> None:
    mei = town.wechat("小美")
    await filled(mei)
    await mei.says("清空")
    assert "空的" in (await mei.says("购物车")).text


async def test_nobody_sees_another_ones_cart(town: Town) -> None:
    await filled(town.wechat("小美"))
    assert "空的" in (await town.wechat("小红").says("购物车")).text


async def test_the_till_takes_the_whole_cart_and_leaves_it_empty(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.says(f"地址 {WHERE}")
    await filled(mei)
    order = (await mei.says("结算")).text
    assert "明前龙井 250g 罐装 ×3" in order
    assert "洞庭碧螺春 100g 袋装 ×2" in order
    assert "¥354" in order
    assert "空的" in (await mei.says("购物车")).text


async def test_a_cart_waits_while_the_address_is_asked(town: Town) -> None:
    mei = town.wechat("小美")
    await filled(mei)
    await mei.says("结算")
    assert "明前龙井" in (await mei.says("购物车")).text


async def test_nothing_is_ordered_while_a_line_cannot_be_bought(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    await mei.says(f"地址 {WHERE}")
    await filled(mei)
    await boss.says("下架 A2")
    answer = (await mei.says("结算")).text
    assert "已下架" in answer
    assert "合计" not in answer
    await mei.says("删 2")
    assert "合计 ¥264" in (await mei.says("结算")).text


async def test_a_cart_fits_into_the_room_of_weibo(town: Town) -> None:
    lin = town.weibo("小林")
    await lin.follows()
    for code in ("A1", "A2", "A4", "A6"):
        await lin.says(f"加 {code}")
        await lin.says("1")
    await lin.says("购物车")
    await town.settles()
    assert "祁门红茶" in lin.inbox[-1].text
