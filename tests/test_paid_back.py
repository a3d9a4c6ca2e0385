"""What goes back goes back once, after a restore too; what was paid back stays here, and nothing waits for ever."""

import asyncio
import contextlib
import re
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from follower import Follower
from sqlalchemy import select, text
from test_aftersale import confirms, figures, money_goes, paid, refunds, states, two_lines
from test_backup import elsewhere, given_up, looks, opened, scans_the_code, unanswered
from test_groupbuy import in_group, offered, ordered
from test_hand import balances, by_hand, collects, digits, no_cashier
from test_sale import GREEN, WHERE, broken, customer, number, orders, told
from test_second_thoughts import SHANGHAI, freight
from town import Town

from bot.app import TILL
from bot.backup import backup, release, restore
from bot.pay.till import no_till
from bot.reconcile import reconcile
from bot.settings import Settings
from handlers.errands import Prepay
from handlers.intents import PrepayRefused
from handlers.routing import Told
from models import product, quarantine, verify
from models.aftersale import Case, Cases
from models.freight import Zone
from models.groupbuy import GroupBuys
from models.order import Order, Orders
from models.payment import Attempt, Attempts
from models.refund import NO_CASHIER
from models.supplement import Supplement

__all__ = ["elsewhere", "no_cashier"]  # fixtures

COUNTER = "文三路1号 9–18点"
sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


async def one(town: Town, *columns: Any) -> tuple[Any, ...]:
    (row,) = await town.stage.house.store.reader.all(select(*columns))
    return tuple(row)


# -- once ------------------------------------------------------------------------------------------------


async def test_what_went_back_since_the_backup_does_not_go_back_again(
    town: Town, elsewhere: Settings, tmp_path: Path
) -> None:
    """The restored shop agrees by silence, as the lost one did: the cashier hears the same number, and pays it once."""
    house, cashier = town.stage.house, town.stage.cashier
    mei = await customer(town, "小美")
    no = await two_lines(town, mei)
    await mei.says(f"退款 {no} 不想要了")
    await mei.says("2")
    assert await backup(house.settings, tmp_path / "b", house.clock) == 0
    await town.later(hours=49)
    await money_goes(town)
    went = {n: back.amount for n, back in cashier.books.refunds.items()}
    assert len(went) == 1
    assert await restore(elsewhere, tmp_path / "b", house.clock) == 0
    async with opened(elsewhere, town.stage) as again:
        for _ in range(8):
            again.clock.move(timedelta(minutes=2))
            await looks(again, 1)
            await cashier.tick()
        assert {n: back.amount for n, back in cashier.books.refunds.items()} == went
        rows = await again.store.reader.all(text("SELECT amount_fen, state FROM refund"))
        assert [tuple(row) for row in rows] == [(next(iter(went.values())), "done")]
        assert not await verify.offenders(again.store, again.clock.now())


async def test_money_that_is_owed_by_hand_is_asked_of_no_cashier_after_a_restore(
    town: Town, elsewhere: Settings, tmp_path: Path
) -> None:
    await owed_by_hand_and_restored(town, elsewhere, tmp_path)


@by_hand
async def test_money_that_is_owed_by_hand_keeps_no_restored_shop_waiting(
    town: Town, elsewhere: Settings, tmp_path: Path
) -> None:
    await owed_by_hand_and_restored(town, elsewhere, tmp_path)


async def owed_by_hand_and_restored(town: Town, elsewhere: Settings, tmp_path: Path) -> None:
    """No cashier knows of it: nobody is asked, and the quarantine ends."""
    boss, mei, house = await town.owner(), await customer(town, "小美"), town.stage.house
    no = number(await orders(mei, GREEN))
    await collects(boss, no)
    await confirms(boss, f"取消 {no} 缺货")
    assert await backup(house.settings, tmp_path / "b", house.clock) == 0
    assert await restore(elsewhere, tmp_path / "b", house.clock) == 0
    async with opened(elsewhere, town.stage) as again:
        for _ in range(5):
            again.clock.move(timedelta(seconds=5))
            await looks(again, 1)
        assert await quarantine.standing(again.store.reader) is None
        assert not await verify.offenders(again.store, again.clock.now())


async def test_a_spec_that_was_paid_back_in_part_stays_whatever_was_asked_for_since(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei, "买 A11", "2")
    await confirms(boss, f"退 {no} 20")
    await money_goes(town)
    await mei.says(f"退款 {no}")
    await mei.says("不想要了")
    assert "撤回" in (await mei.says(f"撤回 {no}")).text
    await mei.says(f"换规格 {no} 50g")
    await money_goes(town)
    assert await refunds(town) == [(2000, "done")]
    assert not await broken(town)


