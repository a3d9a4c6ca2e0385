"""The cashier's and the platform's bad days: whatever happens on the wire, no fen is lost and none goes twice.

What breaks here is the wire, so one database is enough; what both databases do under it is test_machine.py's.
"""

from typing import Any

import pytest
from follower import Follower
from sqlalchemy import select
from test_sale import GREEN, broken, customer, number, orders, told
from town import Town

from models.order import Order
from models.payment import Payment
from models.product import Sku
from models.refund import Refund

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

PREPAY, CLOSE, REFUND, SEND = "/native", "/close", "/refunds", "message/custom/send"
WIRE: dict[str, dict[str, Any]] = {
    "is lost on its way": {"drop": True},
    "is done and its answer lost": {"drop": True, "after": True},
    "meets a broken gateway": {"status": 502},
    "is done behind a broken gateway": {"status": 504, "after": True},
    "is answered by nobody we know": {"unsigned": True},
    "is answered by half a sentence": {"garbled": "truncated"},
    "is answered with another signature": {"garbled": "signature"},
    "comes too often": {"status": 429, "code": "FREQUENCY_LIMITED"},
    "meets an error of theirs": {"status": 500, "code": "SYSTEM_ERROR"},
}
wire = pytest.mark.parametrize("how", WIRE.values(), ids=WIRE)


async def presses(person: Follower, placed: Any) -> Any:
    """The pay page after its button was pressed."""
    return await (await person.opens(next(x for x in placed.links if "/pay/" in x.url))).presses_the_button()


async def rows(town: Town, *columns: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await town.stage.house.store.reader.all(select(*columns))]


async def shelf(town: Town) -> list[tuple[Any, ...]]:
    return await rows(town, Sku.id, Sku.on_hand, Sku.held)


async def heard_later(town: Town, person: Follower, minutes: int, times: int = 1) -> str:
    """What somebody is told while time passes."""
    words = ""
    for _ in range(times):
        await town.later(minutes=minutes)
        words += told(person)
    return words


async def bought(town: Town, person: Follower) -> str:
    """An order that is paid and told of; its number."""
    placed = await orders(person, GREEN)
    await person.pays(placed)
    await town.settles()
    assert "收到您的付款" in told(person)
    return number(placed)


# -- a way to pay ----------------------------------------------------------------------------------------


@wire
async def test_a_request_for_a_way_to_pay(town: Town, how: dict[str, Any]) -> None:
    """… that goes wrong is made again in the same words: one order at the cashier, paid once."""
    cashier, mei = town.stage.cashier, await customer(town, "小美")
    placed = await orders(mei, GREEN)
    cashier.fail_next(PREPAY, **how)
    assert not (await presses(mei, placed)).code_url, "nothing is shown that nobody vouches for"
    await town.later(minutes=2)
    code = (await mei.opens(next(x for x in placed.links if "/pay/" in x.url))).code_url
    assert code
    assert len(cashier.books.orders) == 1
    await cashier.pay(code, mei.person.who)
    await town.settles()
    assert told(mei).count("收到您的付款") == 1
    assert len(await rows(town, Payment.id)) == 1
    assert not await broken(town)


async def test_a_cashier_that_takes_no_orders_any_more_is_told_to_the_merchant_once_a_day(town: Town) -> None:
    """Whoever wants to pay sees that it does not work; the shop heard nothing."""
    boss, mei = await town.owner(), await customer(town, "小美")
    placed = await orders(mei, GREEN)
    for _ in range(2):
        town.stage.cashier.fail_next(PREPAY, status=403, code="NO_AUTH")
        assert not (await presses(mei, placed)).code_url
    await town.settles()
    assert told(boss).count(f"订单 {number(placed)} 的客人付不了款：微信支付不接，说的是 NO_AUTH") == 1
    town.stage.cashier.fail_next(PREPAY, status=400, code="ORDER_CLOSED")
    await presses(mei, placed)
    await town.settles()
    assert "付不了款" not in told(boss), "this is about one number, and another one is drawn"
    assert (await presses(mei, placed)).code_url
    assert not await broken(town)


async def test_a_way_to_pay_that_comes_after_the_order_was_cancelled_is_closed(town: Town) -> None:
    cashier, mei = town.stage.cashier, await customer(town, "小美")
    before = await shelf(town)
    placed = await orders(mei, GREEN)
    cashier.fail_next(PREPAY, held=True)
    link = next(x for x in placed.links if "/pay/" in x.url)
    page = await mei.opens(link)
    pressing = town.stage.house.tasks.spawn(page.presses_the_button())
    while not cashier.held:
        await town.stage.house.http.get(f"{town.stage.url}/healthz")  # the request is on its way
    await mei.says("取消")
    assert await cashier.release() == 1
    await pressing
    await town.settles()
    await heard_later(town, mei, 2, 3)
    assert [o.state for o in cashier.books.orders.values()] == ["CLOSED"]
    assert not (await mei.opens(link)).code_url
    assert await rows(town, Order.state) == [("closed",)]
    assert await shelf(town) == before
    assert not await broken(town)


