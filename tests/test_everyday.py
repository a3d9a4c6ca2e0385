"""Asked about one's own order in passing: the parcel, the money, a second thought; answered from that order."""

from datetime import timedelta

from test_fulfilment import digits
from test_sale import GREEN, WHERE, broken, customer, number, orders, told
from town import Town

ELSEWHERE = "李四 13900139000 上海市浦东新区世纪大道100号"


async def _minute(town: Town) -> None:
    """So that nobody has said too much in one minute."""
    await town.stage.house.move_clock(timedelta(minutes=1))


async def test_a_second_thought_goes_straight_to_what_is_to_be_changed(town: Town) -> None:
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    await town.settles()
    no = number(placed)
    for said in ("收货信息错了", "电话填错了", "地址写错了", "能换个地址吗"):
        assert f"订单 {no} 改寄哪里" in (await mei.says(said)).text
        await mei.says("算了")
    for said in ("要大包的", "换成250g的", "换个口味"):
        assert "换成哪种" in (await mei.says(said)).text
        await mei.says("算了")
    assert "写什么" in (await mei.says("备注一下")).text
    await mei.says("算了")
    assert "还没打包，都还能改" in (await mei.says("不要了")).text
    assert "待发货" in (await mei.says(f"订单 {no}")).text, "nothing is cancelled by the way"


async def test_an_address_behind_any_wording_of_change_goes_to_the_order_and_not_into_the_book(town: Town) -> None:
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    await town.settles()
    for said in (f"改地址{ELSEWHERE}", f"改地址：{ELSEWHERE}", f"帮我改寄{ELSEWHERE}", f"地址改成 {ELSEWHERE}"):
        assert f"改寄：\n{ELSEWHERE}" in (await mei.says(said)).text
    assert "李" not in (await mei.says("地址")).text
    assert "备注：放门口" in (await mei.says("備註：放门口")).text


