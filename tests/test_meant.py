"""Which order, and what about it: goods that are named, a reason beside the word, a worry that is no complaint."""

import pytest
from follower import Follower
from sqlalchemy import select
from test_aftersale import arrived, confirms, paid, states
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


async def test_goods_that_are_not_in_the_order_that_was_named_are_asked_about_and_not_applied_for(town: Town) -> None:
    mei, first, second = await two_orders(town)
    asked = await mei.says(f"退款 {second} 菊花不要了")
    assert f"订单 {first} 还没发出" in asked.text
    assert await states(town) == []


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
    await mei.says("不想要了")
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


@pytest.mark.parametrize("words", ["瓜子不要了", "蜂蜜不要了", "龙井不要了", "龙井退款"])
async def test_goods_that_were_never_bought_take_no_other_order_for_theirs(town: Town, words: str) -> None:
    mei = await customer(town, "小美")
    await paid(town, mei)
    await mei.says(words)
    await mei.says("不想要了")
    assert await states(town) == []


async def test_goods_of_an_order_that_is_not_paid_are_only_cancelled(town: Town) -> None:
    mei = await customer(town, "小美")
    await paid(town, mei)
    await mei.says("买 A1")
    unpaid = number(await mei.says("1"))
    assert f"订单 {unpaid} 还没付款，直接取消就好" in (await mei.says("龙井不要了")).text
    assert await states(town) == []


@pytest.mark.parametrize(
    "words", ["退款太慢了", "退款不需要了", "退款点错了", "我退款后悔了", "退款不要了", "胎菊不退了", "胎菊已经退了"]
)
async def test_words_about_a_refund_ask_for_none(town: Town, words: str) -> None:
    mei = await customer(town, "小美")
    await paid(town, mei)
    await mei.says(words)
    assert await states(town) == []


@pytest.mark.parametrize(
    "words",
    [
        "寄到上海市浦东新区世纪大道100号多少钱",
        "发票寄到李四 13900139000 上海市浦东新区世纪大道200号",
        "送个礼给李四 13900139000 上海市浦东新区世纪大道200号",
        "你们能不能寄到李四 13900139000 上海市浦东新区世纪大道200号",
        "客服电话是13900139000吗",
        "快递员电话13900139000是他吗",
        "收货人是不是张三",
        "收货人是对的",
        "名字是真的好听",
        "名字写错了",
        "收件人填错了帮我改一下",
        "姓名不对要改",
        "收货人换一个",
        "寄件人写李四 13900139000 上海市浦东新区世纪大道100号",
        "发货前打电话13900139000",
    ],
)
async def test_what_only_sounds_like_another_address_changes_none(town: Town, words: str) -> None:
    mei = await customer(town, "小美")
    no = await paid(town, mei)
    await mei.says(words)
    rows = await town.stage.house.store.reader.all(select(Order.receiver, Order.phone, Order.detail))
    assert [tuple(row) for row in rows] == [("张三", "13800138000", "文三路1号")]
    assert f"订单 {no}" in (await mei.says(f"订单 {no}")).text


@pytest.mark.parametrize("words", ["备注看见了没", "备注不要了", "备注取消", "备注多少字", "备注还没写", "备注一下吧"])
async def test_talk_about_a_note_is_none(town: Town, words: str) -> None:
    mei = await customer(town, "小美")
    no = await paid(town, mei)
    await mei.says(f"备注 {no} 放门口")
    await mei.says(words)
    (row,) = await town.stage.house.store.reader.all(select(Order.note))
    assert row.note == "放门口"


@pytest.mark.parametrize("words", ["给我便宜点", "那就便宜点", "便宜点就行"])
async def test_who_haggles_has_chosen_nothing(town: Town, words: str) -> None:
    mei = await customer(town, "小美")
    await mei.says(f"地址 {WHERE}")
    await mei.says("买 A11")
    await mei.says(words)
    assert await town.stage.house.store.reader.all(select(Order.id)) == []


async def test_what_was_just_cancelled_is_not_the_only_order_a_change_may_mean(town: Town) -> None:
    mei = await customer(town, "小美")
    first = await paid(town, mei)
    await mei.says("买 A1")
    await mei.says("1")
    await mei.says("取消")
    listed = await mei.says("改地址 李四 13900139000 上海市浦东新区世纪大道100号")
    assert first in listed.text
    assert f"订单 {first} 改寄" in (await mei.says("2")).text


@pytest.mark.parametrize("no_word", ["取消", "算了", "不改了", "不用了"])
async def test_a_no_drops_the_command_of_staff_that_waits(town: Town, no_word: str) -> None:
    boss = await town.owner()
    await boss.says("上架 龙井250g 88 库存50")
    assert "回 确认" in (await boss.says("好")).text
    assert "没有做" in (await boss.says(no_word)).text
    assert "没有等着确认的事" in (await boss.says("确认")).text


@pytest.mark.parametrize("words", ["四个朋友聚会吃的瓜子", "两个大人一个小孩喝的花茶"])
async def test_people_are_no_number_of_pieces(town: Town, words: str) -> None:
    mei = await customer(town, "小美")
    assert "4 份" not in (found := (await mei.says(words)).text)
    assert "2 份" not in found


@pytest.mark.parametrize("words", ["别再给我推了", "千万别再给我推了", "不要再给我推销了", "能不能别老推"])
async def test_an_exit_in_any_of_these_words_stops_everything(town: Town, words: str) -> None:
    mei = await customer(town, "小美")
    await mei.says("订阅 龙井")
    assert "以后不再给您发推送" in (await mei.says(words)).text


async def test_what_was_broken_is_no_wish_for_the_packing(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei)
    await boss.says(f"发货 {no} SF1234567890")
    assert "桐乡胎菊" in (await mei.says("上次轻拿轻放都没做到，盖子都碎了")).text


async def test_the_shop_s_own_parcel_is_no_return_and_a_wrong_number_is_put_right(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await arrived(town, boss, mei)
    sent = "SF1234567890"
    await mei.says(f"退款 {no} 不想要了")
    await confirms(boss, f"同意 {no}")
    for words in (sent, f"你们寄给我的是{sent}", "913301067312345"):
        await mei.says(words)
        assert (await states(town))[-1] == "agreed", words
    await mei.says("退货单号 SF9999567890123")
    assert "SF9999567890124" in (await mei.says("退货单号 SF9999567890124")).text
    assert "SF9999567890124" in (await mei.says("售后")).text