# -- closing ---------------------------------------------------------------------------------------------


@wire
async def test_a_request_to_close(town: Town, how: dict[str, Any]) -> None:
    """… that goes wrong leaves everything held until the cashier has said how it ended; then it is free, once."""
    cashier, mei = town.stage.cashier, await customer(town, "小美")
    before = await shelf(town)
    placed = await orders(mei, GREEN)
    await presses(mei, placed)
    cashier.fail_next(CLOSE, **how)
    await mei.says("取消")
    await town.settles()
    words = told(mei) + await heard_later(town, mei, 6, 3)
    assert words.count("已取消") == 1
    assert [o.state for o in cashier.books.orders.values()] == ["CLOSED"]
    assert await rows(town, Order.state) == [("closed",)]
    assert await shelf(town) == before
    assert not await broken(town)


async def test_who_pays_while_it_is_being_closed_has_bought_it(town: Town) -> None:
    """The cashier says ORDERPAID to the close, and no callback comes."""
    cashier, mei = town.stage.cashier, await customer(town, "小美")
    placed = await orders(mei, GREEN)
    code = (await presses(mei, placed)).code_url
    cashier.withhold = True
    cashier.fail_next(CLOSE, meanwhile=lambda: cashier.pay(code, mei.person.who))
    assert "正在取消" in (await mei.says("取消")).text
    await town.settles()
    assert cashier.calls[-2].answered.startswith('{"code": "ORDERPAID"')
    heard = told(mei)
    assert "收到您的付款" in heard
    assert "已取消" not in heard
    assert await rows(town, Order.state) == [("paid",)]
    cashier.withhold = False
    assert await heard_later(town, mei, 30, 2) == "", "the callback says nothing new"
    assert len(await rows(town, Payment.id)) == 1
    assert not await broken(town)


# -- paying back -----------------------------------------------------------------------------------------


async def cancelled_by_shop(town: Town, boss: Follower, no: str) -> None:
    asked = await boss.says(f"退单 {no} 没货")
    assert "货回到库存" in asked.text
    assert "正在退给买家" in (await boss.says(asked.text[asked.text.index("确认 ") :][:7])).text


@wire
async def test_a_request_to_pay_back(town: Town, how: dict[str, Any]) -> None:
    """… that goes wrong is made again under the same number: the money goes back once, and that is said once."""
    cashier, boss, mei = town.stage.cashier, await town.owner(), await customer(town, "小美")
    no = await bought(town, mei)
    cashier.fail_next(REFUND, **how)
    await cancelled_by_shop(town, boss, no)
    words = await heard_later(town, mei, 11, 4)
    assert words.count("已原路退回") == 1
    assert [r.state for r in cashier.books.refunds.values()] == ["SUCCESS"]
    assert await rows(town, Refund.state) == [("done",)]
    assert "退款" not in told(boss), "what mends itself is not the merchant's trouble"
    assert not await broken(town)


async def test_an_empty_balance_is_said_once_and_then_goes_on_by_itself(town: Town) -> None:
    cashier, boss = town.stage.cashier, await town.owner()
    people = [await customer(town, name) for name in ("小美", "阿强")]
    for one in people:
        no = await bought(town, one)
        cashier.fail_next(REFUND, status=403, code="NOT_ENOUGH", times=2)
        await cancelled_by_shop(town, boss, no)
    told(boss)
    words = await heard_later(town, boss, 2, 2)
    assert words.count("余额不足，请充值") == 1
    assert [state for (state,) in await rows(town, Refund.state)] == ["due", "due"]
    assert await heard_later(town, boss, 61, 3) == ""
    assert all("已原路退回" in told(one) for one in people)
    assert [state for (state,) in await rows(town, Refund.state)] == ["done", "done"]
    assert not await broken(town)


@pytest.mark.parametrize("end", ["ABNORMAL", "CLOSED"])
async def test_a_refund_that_the_bank_sends_back_reaches_the_merchant_once(town: Town, end: str) -> None:
    cashier, boss, mei = town.stage.cashier, await town.owner(), await customer(town, "小美")
    no = await bought(town, mei)
    cashier.refund_seconds = 10**6
    await cancelled_by_shop(town, boss, no)
    await town.later(minutes=1)
    told(boss)
    cashier.fail_next("callback/refund", again=2)
    await cashier.refund_settle(state=end)
    await town.settles()
    assert told(boss).count(f"退款没退成：订单 {no}，¥27") == 1
    assert await heard_later(town, boss, 61, 2) == "", "nobody tries for ever"
    assert "已原路退回" not in told(mei)
    assert await rows(town, Refund.state) == [("failed",)]
    assert len(cashier.books.refunds) == 1
    assert not await broken(town)


# -- callbacks -------------------------------------------------------------------------------------------

ROAD: dict[str, dict[str, Any]] = {
    "is lost": {"drop": True},
    "is heard and its acknowledgement lost": {"drop": True, "after": True},
    "comes five times": {"again": 4},
    "is cut in the middle": {"garbled": "truncated"},
    "is changed on its way": {"garbled": "body"},
    "is signed by another key": {"garbled": "key"},
    "is sealed with another key": {"garbled": "cipher"},
    "bears an unknown serial": {"garbled": "serial"},
}


