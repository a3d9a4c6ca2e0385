"""Money past the cashier: a shop without WeChat Pay takes it by hand (收款) and gives it back so (已退)."""

import re
from typing import Any

import pytest
from follower import Follower
from sqlalchemy import select, text
from test_aftersale import figures
from test_sale import GREEN, broken, customer, number, orders, told
from town import Town

from bot.settings import Service
from bot.simulator import stage
from models.ledger import LedgerGlance
from models.payment import Payment
from models.refund import Refund

HOW = "微信转账给店主（张三）"


@pytest.fixture
def no_cashier(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shop has no [wechat_pay]; it says how to pay the shop itself."""
    usual = stage.settings_of

    def without(*given: Any, **more: Any) -> Any:
        return usual(*given, **more).model_copy(update={"wechat_pay": None, "service": Service(pay_words=HOW)})

    monkeypatch.setattr(stage, "settings_of", without)


by_hand = pytest.mark.usefixtures("no_cashier")  # before `town` opens its doors


def digits(words: str) -> str:
    found = re.search(r"确认 ([0-9]{4})", words)
    assert found, words
    return found[1]


async def collects(boss: Follower, no: str) -> str:
    return (await boss.says(f"确认 {digits((await boss.says(f'收款 {no}')).text)}")).text


async def balances(town: Town) -> dict[str, int]:
    return await LedgerGlance(town.stage.house.store.reader).balances()


async def payments(town: Town) -> list[tuple[str, str, int]]:
    rows = await town.stage.house.store.reader.all(select(Payment.source, Payment.state, Payment.amount_fen))
    return [tuple(row) for row in rows]


@by_hand
async def test_without_a_cashier_an_order_says_how_to_pay_the_shop_and_gives_no_dead_link(town: Town) -> None:
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    assert f"请直接付给店家：{HOW}" in placed.text
    assert "/pay/" not in placed.text + (await mei.says("付款")).text
    assert HOW in (await mei.says("怎么付款")).text
    code = await town.stage.house.store.reader.one(text('SELECT pay_code FROM "order"'))
    assert code is not None
    page = await mei.opens(f"/pay/{code.pay_code}")
    assert "直接收款" in page.text
    assert "<button" not in page.html


@by_hand
async def test_money_in_hand_pays_the_order_when_four_digits_confirm_it(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = number(await orders(mei, GREEN))
    assert "请店家核对" in (await mei.says("我付了")).text
    await mei.says("付了没")
    await town.settles()
    assert told(boss).count(f"收款 {no}") == 1, "staff are asked once an hour"
    asked = (await boss.says(f"收款 {no}")).text
    assert "应收 ¥27" in asked
    assert "四位" in (await boss.says("确认")).text
    assert "待付款" in (await mei.says(f"订单 {no}")).text
    assert "算已付款" in (await boss.says(f"确认 {digits(asked)}")).text
    await town.settles()
    assert "收到您的付款 ¥27" in told(mei)
    assert no in told(boss), "to be shipped like any other"
    assert await payments(town) == [("hand", "credited", 2700)]
    assert (await balances(town))["hand"] == 2700
    assert "takemoneynow" in (await boss.says("日志")).text
    assert "不用再付款" in (await boss.says(f"收款 {no}")).text
    assert not await broken(town)


@by_hand
async def test_another_sum_than_the_order_costs_is_not_taken(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = number(await orders(mei, GREEN))
    assert "应收 ¥27，您说的是 ¥20" in (await boss.says(f"收款 {no} 20")).text
    assert "没有等着确认" in (await boss.says("确认 1234")).text
    assert "应收 ¥27" in (await boss.says(f"收款 {no} 27元")).text
    assert await payments(town) == []


@by_hand
async def test_wrong_digits_and_people_who_do_not_work_here_take_no_money(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = number(await orders(mei, GREEN))
    asked = (await boss.says(f"收款 {no}")).text
    wrong = "1000" if digits(asked) != "1000" else "1001"
    await boss.says(f"确认 {wrong}")
    await mei.says(f"收款 {no}")
    await mei.says(f"确认 {digits(asked)}")
    assert "待付款" in (await mei.says(f"订单 {no}")).text
    assert await payments(town) == []


@by_hand
async def test_an_order_waits_a_day_for_money_by_hand_and_is_then_closed(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = number(await orders(mei, GREEN))
    await town.later(hours=23)
    assert "待付款" in (await mei.says(f"订单 {no}")).text
    await town.later(hours=1, minutes=2)
    assert "已取消" in (await boss.says(f"收款 {no}")).text
    assert "请客人再下一单" in (await boss.says("收款")).text
    assert not await broken(town)


@by_hand
async def test_what_came_by_hand_goes_back_by_hand_and_is_booked_when_staff_say_so(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = number(await orders(mei, GREEN))
    await collects(boss, no)
    await boss.says(f"确认 {digits((await boss.says(f'取消 {no} 缺货')).text)}")
    await town.settles()
    assert "店家会退给您" in told(mei)
    told(boss)
    for _ in range(3):
        await town.later(minutes=61)
    assert told(boss).count("请退给客人 ¥27") == 1, "said once a day"
    await town.later(days=1)
    await boss.says("今日")
    assert "请退给客人 ¥27" in "".join(line.heard.text for line in boss.transcript[-3:])
    assert (await balances(town))["hand"] == 2700
    asked = (await boss.says("已退")).text
    assert "要退给客人 ¥27" in asked
    assert "记好了" in (await boss.says(f"确认 {digits(asked)}")).text
    await town.settles()
    assert "店家已退给您" in told(mei) + (await mei.says("订单")).text
    assert (await balances(town))["hand"] == 0
    assert "没有要您亲手退的钱" in (await boss.says(f"已退 {no}")).text
    assert not [one for one in await broken(town) if one.name != "inbox_forgotten"]


async def test_a_way_to_pay_that_is_open_at_the_cashier_is_closed_before_money_is_taken(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    placed = await orders(mei, GREEN)
    no = number(placed)
    page = await (await mei.opens(next(x for x in placed.links if "/pay/" in x.url))).presses_the_button()
    assert "先关掉那边" in (await boss.says(f"收款 {no}")).text
    assert "先去关掉那边" in await collects(boss, no)
    assert "待付款" in (await mei.says(f"订单 {no}")).text
    await town.settles()
    assert "算已付款" in await collects(boss, no)
    assert page.code_url
    assert [one.state for one in town.stage.cashier.books.orders.values()] == ["CLOSED"]
    assert await payments(town) == [("hand", "credited", 2700)]
    assert not await broken(town)


async def test_money_by_hand_is_never_asked_back_from_the_cashier(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = number(await orders(mei, GREEN))
    await collects(boss, no)
    await boss.says(f"确认 {digits((await boss.says(f'取消 {no} 缺货')).text)}")
    for _ in range(3):
        await town.later(minutes=10)
    rows = await town.stage.house.store.reader.all(select(Refund.state))
    assert [row.state for row in rows] == ["due"]
    assert not town.stage.cashier.books.refunds
    assert not await broken(town)


@by_hand
async def test_what_a_dearer_change_costs_is_taken_by_hand_too(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = number(await orders(mei, GREEN))
    await collects(boss, no)
    asked = (await mei.says(f"换规格 {no} 100g")).text
    assert "要补差价 ¥15" in asked
    assert HOW in asked
    assert "/pay/" not in asked
    assert "（¥15）" in (await mei.says("我付了")).text
    await town.settles()
    assert f"收款 {no}" in told(boss)
    assert "换规格的差价，应收 ¥15" in (await boss.says(f"收款 {no}")).text
    assert "算已付款" in await collects(boss, no)
    assert "100g 罐装 ×1" in (await mei.says(f"订单 {no}")).text
    assert (await balances(town))["hand"] == 4200
    assert "不用再付款" in (await boss.says(f"收款 {no}")).text
    assert not await broken(town)


@by_hand
async def test_a_sum_that_changed_before_the_digits_came_is_not_taken(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    await boss.says(f"确认 {digits((await boss.says('设运费 上海 首1件5元; 首1件8元')).text)}")
    no = number(await orders(mei, GREEN))
    asked = (await boss.says(f"收款 {no}")).text
    assert "应收 ¥27" in asked
    assert "合计 ¥24" in (await mei.says(f"改地址 {no} 李四 13900139000 上海市浦东新区世纪大道100号")).text
    assert "应收 ¥24，您说的是 ¥27" in (await boss.says(f"确认 {digits(asked)}")).text
    assert await payments(town) == []
    assert "算已付款" in await collects(boss, no)
    assert not await broken(town)


async def test_what_was_taken_by_hand_is_promised_back_by_hand_though_the_shop_has_a_cashier(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = number(await orders(mei, GREEN))
    await collects(boss, no)
    asked = (await boss.says(f"退单 {no}")).text
    assert "¥27 由您退给买家" in asked
    done = (await boss.says(f"确认 {digits(asked)}")).text
    assert f"¥27 请您退给买家，退好回 已退 {no}" in done
    await town.settles()
    news = told(mei)
    assert "¥27 店家会退给您" in news
    assert not re.search("原路|零钱|银行卡", asked + done + news)
    assert "等店家退给您" in (await mei.says("钱退了吗")).text
    await boss.says(f"确认 {digits((await boss.says('已退')).text)}")
    assert "零钱" not in (await mei.says("钱退了吗")).text
    assert not await broken(town)


async def test_a_case_of_an_order_that_was_paid_by_hand_is_promised_back_by_hand(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = number(await orders(mei, GREEN))
    await collects(boss, no)
    await town.settles()
    told(boss)
    part = (await boss.says(f"退 {no} 3")).text
    assert "¥3 由您退给买家，东西留在买家那儿" in part
    assert "¥3 请您退给买家" in (await boss.says(f"确认 {digits(part)}")).text
    await boss.says(f"确认 {digits((await boss.says('已退')).text)}")
    await mei.says(f"退款 {no} 不想要了")
    asked = (await boss.says(f"同意 {no}")).text
    assert "¥24 由您退给买家（含运费 ¥8" in asked
    assert f"¥24 请您退给买家，退好回 已退 {no}" in (await boss.says(f"确认 {digits(asked)}")).text
    shown = (await mei.says(f"售后 {no}")).text
    await town.settles()
    news = told(mei)
    assert "¥3 店家会退给您" in news
    assert "¥24 店家会退给您" in news
    assert "¥24 店家会退给您" in shown
    assert not re.search("原路|零钱|银行卡", part + asked + shown + news)
    assert not await broken(town)


async def test_of_an_order_paid_in_two_ways_each_part_goes_back_the_way_it_came(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    placed = await orders(mei, GREEN)
    no = number(placed)
    await mei.pays(placed)
    await mei.says(f"换规格 {no} 100g")
    await collects(boss, no)
    await town.settles()
    assert await payments(town) == [("callback", "credited", 2700), ("hand", "credited", 1500)]
    part = (await boss.says(f"退 {no} 20")).text
    assert "¥20 会原路退给买家" in part, "the oldest payment goes back first"
    assert "¥20 正在退给买家" in (await boss.says(f"确认 {digits(part)}")).text
    await town.settles()
    assert "¥20 原路退回：零钱马上到账" in told(mei)
    asked = (await boss.says(f"退单 {no}")).text
    assert "¥7 会原路退给买家；¥15 由您退给买家" in asked
    done = (await boss.says(f"确认 {digits(asked)}")).text
    assert f"¥7 正在退给买家；¥15 请您退给买家，退好回 已退 {no}" in done
    await town.settles()
    assert "¥7 原路退回：零钱马上到账，银行卡 1–3 个工作日；¥15 店家会退给您" in told(mei)
    assert not await broken(town)


async def test_leaving_a_group_that_was_paid_by_hand_says_that_the_shop_gives_it_back(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = number(await orders(mei, "开团 A6"))
    await collects(boss, no)
    assert "店家会退给您" in (await mei.says("退团")).text
    left = (await mei.says("退团")).text
    assert "店家会退给您" in left
    assert "原路" not in left
    assert not await broken(town)


async def test_freight_that_was_paid_by_hand_goes_back_by_hand_when_the_shop_sends_it_elsewhere(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    await boss.says(f"确认 {digits((await boss.says('设运费 上海 首1件5元; 首1件8元')).text)}")
    no = number(await orders(mei, GREEN))
    await collects(boss, no)
    moved = (await boss.says(f"改地址 {no} 李四 13900139000 上海市浦东新区世纪大道100号")).text
    assert f"¥3 请您退给买家，退好回 已退 {no}" in moved
    await town.settles()
    assert "¥3 店家会退给您" in told(mei)
    assert not await broken(town)


async def test_what_its_buyer_makes_cheaper_or_takes_back_at_once_goes_back_by_hand_too(town: Town) -> None:
    figures(town, instant_refund=True, pickup_at="文三路1号")
    boss, mei = await town.owner(), await customer(town, "小美")
    no = number(await orders(mei, GREEN))
    await collects(boss, no)
    heard = [(await mei.says(f"自提 {no}")).text]
    assert "¥8 店家会退给您" in heard[0]
    await mei.says(f"退款 {no} 不想要了")
    heard.append((await mei.says("好")).text)
    assert "¥19 店家会退给您" in heard[1]
    assert not re.search("原路|零钱|银行卡", "".join(heard))
    assert not await broken(town)