async def test_a_change_without_a_number_reaches_the_packed_order_too(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    await town.settles()
    await boss.says(f"面单 {number(placed)}")
    await town.later(minutes=11)
    assert "店主看到之前不会发出" in (await mei.says(f"改地址 {ELSEWHERE}")).text
    await boss.says(f"面单 {number(placed)}")
    await boss.says(f"发货 {number(placed)} SF1234567890")
    await town.later(minutes=11)
    asked = (await mei.says(f"改地址 {WHERE}")).text
    assert "已经发出" in asked
    assert WHERE in asked
    assert not await broken(town)


async def test_a_late_parcel_is_apologised_for_with_the_new_time(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    await town.later(hours=49)
    await mei.says("你好")
    late = (await mei.says("发货了吗")).text
    assert "说好 3月4日 12:00 前发出" in late
    assert "新的时间是 3月5日" in late
    assert "想退款" in late
    await town.settles()
    assert "买家在催" in (await boss.says("待发货")).text + told(boss)


async def test_a_parcel_of_several_is_told_in_full_and_other_orders_are_not_forgotten(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    for said in ("加 A1", "2", "加 A2", "1"):
        await mei.says(said)
    await mei.says("结算")
    split = await mei.says(WHERE)
    await mei.pays(split)
    await town.settles()
    await boss.says(f"发货 {number(split)} SF1111111111 行 2")
    asked = (await mei.says("到哪了")).text
    assert "SF1111111111" in asked
    assert "还有 明前龙井" in asked
    await town.later(minutes=11)
    await mei.pays(await orders(mei, GREEN))
    await town.settles()
    await _minute(town)
    assert "别的在走的订单" in (await mei.says("发货了吗")).text


async def test_the_way_of_money_back_is_told_with_amount_state_and_days(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    assert "没看到您有退款" in (await mei.says("钱退了吗")).text
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    await town.settles()
    no = number(placed)
    await boss.says(f"确认 {digits((await boss.says(f'取消 {no} 缺货')).text)}")
    assert f"订单 {no} 的 ¥27 正在原路退回" in (await mei.says("退款到哪了")).text
    await town.later(minutes=2)
    await town.later(minutes=2)
    back = (await mei.says("钱退了吗")).text
    assert f"订单 {no} 的 ¥27 3月2日 12:04 已原路退回" in back
    assert "1–3 个工作日" in back


async def test_words_that_hold_an_order_s_number_are_about_it_and_never_searched(town: Town) -> None:
    mei, lin = await customer(town, "小美"), await customer(town, "小林")
    no = number(await orders(mei, GREEN))
    assert f"订单 {no} · 待付款" in (await mei.says(f"帮看看{no}这个")).text
    assert f"您的订单里没有 {no}" in (await lin.says(f"收款 {no}")).text


async def test_a_question_that_names_an_order_is_answered_about_that_one(town: Town) -> None:
    """K7M2P9QA到哪了 was answered about the newest order, whichever was named."""
    mei, hao = await customer(town, "小美"), await customer(town, "小浩")
    first, second = await orders(mei, GREEN), await orders(mei, "买 A2")
    await mei.pays(first)
    await mei.pays(second)
    await town.settles()
    for said in ("{}到哪了", "订单号{}", "催一下{}", "{} 付了", "{}不要了"):
        for no in (number(first), number(second)):
            assert (await mei.says(said.format(no))).text.startswith(f"订单 {no}"), said
        await _minute(town)
    await mei.says(f"订单 {number(second)}")
    assert f"订单 {number(first)} 改寄哪里" in (await mei.says(f"{number(first)} 换个地址")).text
    theirs = number(await orders(hao, GREEN))
    assert f"没找到订单 {theirs}" in (await mei.says(f"{theirs}到哪了")).text
    assert not await broken(town)


async def test_when_it_leaves_is_told_before_one_pays(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    assert "付款后 48 小时内发货" in (await mei.says("看 A11")).text
    assert "付款后 48 小时内发出" in (await orders(mei, GREEN)).text
    await boss.says("打烊 到3月10日 春茶上山")
    await boss.says("确认")
    assert "店里在休息，3月11日起 48 小时内发货" in (await mei.says("看 A11")).text
    placed = await orders(mei, "买 A11 x2")
    for said in (f"付款 {number(placed)}", f"订单 {number(placed)}"):
        assert "店里在休息，3月11日起 48 小时内发出" in (await mei.says(said)).text
    assert "3月11日起" in (await mei.says("几天能到")).text


async def test_who_wants_to_be_forgotten_is_asked_once_and_waits_for_orders_and_refunds(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    await mei.says("订阅 龙井")
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    await town.settles()
    no = number(placed)
    assert "1 个订单没走完" in (await mei.says("注销")).text
    assert "走完了才能注销" in (await mei.says("注销确认")).text
    await mei.says("你好")
    await boss.says(f"确认 {digits((await boss.says(f'取消 {no} 缺货')).text)}")
    assert "1 笔退款在路上" in (await mei.says("注销")).text
    await town.later(minutes=2)
    await town.later(minutes=2)
    assert "注销确认" in (await mei.says("注销")).text
    assert "138****8000" in (await mei.says("地址")).text, "nothing is erased by one word"
    told(boss)
    assert "地址簿清空了" in (await mei.says("注销确认")).text
    assert "还没有您的收货地址" in (await mei.says("地址")).text
    assert "龙井" not in (await mei.says("我的订阅")).text
    await town.settles()
    assert "要注销" in told(boss)
    assert not await broken(town)


async def test_of_an_order_that_nobody_paid_no_money_is_said_to_have_come(town: Town) -> None:
    """付不了款 was answered 已取消，款已收到."""
    mei = await customer(town, "小美")
    no = number(await orders(mei, GREEN))
    assert "取消订单" in (await mei.says("不付了")).text
    await mei.says("取消")
    for said in ("付不了款", "付了没"):
        asked = (await mei.says(said)).text
        assert f"订单 {no}" in asked
        assert "没有收到过付款" in asked
    assert "已取消" in (await mei.says(f"备注 {no}")).text
    assert "想在订单" not in (await mei.says("备注")).text, "nothing is written on what is over"


async def test_of_an_order_that_was_paid_back_one_hears_where_the_money_is(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    placed = await orders(mei, GREEN)
    await mei.pays(placed)
    await town.settles()
    asked = (await boss.says(f"取消 {number(placed)} 没货了")).text
    await boss.says(f"确认 {digits(asked)}")
    await town.settles()
    assert f"订单 {number(placed)} 的 ¥27" in (await mei.says("付了没")).text


async def test_whose_order_ran_out_may_have_it_again_with_one_number(town: Town) -> None:
    mei = await customer(town, "小美")
    no = number(await orders(mei, GREEN))
    await town.later(minutes=40)
    late = await mei.says(f"付款 {no}")
    assert "已取消" in late.text
    again = await mei.says("1")
    assert number(again) != no
    assert "/pay/" in again.text


async def test_who_has_an_address_is_not_told_that_there_is_none(town: Town) -> None:
    mei = town.wechat("小美")
    assert "还没有您的收货地址" in (await mei.says("改地址")).text
    await mei.says(WHERE)
    assert "还没有" not in (await mei.says("改地址")).text
    assert "李四" in (await mei.says(ELSEWHERE)).text