async def test_no_freight_goes_back_when_a_parcel_has_left(town: Town) -> None:
    await freight(town, Zone(("上海市",), 1, 500), Zone((), 1, 2000))
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await two_lines(town, mei)
    await boss.says(f"发货 {no} SF1234567890 行 1")
    await mei.says(f"改地址 {no} {SHANGHAI}")
    assert "上海" in (await boss.says(f"面单 {no}")).text
    await money_goes(town)
    assert await refunds(town) == []


async def test_one_more_application_after_a_refusal_is_one_also_for_who_withdraws_it(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei)
    await boss.says(f"发货 {no} SF1234567890")
    for turn in range(4):
        await mei.says(f"退款 {no} 坏了，第{turn}次")
        await mei.says("全部退款")
        await (boss.says(f"拒绝 {no} 没坏") if turn % 2 == 0 else mei.says(f"撤回 {no}"))
    assert await states(town) == ["refused", "withdrawn", "refused"]


async def test_what_went_back_in_part_since_the_backup_is_told_and_not_forgotten(
    town: Town, elsewhere: Settings, tmp_path: Path
) -> None:
    """The cashier says no more than that something went back: staff hear that a person has to look."""
    house, cashier = town.stage.house, town.stage.cashier
    boss, mei = await town.owner(), await customer(town, "小美")
    placed = await orders(mei, "买 A11", "2")
    code = await scans_the_code(mei, placed)
    assert await backup(house.settings, tmp_path / "b", house.clock) == 0
    await cashier.pay(code, mei.person.who)
    await town.settles()
    await mei.says(f"换规格 {number(placed)} 50g")
    await money_goes(town)
    told(mei)
    told(boss)
    assert await restore(elsewhere, tmp_path / "b", house.clock) == 0
    async with opened(elsewhere, town.stage) as again:
        for _ in range(20):
            again.clock.move(timedelta(minutes=2))
            await looks(again, 1)
            await again.courier.drain()
            await cashier.tick()
        assert await quarantine.standing(again.store.reader) is None
        assert "补退" in told(boss)
        assert "没有付款" not in told(mei)
        assert not await verify.offenders(again.store, again.clock.now())


