"""Money that goes back: however the cashier answers, each refund is made once, and none is forgotten."""

from sqlalchemy import select
from test_sale import GREEN, broken, customer, number, orders, told
from town import Town

from bot.simulator.cashier_books import Books
from models.refund import Refund


async def cancelled(town: Town, *names: str) -> list[str]:
    """The numbers of orders that were paid and that the shop has cancelled."""
    boss, found = await town.owner(), []
    for name in names:
        one = await customer(town, name)
        placed = await orders(one, GREEN)
        await one.pays(placed)
        await town.settles()
        found.append(number(placed))
    for no in found:
        asking = (await boss.says(f"取消 {no} 缺货")).text
        await boss.says(f"确认 {asking.rsplit('确认 ', 1)[1][:4]}")
    told(boss)
    return found


def books(town: Town) -> Books:
    return town.stage.cashier.books


async def states(town: Town) -> list[str]:
    rows = await town.stage.house.store.reader.all(select(Refund.state).order_by(Refund.id))
    return [row.state for row in rows]


async def test_an_empty_balance_is_said_once_a_day_and_then_it_goes_by_itself(town: Town) -> None:
    await cancelled(town, "小美", "小林")
    books(town).not_enough = True
    for _ in range(4):
        await town.later(minutes=6)
    boss = town.wechat("老板")
    news = told(boss)
    assert news.count("余额不足") == 1
    assert "2 笔" in news or "1 笔" in news
    assert await states(town) == ["due", "due"]
    await boss.says("待发货")
    await town.later(hours=24)
    await town.later(minutes=1)
    assert told(boss).count("余额不足") == 1
    books(town).not_enough = False
    await town.later(hours=2)
    await town.later(minutes=2)
    assert await states(town) == ["done", "done"]
    assert len(books(town).refunds) == 2
    assert not await broken(town)


async def test_one_that_is_refused_for_good_stops_no_other_and_is_said_again(town: Town) -> None:
    await cancelled(town, "小美", "小林")
    boss = town.wechat("老板")
    await town.later(seconds=61)
    first = next(iter(books(town).refunds))
    await town.stage.cashier.refund_settle(first, "ABNORMAL")
    for _ in range(4):
        await town.later(minutes=2)
    assert sorted(await states(town)) == ["done", "failed"]
    assert "退款没退成" in told(boss)
    await boss.says("待发货")
    await town.later(hours=25)
    assert "还有 1 笔退款没退成" in told(boss)
    books(town).refunds[first].state = "PROCESSING"  # by hand, at the platform's own desk
    await town.stage.cashier.refund_settle(first)
    await town.settles()
    assert await states(town) == ["done", "done"]
    await boss.says("待发货")
    await town.later(hours=24)
    assert "没退成" not in told(boss)
    assert not await broken(town)


async def test_a_refund_of_another_sum_than_is_owed_is_a_matter_for_a_person(town: Town) -> None:
    """The cashier says that it paid back ¥1 of ¥27: nothing is booked, the buyer hears nothing, the shop does."""
    cashier = town.stage.cashier
    await cancelled(town, "小美")
    boss, mei = town.wechat("老板"), town.wechat("小美")
    cashier.withhold = True
    await town.later(minutes=1)
    told(boss)
    told(mei)
    [number] = [refund.out_refund_no for refund in await cashier.refund_settle()]
    amount = {"total": 2700, "refund": 100, "payer_total": 2700, "payer_refund": 100}
    await cashier.deliver(number, changed={"amount": amount})
    await town.settles()
    assert await states(town) == ["failed"]
    assert "金额对不上" in told(boss)
    assert "原路退回" not in told(mei)
    assert not await broken(town)
    await cashier.deliver(number)
    await town.settles()
    assert await states(town) == ["done"], "the news that it was done after all is believed"
    assert not await broken(town)
