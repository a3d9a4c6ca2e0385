"""Which order, and what about it: goods that are named, a reason beside the word, a worry that is no complaint."""

import pytest
from follower import Follower
from sqlalchemy import select
from test_aftersale import paid, states
from test_sale import GREEN, WHERE, broken, customer, number, told
from town import Town

from models.order import Order


async def two_orders(town: Town) -> tuple[Follower, str, str]:
    """A buyer, and two paid orders: of 胎菊, and of 碧螺春, which is on screen."""
    mei = await customer(town, "小美")
    first = await paid(town, mei)
    second = await paid(town, mei, "买 A2", "1")
    assert second in (await mei.says(f"订单 {second}")).text
    return mei, first, second


@pytest.mark.parametrize("words", ["菊花到哪了", "桐乡胎菊发货了吗", "A11怎么还不发货"])
async def test_the_goods_that_are_named_say_which_parcel_is_asked_about(town: Town, words: str) -> None:
    mei, first, _ = await two_orders(town)
    assert f"订单 {first}" in (await mei.says(words)).text


@pytest.mark.parametrize(
    "words", ["菊花不要了，碧螺春照发", "碧螺春照发，桐乡胎菊不要了", "退款 胎菊", "把菊花退了吧", "胎菊退款"]
)
async def test_the_goods_that_are_named_say_what_goes_back(town: Town, words: str) -> None:
    mei, first, _ = await two_orders(town)
    asked = await mei.says(words)
    asked = await mei.says("1") if "想退款" in asked.text else asked
    assert f"订单 {first} 还没发出" in asked.text
    assert "桐乡胎菊 50g 罐装 ×1 的退款申请" in (await mei.says("1")).text


async def test_what_is_wrong_with_other_goods_is_not_about_those_that_were_asked_about(town: Town) -> None:
    boss = await town.owner()
    mei, first, second = await two_orders(town)
    for no in (first, second):
        await boss.says(f"发货 {no} SF1234567890")
    assert "碧螺春" in (await mei.says(f"退款 {second}")).text
    asked = await mei.says("桐乡胎菊坏了")
    assert "桐乡胎菊" in asked.text
    assert "碧螺春" not in asked.text
    await mei.says("1")
    await town.settles()
    assert "新售后 " + first in told(boss)


@pytest.mark.parametrize("words", ["退款 不想要了", "退款 买错了", "我要退款，买错了", "退货，不喜欢"])
async def test_a_reason_may_stand_beside_the_word_for_a_refund(town: Town, words: str) -> None:
    mei = await customer(town, "小美")
    await paid(town, mei)
    assert "退款申请递给店主了" in (await mei.says(words)).text


@pytest.mark.parametrize("words", ["退款多久到账", "退款怎么还没到", "龙井能退吗", "菊花怎么退"])
async def test_a_question_about_refunds_asks_for_none(town: Town, words: str) -> None:
    mei = await customer(town, "小美")
    await paid(town, mei)
    await mei.says(words)
    assert await states(town) == []


@pytest.mark.parametrize("words", ["千万别压坏了", "别给我发错了", "是不是少了一盒", "坏了", "上次买的坏了"])
async def test_nobody_knows_what_is_wrong_with_what_has_not_left(town: Town, words: str) -> None:
    """A worry, or about something else: nothing is applied for."""
    mei = await customer(town, "小美")
    await paid(town, mei)
    await mei.says(words)
    assert await states(town) == []
    await town.later(hours=49)
    (row,) = await town.stage.house.store.reader.all(select(Order.state))
    assert row.state == "paid"


async def test_a_worry_may_be_written_on_the_order(town: Town) -> None:
    mei = await customer(town, "小美")
    assert "下单以后" in (await mei.says("麻烦包结实点")).text
    no = await paid(town, mei)
    assert f"写进订单 {no} 的备注" in (await mei.says("千万别压坏了")).text
    assert "记下了备注：千万别压坏了" in (await mei.says("1")).text
    assert "现在是：千万别压坏了" in (await mei.says("别给我发错了")).text


async def test_the_late_order_is_the_one_that_is_asked_about(town: Town) -> None:
    """Its buyer has just been told that it is late; the newer one is not what they mean."""
    await town.owner()
    mei = await customer(town, "小美")
    late = await paid(town, mei)
    await town.later(hours=40)
    await paid(town, mei, "买 A2", "1")
    await town.later(hours=9)
    assert f"订单 {late}" in (await mei.says("怎么还不发货")).text


async def test_a_code_in_a_question_is_what_it_is_about(town: Town) -> None:
    mei = await customer(town, "小美")
    await mei.says("看 A2")
    for question in ("A11多少钱", "a11怎么泡", "Ａ１１保质期"):
        assert "桐乡胎菊" in (await mei.says(question)).text


async def test_a_list_of_what_to_cancel_that_was_left_cancels_nothing(town: Town) -> None:
    mei = await customer(town, "小美")
    await mei.says("买 A11")
    await mei.says("1")
    await mei.says(WHERE)
    await mei.says("买 A2")
    second = number(await mei.says("1"))
    assert second not in (await mei.says("取消")).text.splitlines()[0]
    await mei.says("不用了")
    assert "已取消" not in (await mei.says("2")).text
    rows = await town.stage.house.store.reader.all(select(Order.state))
    assert {row.state for row in rows} == {"pending"}
    assert not await broken(town)


async def test_a_question_is_no_note(town: Town) -> None:
    mei = await customer(town, "小美")
    no = await paid(town, mei, GREEN)
    assert f"想在订单 {no} 上写什么" in (await mei.says("想加个备注")).text
    assert "记下了备注" not in (await mei.says("快递到哪了")).text
    assert "记下了备注：不要放快递柜" in (await mei.says("加个备注 不要放快递柜")).text
    assert "记下了备注：不要红色的" in (await mei.says("备注不要红色的")).text
    assert "记下了备注" not in (await mei.says("备注里写了什么")).text


async def test_an_address_with_its_labels_answers_the_question_where_to(town: Town) -> None:
    """电话 in it is no question for the shop's phone."""
    mei = await customer(town, "小美")
    await mei.says("买 A11")
    await mei.says("1")
    placed = await mei.says("张三，电话 13800138000，地址浙江省杭州市西湖区文三路1号，麻烦发顺丰")
    assert "寄到 张三 13800138000 浙江省杭州市西湖区文三路1号" in placed.text


async def test_where_the_parcel_is_may_be_asked_while_an_address_is_asked_for(town: Town) -> None:
    mei = await customer(town, "小美")
    await mei.says("买 A11")
    await mei.says("1")
    await mei.says("发货了吗")
    assert "合计 ¥27" in (await mei.says(WHERE)).text