async def test_a_question_of_an_earlier_restore_does_not_keep_a_later_one_waiting(
    town: Town, elsewhere: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, stage = town.stage.house, town.stage
    await unanswered(town, elsewhere, tmp_path)
    async with opened(elsewhere, stage) as again:
        await given_up(again, monkeypatch)
        await looks(again, 3)
        assert await release(elsewhere, again.clock) == 0
        stage.cashier.faults.clear()
        for _ in range(5):
            again.clock.move(timedelta(minutes=20))
            await looks(again, 2)
    house.clock.move(timedelta(days=7))
    await backup(elsewhere, tmp_path / "later", house.clock)
    await restore(elsewhere, tmp_path / "later", house.clock)
    async with opened(elsewhere, stage) as again:
        for _ in range(10):
            again.clock.move(timedelta(minutes=2))
            await looks(again, 2)
            await again.courier.drain()
        assert await quarantine.standing(again.store.reader) is None


@by_hand
async def test_who_may_have_paid_by_hand_since_the_backup_is_not_closed_unasked(
    town: Town, elsewhere: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boss, mei, house = await town.owner(), await customer(town, "小美"), town.stage.house
    no = number(await orders(mei, GREEN))
    assert await backup(house.settings, tmp_path / "b", house.clock) == 0
    await collects(boss, no)
    house.clock.move(timedelta(hours=25))
    assert await restore(elsewhere, tmp_path / "b", house.clock) == 0
    assert "let staff say 收款" in capsys.readouterr().out
    async with opened(elsewhere, town.stage) as again:
        for _ in range(5):
            again.clock.move(timedelta(seconds=5))
            await looks(again, 1)
            await again.courier.drain()
        assert await quarantine.standing(again.store.reader) is None
        rows = await again.store.reader.all(select(Order.state))
        assert [row.state for row in rows] == ["pending"]
        assert not await verify.offenders(again.store, again.clock.now())


async def test_a_change_that_is_made_again_after_a_restore_is_paid_back_once(
    town: Town, elsewhere: Settings, tmp_path: Path
) -> None:
    """Also when the order was changed otherwise in between: what became spare before is what numbers it."""
    house, cashier = town.stage.house, town.stage.cashier
    mei = await customer(town, "小美")
    no = await paid(town, mei, "买 A11", "2")
    assert await backup(house.settings, tmp_path / "b", house.clock) == 0
    await mei.says(f"备注 {no} 轻放")
    await mei.says(f"换规格 {no} 50g")
    await money_goes(town)
    went = {n: back.amount for n, back in cashier.books.refunds.items()}
    assert len(went) == 1
    assert await restore(elsewhere, tmp_path / "b", house.clock) == 0
    async with opened(elsewhere, town.stage) as again:
        for _ in range(4):
            again.clock.move(timedelta(minutes=2))
            await looks(again, 1)
        wechat = house.settings.wechat
        assert wechat is not None
        told = Told("wechat", wechat.account, mei.person.who, "again", text=f"换规格 {no} 50g", at=again.clock.now())
        await again.desk.hear(told)
        for _ in range(4):
            again.clock.move(timedelta(minutes=2))
            await looks(again, 1)
            await again.courier.drain()
            await cashier.tick()
        assert {n: back.amount for n, back in cashier.books.refunds.items()} == went
        rows = await again.store.reader.all(text("SELECT amount_fen, state FROM refund"))
        assert [tuple(row) for row in rows] == [(next(iter(went.values())), "done")]
        assert not await verify.offenders(again.store, again.clock.now())


# -- as it was read back ---------------------------------------------------------------------------------


async def manager(town: Town, boss: Follower) -> Follower:
    """Somebody who may pay back, too."""
    lin = await customer(town, "小林")
    code = re.search(r"绑定码：(\d{6})", (await boss.says("授权 店长")).text)
    assert code
    await lin.says(f"绑定 {code[1]}")
    return lin


async def complains(town: Town, boss: Follower, mei: Follower, *answers: str) -> str:
    """Two pieces have arrived, and something is wrong with them."""
    no = await paid(town, mei, "买 A11 x2", "2")
    await boss.says(f"发货 {no} SF1234567890")
    await mei.says(f"收货 {no}")
    for words in (f"退款 {no} 坏了", *answers):
        await mei.says(words)
    return no


async def test_two_managers_who_read_the_same_part_back_pay_it_once(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    lin = await manager(town, boss)
    no = await complains(town, boss, mei, "2", "2", "5")
    asked = (await lin.says(f"退 {no} 5")).text
    await confirms(boss, f"退 {no} 5")
    for _ in range(2):
        await town.later(minutes=1)
    assert "刚刚有变化" in (await lin.says(f"确认 {digits(asked)}")).text
    await money_goes(town)
    assert await refunds(town) == [(500, "done")]


async def test_what_was_read_back_as_a_proposal_is_never_paid_without_the_buyer_s_yes(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await complains(town, boss, mei, "2", "3")
    asked = (await boss.says(f"退 {no} 5")).text
    assert "买家" in asked
    await mei.says(f"撤回 {no}")
    assert "刚刚有变化" in (await boss.says(f"确认 {digits(asked)}")).text
    await money_goes(town)
    assert await refunds(town) == []


# -- what is said ----------------------------------------------------------------------------------------


async def test_who_cancels_an_order_confirms_what_will_go_back(town: Town) -> None:
    """Less what has gone back already, less what is on its way."""
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei, "买 A11 x2", "2")
    await mei.says(f"换规格 {no} 50g")
    await money_goes(town)
    town.stage.cashier.refund_seconds = 36_000
    await confirms(boss, f"退 {no} 10")
    assert "¥36 会原路退给买家" in (await boss.says(f"取消 {no} 缺货")).text
    await confirms(boss, f"取消 {no} 缺货")
    assert [fen for fen, _ in await refunds(town)] == [3000, 1000, 3600]


async def test_who_had_everything_back_is_not_told_that_nothing_was_paid(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei, "买 A1 x2", "250g 罐装")  # sent for nothing
    (fen,) = await one(town, Order.total_fen)
    await confirms(boss, f"退 {no} {fen / 100:g}")
    await money_goes(town)
    told(mei)
    assert "钱之前都退过了" in (await boss.says(f"取消 {no} 缺货")).text
    await confirms(boss, f"取消 {no} 缺货")
    await town.settles()
    assert "没有扣款" not in told(mei)


async def test_who_leaves_a_group_hears_what_comes_back(town: Town) -> None:
    await freight(town, Zone(("上海市",), 1, 500), Zone((), 1, 2000))
    await offered(town, "设团 A1 2人 19.9 24小时")
    mei = town.wechat("小美")
    code = await in_group(town, mei, "开团 A1")
    (no,) = await one(town, Order.no)
    await mei.says(f"改地址 {no} {SHANGHAI}")
    await money_goes(town)
    assert "¥24.9" in (await mei.says(f"退团 {code}")).text
    assert "¥24.9" in (await mei.says(f"退团 {code}")).text
    await money_goes(town)
    assert await refunds(town) == [(1500, "done"), (2490, "done")]


@by_hand
async def test_a_difference_that_is_paid_by_hand_has_a_day_like_an_order(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = number(await orders(mei, GREEN))
    await collects(boss, no)
    await mei.says(f"换规格 {no} 100g 罐装")
    await town.later(hours=23)
    assert await one(town, Supplement.state) == ("pending",)
    await collects(boss, no)
    assert await one(town, Supplement.state) == ("paid",)


async def test_who_paid_for_a_seat_that_was_gone_is_not_told_that_nobody_paid(town: Town) -> None:
    """The cashier was away while the group was judged."""
    await offered(town, "设团 A1 2人 19.9 24小时")
    mei, hao = town.wechat("小美"), await customer(town, "小浩")
    code = await in_group(town, mei, "开团 A1")
    cashier = town.stage.cashier
    await town.later(hours=23, minutes=51)
    placed = await ordered(hao, f"参团 {code}")
    link = next(link for link in placed.links if "/pay/" in link.url)
    page = await (await hao.opens(link)).presses_the_button()
    cashier.withhold = True
    await cashier.pay(page.code_url, hao.person.who)
    cashier.fail_next("", drop=True, times=10_000)
    for _ in range(5):
        await town.later(minutes=4)
    assert await one(town, GroupBuys.entity.state) == ("failed",)
    cashier.faults.clear()
    for _ in range(4):
        await town.later(minutes=11)
    assert [state for _, state in await refunds(town)] == ["done", "done"]
    rows = await town.stage.house.store.reader.all(select(Order.refunded_fen).order_by(Order.id))
    assert rows[-1].refunded_fen == 0, "what paid nothing is not paid back of the order"
    heard = told(hao)
    assert "可名额已经没有了" in heard
    assert "没有付款" not in heard
    assert not await broken(town)


# -- what was paid back stays here -----------------------------------------------------------------------


async def test_what_was_paid_back_is_neither_picked_nor_packed(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await two_lines(town, mei)
    await mei.says(f"退款 {no} 不想要了")
    await mei.says("2")
    await confirms(boss, f"同意 {no}")
    await money_goes(town)
    assert "碧螺春" in (picking := (await boss.says("拣货")).text)
    assert "胎菊" not in picking
    assert "桐乡胎菊 50g 罐装 ×1（已退，别发）" in (await boss.says(f"面单 {no}")).text


async def test_all_that_is_still_here_may_go_back_though_one_of_it_was_paid_for_already(town: Town) -> None:
    """Nothing but the pieces is left of that: they stay here, and the freight goes back with the last."""
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await two_lines(town, mei)
    await confirms(boss, f"退 {no} 行 2 45")
    await money_goes(town)
    await mei.says(f"退款 {no} 不想要了")
    assert "¥19" in (await mei.says("整单都退")).text
    assert "¥27 会原路退" in (await boss.says(f"同意 {no}")).text
    await confirms(boss, f"同意 {no}")
    await money_goes(town)
    assert await refunds(town) == [(4500, "done"), (2700, "done")]
    assert await one(town, Order.state) == ("closed",)
    assert not await broken(town)


async def test_goods_whose_money_went_back_may_stay_here(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await two_lines(town, mei)
    await confirms(boss, f"退 {no} 行 2 45")
    await money_goes(town)
    await mei.says(f"退款 {no} 不想要了")
    await mei.says("洞庭碧螺春 100g 袋装 ×1")
    assert "钱之前都退过了" in await confirms(boss, f"同意 {no}")
    await money_goes(town)
    assert await refunds(town) == [(4500, "done")]
    assert "碧螺春" not in (await boss.says("拣货")).text
    assert not await broken(town)


async def test_what_was_paid_back_is_not_handed_out(town: Town) -> None:
    figures(town, pickup_at=COUNTER)
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await two_lines(town, mei)
    code = await pickup_code(mei)
    await mei.says(f"退款 {no} 不想要了")
    await mei.says("2")
    await confirms(boss, f"同意 {no}")
    await money_goes(town)
    out = (await boss.says(f"核销 {code}")).text
    assert "碧螺春" in out
    assert "胎菊" not in out


async def test_nothing_is_handed_out_while_its_buyer_wants_it_back(town: Town) -> None:
    figures(town, pickup_at=COUNTER)
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei)
    code = await pickup_code(mei)
    await mei.says(f"退款 {no}")
    await mei.says("不想要了")
    assert f"先回 同意 {no} 或 拒绝 {no}" in (await boss.says(f"核销 {code}")).text
    assert await one(town, Order.state) == ("paid",)
    await boss.says(f"拒绝 {no} 已经备好了")
    assert "请把货交给" in (await boss.says(f"核销 {code}")).text


async def test_nothing_is_handed_out_while_its_buyer_may_pay_for_another_spec(town: Town) -> None:
    figures(town, pickup_at=COUNTER)
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei)
    code = await pickup_code(mei)
    assert "补差价" in (await mei.says(f"换规格 {no} 100g")).text
    assert "补差价" in (await boss.says(f"核销 {code}")).text
    assert await one(town, Order.state) == ("paid",)
    await mei.says(f"不换了 {no}")
    assert "请把货交给" in (await boss.says(f"核销 {code}")).text
    assert not await broken(town)


async def pickup_code(mei: Any) -> str:
    """自提 is said: the code for the counter."""
    found = re.search(r"自提码 ([2-9A-Z]{6})", (await mei.says("自提")).text)
    assert found
    return found[1]


async def half_virtual(town: Town, **more: Any) -> tuple[Any, Any, str]:
    """The owner, a buyer, and the number of a paid order that is fetched; half of it came with the money."""
    figures(town, pickup_at=COUNTER, **more)
    boss, mei = await town.owner(), await customer(town, "小美")
    async with town.stage.house.store.engine.begin() as connection:
        await connection.execute(text("UPDATE product SET ships = (1 = 0) WHERE code = 'A2'"))
    no = await two_lines(town, mei)
    await pickup_code(mei)
    return boss, mei, no


async def test_what_came_with_the_money_is_not_still_here_because_the_rest_is_fetched(town: Town) -> None:
    _, mei, no = await half_virtual(town, instant_refund=True)
    listed = (await mei.says(f"退款 {no} 不想要了")).text
    assert "整单都退" not in listed
    place = re.search(r"(\d)\. 桐乡胎菊", listed)
    assert place, listed
    await mei.says(place[1])
    await mei.says("好")
    await money_goes(town)
    assert await refunds(town) == [(800, "done"), (1900, "done")]
    assert await one(town, Order.state) == ("completed",)


async def test_an_order_whose_goods_to_fetch_were_paid_back_is_complete(town: Town) -> None:
    boss, mei, no = await half_virtual(town)
    listed = (await mei.says(f"退款 {no} 不想要了")).text
    place = re.search(r"(\d)\. 桐乡胎菊", listed)
    assert place, listed
    await mei.says(place[1])
    await confirms(boss, f"同意 {no}")
    await money_goes(town)
    assert await one(town, Order.state) == ("completed",)


# -- nothing waits for ever ------------------------------------------------------------------------------


async def refused(town: Town) -> tuple[Any, Any, str]:
    """The owner, a buyer, and the number of an order whose refund has ended ABNORMAL at the cashier."""
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei)
    await mei.says(f"退款 {no} 不想要了")
    cashier = town.stage.cashier
    cashier.refund_seconds = 10**9
    await confirms(boss, f"同意 {no}")
    await town.later(minutes=2)
    await cashier.refund_settle(next(iter(cashier.books.refunds)), "ABNORMAL")
    await town.settles()
    assert await refunds(town) == [(2700, "failed")]
    return boss, mei, no


async def test_a_refund_that_was_put_right_at_the_cashier_s_desk_is_found_there(town: Town) -> None:
    """No callback tells of it: the cashier is asked once a day."""
    await refused(town)
    back = next(iter(town.stage.cashier.books.refunds.values()))
    back.state, back.settled = "SUCCESS", town.stage.house.clock.now()
    for _ in range(2):
        await town.later(hours=25)
    assert await refunds(town) == [(2700, "done")]
    assert await states(town) == ["done"]


async def test_what_was_refused_for_good_is_said_again_only_from_the_next_day_on(town: Town) -> None:
    boss, _, no = await refused(town)
    assert f"退款没退成：订单 {no}" in told(boss)
    for _ in range(3):
        await town.later(hours=1)
    assert told(boss) == ""
    await town.later(hours=22)
    assert "¥27" in told(boss)


async def test_what_the_cashier_refused_for_good_may_be_given_back_by_hand(town: Town) -> None:
    boss, mei, no = await refused(town)
    told(mei)
    assert "退了 ¥27" in await confirms(boss, f"已退 {no}")
    await town.settles()
    assert await refunds(town) == [(2700, "done")]
    assert "¥27" in told(mei)
    assert not await broken(town)


async def test_what_was_given_back_by_hand_and_by_the_cashier_too_is_booked_once_and_told(town: Town) -> None:
    boss, _, no = await refused(town)
    await confirms(boss, f"已退 {no}")
    await town.settles()
    assert (await balances(town))["hand"] == -2700
    told(boss)
    back = next(iter(town.stage.cashier.books.refunds.values()))
    back.state = "PROCESSING"
    await town.stage.cashier.refund_settle(back.out_refund_no, "SUCCESS")
    await town.settles()
    assert "客人收到了两份" in told(boss)
    assert await refunds(town) == [(2700, "done")]
    assert not await broken(town)


@sqlite
async def test_the_bill_lacks_what_the_cashier_refused_and_staff_gave_back(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei)
    await mei.says(f"退款 {no} 不想要了")
    town.stage.cashier.fail_next("/refunds", status=403, code="USER_ACCOUNT_ABNORMAL", times=1)
    await confirms(boss, f"同意 {no}")
    await town.later(minutes=2)
    await confirms(boss, f"已退 {no}")
    await town.later(hours=30)
    assert await reconcile(town.stage.house.settings, "2026-03-02", town.stage.house.clock) == 0


def gives_up_its_cashier(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shop starts again without [wechat_pay]."""
    house = town.stage.house
    house.courier.performers = {**house.courier.performers, **dict.fromkeys(TILL, no_till)}
    house.desk.figures = replace(house.desk.figures, cashier=False)
    monkeypatch.setitem(house.desk.face.chat.globals, "by_cashier", False)


async def test_a_shop_that_gave_up_its_cashier_hears_of_what_it_owes_and_gives_it_back_by_hand(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei)
    gives_up_its_cashier(town, monkeypatch)
    await confirms(boss, f"取消 {no} 缺货")
    for _ in range(3):
        await town.later(hours=1)
    assert "请亲手退给客人" in told(boss)
    assert "¥27 店家会退给您" in told(mei)
    assert "退了 ¥27" in await confirms(boss, f"已退 {no}")
    await town.settles()
    assert await refunds(town) == [(2700, "done")]
    assert not await broken(town)


async def being_paid(town: Town, mei: Follower) -> str:
    """An order whose pay page shows a code that may be being paid: its number."""
    placed = await orders(mei, GREEN)
    link = next(link for link in placed.links if "/pay/" in link.url)
    assert (await (await mei.opens(link)).presses_the_button()).code_url
    return number(placed)


async def test_what_was_open_at_a_cashier_that_was_given_up_holds_nothing_up(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can be asked whether it was paid: staff are told under which number to look, and may take the money."""
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await being_paid(town, mei)
    (trade,) = await one(town, Attempt.out_trade_no)
    gives_up_its_cashier(town, monkeypatch)
    assert "先去关掉那边" in await collects(boss, no)
    await town.later(minutes=2)
    assert trade in told(boss)
    assert "算已付款" in await collects(boss, no)
    assert await one(town, Order.state) == ("paid",)
    assert not await broken(town)


async def test_an_order_that_was_being_paid_when_the_cashier_was_given_up_ends_in_its_time(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await being_paid(town, mei)
    gives_up_its_cashier(town, monkeypatch)
    await town.later(minutes=31)
    await town.later(minutes=2)
    assert await one(town, Order.state) == ("closed",)
    assert told(boss).count(f"问不到订单 {no} 的 ¥27") == 1
    await town.later(minutes=61)
    assert not await broken(town)


async def test_what_is_asked_of_a_cashier_that_was_given_up_is_refused(town: Town) -> None:
    assert await no_till(Prepay("tp1", 100, "x", 0)) == PrepayRefused("tp1", NO_CASHIER)


async def test_a_refund_under_a_number_that_is_not_here_is_said_again_and_the_owner_hears_of_it(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await paid(town, mei)
    await mei.says(f"退款 {no} 不想要了")
    await confirms(boss, f"同意 {no}")
    town.stage.cashier.refund_seconds = 10**9
    await town.later(minutes=2)
    async with town.stage.house.store.engine.begin() as connection:
        await connection.execute(text("UPDATE refund SET out_refund_no = 'rfother'"))
    told(boss)
    await town.stage.cashier.refund_settle()
    await town.settles()
    assert not town.stage.cashier.notices[-1].heard
    assert "这里没有记录：¥27" in told(boss)


# -- everybody locks in the same order -------------------------------------------------------------------

# Seconds until who meets nobody goes on: with the guard one always has to, without it both are there, some time.
GUARDED, BARE = 0.5, 30


async def fills_while_one_leaves(town: Town, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A payment that fills a group meets a member who leaves it; the states of the two orders."""
    await offered(town, "设团 A1 2人 19.9 24小时")
    mei, hao = town.wechat("小美"), town.wechat("小浩")
    code = await in_group(town, mei, "开团 A1")
    await mei.says(f"退团 {code}")
    await hao.says(f"参团 {code}")
    heard = await hao.says(WHERE)
    fills, leaves = asyncio.Event(), asyncio.Event()
    of_group, hold = Orders.of_group, GroupBuys.hold

    async def all_of_them(self: Orders, group_id: int) -> list[Order]:
        fills.set()
        await asyncio.wait_for(leaves.wait(), 10)
        return await of_group(self, group_id)

    async def held(self: GroupBuys, code: str) -> Any:
        leaves.set()
        await asyncio.wait_for(fills.wait(), 10)
        return await hold(self, code)

    monkeypatch.setattr(Orders, "of_group", all_of_them)
    monkeypatch.setattr(GroupBuys, "hold", held)
    await asyncio.gather(hao.pays(heard), mei.says(f"退团 {code}"), return_exceptions=True)
    await town.settles()
    rows = await town.stage.house.store.reader.all(select(Order.state).order_by(Order.id))
    return [row.state for row in rows]


@postgresql
async def test_who_fills_a_group_and_who_leaves_it_do_not_wait_for_each_other(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert await fills_while_one_leaves(town, monkeypatch) in (["closed", "forming"], ["paid", "paid"])
    assert "deadlock" not in caplog.text


@postgresql
async def test_control_without_the_orders_before_their_group_they_do(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    order_of = Attempts.order_of

    async def alone(self: Attempts, out_trade_no: str) -> tuple[int, None] | None:
        found = await order_of(self, out_trade_no)
        return None if found is None else (found[0], None)

    monkeypatch.setattr(Attempts, "order_of", alone)
    await fills_while_one_leaves(town, monkeypatch)
    assert "deadlock" in caplog.text


async def both_collect(town: Town, monkeypatch: pytest.MonkeyPatch, patience: float) -> list[str]:
    """Two managers take money by hand for two members of one group, and fill it; the states of its orders."""
    boss = await offered(town, "设团 A1 3人 19.9 24小时")
    other = await manager(town, boss)
    code = await in_group(town, town.wechat("小美"), "开团 A1")
    asked = []
    for who, staff in (("小浩", boss), ("小琳", other)):
        person = await customer(town, who)
        asked.append((await staff.says(f"收款 {number(await ordered(person, f'参团 {code}'))}")).text)
    came, both, of_group = count(1), asyncio.Event(), Orders.of_group

    async def all_of_them(self: Orders, group_id: int) -> list[Order]:
        if next(came) > 1:  # whoever is taken again meets nobody any more
            both.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(both.wait(), patience)
        return await of_group(self, group_id)

    monkeypatch.setattr(Orders, "of_group", all_of_them)
    confirmed = (one.says(f"确认 {digits(words)}") for one, words in zip((boss, other), asked, strict=True))
    await asyncio.gather(*confirmed, return_exceptions=True)
    await town.settles()
    rows = await town.stage.house.store.reader.all(select(Order.state).order_by(Order.id))
    return [row.state for row in rows]


@postgresql
async def test_two_who_take_money_by_hand_for_one_group_do_not_wait_for_each_other(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert await both_collect(town, monkeypatch, GUARDED) == ["paid", "paid", "paid"]
    assert "deadlock" not in caplog.text
    assert not await broken(town)


@postgresql
async def test_control_without_the_group_s_orders_first_they_do(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def none_of_them(self: Orders, no: str) -> None:
        return None

    monkeypatch.setattr(Orders, "of_its_group", none_of_them)
    await both_collect(town, monkeypatch, BARE)
    assert "deadlock" in caplog.text


async def granted_while_another_pays(town: Town, monkeypatch: pytest.MonkeyPatch, patience: float) -> None:
    """Two lines are paid back while somebody pays for the same two goods."""
    boss, mei, hao = await town.owner(), await customer(town, "小美"), await customer(town, "小浩")
    no = await two_lines(town, mei)
    await mei.says(f"退款 {no} 买错了")
    await mei.says("整单都退")
    digits = re.search(r"确认 (\d{4})", (await boss.says(f"同意 {no}")).text)
    assert digits
    for goods in ("加 A11", "加 A2"):
        await hao.says(goods)
        await hao.says("1")
    await hao.says("结算")
    heard = await hao.says(WHERE)
    gives, takes = asyncio.Event(), asyncio.Event()
    shifted = product._shifted

    async def slowly(work: Any, sku_id: int, shift: Any, many: int, *, taken: int) -> None:
        await shifted(work, sku_id, shift, many, taken=taken)
        mine, other = (gives, takes) if taken else (takes, gives)
        if not mine.is_set():
            mine.set()
            try:
                await asyncio.wait_for(other.wait(), patience)
            except TimeoutError:
                return

    monkeypatch.setattr(product, "_shifted", slowly)
    await asyncio.gather(boss.says(f"确认 {digits[1]}"), hao.pays(heard), return_exceptions=True)
    await town.settles()


@postgresql
async def test_who_grants_two_lines_and_who_pays_for_the_same_goods_do_not_wait_for_each_other(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await granted_while_another_pays(town, monkeypatch, GUARDED)
    rows = await town.stage.house.store.reader.all(select(Order.state).order_by(Order.id))
    assert [row.state for row in rows] == ["closed", "paid"]
    assert "deadlock" not in caplog.text


@postgresql
async def test_control_in_the_order_in_which_they_were_asked_for_they_do(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    locked = Cases.open_of

    async def as_asked(self: Cases, order_id: int, *states: str) -> list[Case]:
        return sorted(await locked(self, order_id, *states), key=lambda case: case.id)

    monkeypatch.setattr(Cases, "open_of", as_asked)
    await granted_while_another_pays(town, monkeypatch, BARE)
    assert "deadlock" in caplog.text


async def two_specs_and_one_of_them(town: Town, monkeypatch: pytest.MonkeyPatch, *, at_once: bool) -> list[str]:
    """One orders two specs of a product and another the second of them, the last but few of each; what they hear."""
    mei, hao = await customer(town, "小美"), await customer(town, "小浩")
    for one in (mei, hao):
        await one.says(f"地址 {WHERE}")
    for spec in ("1", "2"):
        await mei.says("加 A11")
        await mei.says(spec)
    async with town.stage.house.store.engine.begin() as connection:
        mine = "SELECT id FROM product WHERE code = 'A11'"
        await connection.execute(text(f"UPDATE sku SET on_hand = 4, held = 0 WHERE product_id = ({mine})"))
    shifted, held = product._shifted, list[int]()
    first, both = asyncio.Event(), asyncio.Event()

    async def slowly(work: Any, sku_id: int, shift: Any, many: int, *, taken: int) -> None:
        await shifted(work, sku_id, shift, many, taken=taken)
        held.append(sku_id)
        (first if len(held) == 1 else both).set()
        if at_once:
            await work.finish()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(both.wait(), BARE)

    async def second() -> str:
        await first.wait()
        return (await hao.says("买 A11 100g")).text

    monkeypatch.setattr(product, "_shifted", slowly)
    heard = await asyncio.gather(mei.says("结算"), second())
    return [heard[0].text, heard[1]]


@postgresql
async def test_who_orders_two_specs_and_who_orders_one_of_them_do_not_wait_for_each_other(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    heard = await two_specs_and_one_of_them(town, monkeypatch, at_once=False)
    assert all("合计" in words for words in heard), heard
    assert "deadlock" not in caplog.text
    assert not await broken(town)


@postgresql
async def test_control_with_the_product_s_row_between_its_specs_they_do(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await two_specs_and_one_of_them(town, monkeypatch, at_once=True)
    assert "deadlock" in caplog.text