@pytest.mark.parametrize("how", ROAD.values(), ids=ROAD)
async def test_a_callback(town: Town, how: dict[str, Any]) -> None:
    """… for money in, then for money out: each counts once, and each is said once."""
    cashier, boss, mei = town.stage.cashier, await town.owner(), await customer(town, "小美")
    placed = await orders(mei, GREEN)
    cashier.fail_next("callback/transaction", **how)
    await mei.pays(placed)
    await town.settles()
    words = told(mei) + await heard_later(town, mei, 1, 3)
    assert words.count("收到您的付款") == 1
    assert await rows(town, Payment.amount_fen, Payment.state) == [(2700, "credited")]
    cashier.fail_next("callback/refund", **how)
    await cancelled_by_shop(town, boss, number(placed))
    words = await heard_later(town, mei, 6, 4)
    assert words.count("已原路退回") == 1
    assert await rows(town, Refund.amount_fen, Refund.state) == [(2700, "done")]
    assert all(notice.heard for notice in cashier.notices)
    assert not await broken(town)


async def test_callbacks_that_come_late_and_in_the_wrong_order_revive_nothing(town: Town) -> None:
    """Paid, cancelled by the shop and paid back, both found by asking; then the refund is told, then the payment."""
    cashier, boss, mei = town.stage.cashier, await town.owner(), await customer(town, "小美")
    before = await shelf(town)
    placed = await orders(mei, GREEN)
    for kind in ("transaction", "refund"):
        cashier.fail_next(f"callback/{kind}", held=True)
    await mei.pays(placed)
    await heard_later(town, mei, 2)
    await cancelled_by_shop(town, boss, number(placed))
    await heard_later(town, mei, 11, 3)
    assert (await rows(town, Order.state), await rows(town, Refund.state)) == ([("closed",)], [("done",)])
    assert await cashier.release(backwards=True) == 2
    await town.settles()
    assert [notice.heard for notice in cashier.notices] == [True, True]
    assert told(mei) == ""
    assert (await rows(town, Order.state), await rows(town, Refund.state)) == ([("closed",)], [("done",)])
    assert await shelf(town) == before
    assert not await broken(town)


# -- asking ----------------------------------------------------------------------------------------------


@wire
async def test_a_question(town: Town, how: dict[str, Any]) -> None:
    """… whose answer nobody vouches for pays nothing and closes nothing; it is asked again."""
    cashier, mei = town.stage.cashier, await customer(town, "小美")
    placed = await orders(mei, GREEN)
    cashier.withhold = True
    await mei.pays(placed)
    asked = next(iter(cashier.books.orders))
    cashier.fail_next(asked, **how, times=2)  # who only asks may ask again at once, and does
    await town.later(minutes=1)
    assert await rows(town, Order.state) == [("pending",)]
    words = await heard_later(town, mei, 5, 3)
    assert words.count("收到您的付款") == 1
    assert await rows(town, Order.state) == [("paid",)]
    assert not await broken(town)


# -- the platform ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{"errcode": -1}, {"errcode": 45009}, {"errcode": 45011}])
async def test_a_message_that_was_not_taken_is_said_again_once(town: Town, how: dict[str, Any]) -> None:
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    town.stage.platform.fail_next(SEND, **how)
    await mei.pays(placed)
    await town.settles()
    assert told(mei) == ""
    words = await heard_later(town, mei, 300, 5)
    assert words.count("收到您的付款") == 1


@pytest.mark.parametrize("how", [{"drop": True}, {"drop": True, "after": True}, {"status": 502}, {"garbled": "body"}])
async def test_a_message_that_may_have_arrived_is_not_sent_again_but_shown(town: Town, how: dict[str, Any]) -> None:
    """Nobody is called twice; at the next visit it stands on top of the answer."""
    mei = await customer(town, "小美")
    placed = await orders(mei, GREEN)
    town.stage.platform.fail_next(SEND, **how)
    await mei.pays(placed)
    await town.settles()
    sent = told(mei).count("收到您的付款")
    assert sent == (1 if how.get("after") or how.get("garbled") else 0)
    assert await heard_later(town, mei, 11, 3) == ""
    assert "收到您的付款" in (await mei.says("在吗")).text
    assert "收到您的付款" not in (await mei.says("在吗")).text


async def test_who_waits_for_the_end_of_an_order_does_not_wait_for_the_next_question_of_a_patient_shop(
    town: Town,
) -> None:
    """After many questions the next one is ten minutes away; somebody who cancels is told within three."""
    cashier, mei = town.stage.cashier, await customer(town, "小美")
    await presses(mei, await orders(mei, GREEN))
    for minutes in (1, 1, 2, 3, 5):
        await town.later(minutes=minutes)
    cashier.fail_next(CLOSE, drop=True)
    assert "正在" in (await mei.says("取消")).text
    await town.settles()
    assert await rows(town, Order.state) == [("closing",)]
    await town.later(minutes=3)
    assert await rows(town, Order.state) == [("closed",)]
