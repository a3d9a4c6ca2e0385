"""A dearer change of mind: asked for on its own, and until it is paid the order stays as it was, and stays here."""

import itertools
import re
from typing import Any

import pytest
from follower import Follower
from sqlalchemy import func, select, text
from test_sale import GREEN, broken, customer, number, orders, told
from test_second_thoughts import SHANGHAI, URUMQI, freight, moves, stock
from town import Town

from bot.simulator.driver import Heard
from models import settlement
from models.base import Contended, Work
from models.freight import Zone
from models.order import NotNow, Order
from models.payment import Attempt, Payment, Trade
from models.refund import Refund
from models.settlement import settle_trade
from models.supplement import Supplement

OLD, NEW = "50g 罐装", "100g 罐装"  # ¥19, ¥34


async def bought(town: Town, person: Follower, what: str = GREEN) -> str:
    """The number of an order that is paid and not packed."""
    placed = await orders(person, what)
    await person.pays(placed)
    await town.settles()
    told(person)
    return number(placed)


async def asked(town: Town, person: Follower) -> tuple[str, Heard]:
    """A paid order whose buyer has just asked for a dearer spec; its number, and the answer."""
    no = await bought(town, person)
    return no, await person.says(f"换规格 {no} {NEW}")


def pay_link(heard: Heard) -> str:
    return next(link.url for link in heard.links if "/pay/" in link.url)


async def one(town: Town, *columns: Any) -> tuple[Any, ...]:
    row = await town.stage.house.store.reader.one(select(*columns))
    assert row is not None
    return tuple(row)


async def rows(town: Town, *columns: Any) -> list[tuple[Any, ...]]:
    found = await town.stage.house.store.reader.all(select(*columns).order_by(columns[0]))
    return [tuple(row) for row in found]


async def waits(town: Town) -> bool:
    return (await one(town, Order.waits_until))[0] is not None


async def all_back(town: Town) -> int:
    """What has gone back when everything that is due has happened, in fen."""
    for _ in range(8):
        await town.later(minutes=2)
    return int((await one(town, func.coalesce(func.sum(Refund.amount_fen), 0)))[0])


async def test_a_dearer_spec_is_asked_for_held_and_changes_nothing_yet(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    before = await stock(town)
    no, heard = await asked(town, mei)
    assert "补差价 ¥15" in heard.text
    assert NEW in heard.text
    assert "没付就照原来的发" in heard.text
    now = await stock(town)
    assert now[OLD] == (before[OLD][0] - 1, 0)
    assert now[NEW] == (before[NEW][0], 1)
    shown = (await mei.says(f"订单 {no}")).text
    assert f"{OLD} ×1 ¥19" in shown
    assert "合计 ¥27" in shown
    assert "在等补差价" in shown
    assert "先别发" in (await boss.says("待发货")).text
    for words in (f"面单 {no}", f"发货 {no} SF1234567890"):
        assert "先不打包、不发货" in (await boss.says(words)).text
        await boss.says("待发货")
    for words in (f"换规格 {no} {NEW}", f"改地址 {no} {SHANGHAI}"):
        assert "正等补差价" in (await mei.says(words)).text
        await mei.says("算了")
    assert "记下了备注" in (await mei.says(f"备注 {no} 轻拿轻放")).text
    assert pay_link(await mei.says("付款")) == pay_link(heard) == pay_link(await mei.says(f"补差价 {no}"))
    assert not await broken(town)


async def test_paid_it_is_swapped_and_may_leave_and_everything_is_on_record(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    before = await stock(town)
    no, heard = await asked(town, mei)
    told(boss)
    page = await mei.pays(heard)
    assert "¥15" in page.text
    assert no not in page.text
    await town.settles()
    news = told(mei)
    assert "收到您补的 ¥15" in news
    assert f"{NEW} ×1" in news
    assert "可以发货了" in told(boss)
    assert "已付款" in (await mei.opens(pay_link(heard))).text
    now = await stock(town)
    assert now[OLD] == before[OLD]
    assert now[NEW] == (before[NEW][0] - 1, 0)
    shown = (await mei.says(f"订单 {no}")).text
    assert f"{NEW} ×1 ¥34" in shown
    assert "合计 ¥42" in shown
    assert [move for move in await moves(town) if OLD in move[0]] == [
        (f"asked {OLD} → {NEW}", "buyer"),
        (f"spec {OLD} → {NEW}", "cashier"),
    ]
    assert await rows(town, Payment.id, Payment.amount_fen, Payment.state) == [
        (1, 2700, "credited"),
        (2, 1500, "credited"),
    ]
    await boss.says(f"发货 {no} SF1234567890")
    await town.settles()
    assert "SF1234567890" in told(mei)
    assert not await broken(town)


async def test_what_is_cancelled_afterwards_goes_back_out_of_both_payments(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    no, heard = await asked(town, mei)
    await mei.pays(heard)
    await town.settles()
    asking = (await boss.says(f"取消 {no} 缺货")).text
    assert "¥42 会原路退给买家" in asking
    await boss.says(f"确认 {asking.rsplit('确认 ', 1)[1][:4]}")
    assert await all_back(town) == 4200
    assert await rows(town, Refund.payment_id, Refund.amount_fen, Refund.state) == [
        (1, 2700, "done"),
        (2, 1500, "done"),
    ]
    assert (await one(town, Order.refunded_fen)) == (4200,)
    assert (await stock(town))[NEW][1] == 0
    assert not await broken(town)


async def test_dearer_and_then_cheaper_again_gives_back_to_the_fen(town: Town) -> None:
    mei = await customer(town, "小美")
    no, heard = await asked(town, mei)
    await mei.pays(heard)
    await town.settles()
    assert "¥15 原路退回" in (await mei.says(f"换规格 {no} {OLD}")).text
    again = await mei.says(f"换规格 {no} {NEW}")
    assert "补差价 ¥15" in again.text
    await mei.pays(again)
    await town.settles()
    assert await all_back(town) == 1500
    assert await one(town, Order.total_fen, Order.spare_fen, Order.refunded_fen) == (5700, 1500, 1500)
    assert not await broken(town)


async def test_nobody_pays_and_the_order_goes_on_as_it_was(town: Town) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    before = await stock(town)
    no, heard = await asked(town, mei)
    for _ in range(2):
        await town.later(minutes=16)
    assert "到时间没有付" in told(mei)
    assert (await stock(town))[NEW] == before[NEW]
    assert not await waits(town)
    assert "¥15" in (page := await mei.opens(pay_link(heard))).text
    assert not page.code_url
    assert "请把货" not in (await boss.says(f"面单 {no}")).text
    assert f"{OLD} ×1" in (await mei.says(f"订单 {no}")).text
    assert not await broken(town)


async def test_who_may_be_paying_when_time_is_up_is_waited_for(town: Town) -> None:
    mei = await customer(town, "小美")
    before = await stock(town)
    _, heard = await asked(town, mei)
    await (await mei.opens(pay_link(heard))).presses_the_button()
    town.stage.cashier.withhold = True
    await mei.pays(heard)  # and no callback comes: the question at the end finds it
    for _ in range(2):
        await town.later(minutes=16)
    await town.settles()
    assert "收到您补的 ¥15" in told(mei)
    assert (await stock(town))[OLD] == before[OLD]
    assert not await broken(town)


async def test_while_a_supplement_is_waited_for_each_way_out_is_named(town: Town) -> None:
    mei = await customer(town, "小美")
    no, _ = await asked(town, mei)
    for words in (f"退款 {no}", "取消"):
        assert "回 不换了" in (await mei.says(words)).text
    assert "照原来的发" in (await mei.says("不换了")).text
    assert "是因为什么" in (await mei.says(f"退款 {no}")).text


@pytest.mark.parametrize("pressed", [False, True])
async def test_a_change_of_mind_about_the_change_of_mind(town: Town, pressed: bool) -> None:
    boss, mei = await town.owner(), await customer(town, "小美")
    before = await stock(town)
    no, heard = await asked(town, mei)
    if pressed:
        await (await mei.opens(pay_link(heard))).presses_the_button()
    said = (await mei.says("不换了")).text
    await town.settles()
    news = told(mei)
    assert ("正在取消" in said) == pressed
    assert ("照原来的发" in news) == pressed
    assert ("照原来的发" in said) != pressed
    assert (await stock(town))[NEW] == before[NEW]
    assert "没有要补差价" in (await mei.says("不换了")).text
    assert no in (await boss.says(f"面单 {no}")).text
    assert not await broken(town)


async def test_a_dearer_place_is_paid_for_and_then_it_goes_there(town: Town) -> None:
    await freight(town, Zone(("新疆维吾尔自治区",), 1, 2000), Zone((), 1, 900))
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await bought(town, mei)
    heard = await mei.says(f"改地址 {no} {URUMQI}")
    assert "补运费 ¥11" in heard.text
    assert "人民路1号" in heard.text
    assert "浙江省" in (await mei.says(f"订单 {no}")).text
    await mei.pays(heard)
    await town.settles()
    assert "新疆维吾尔自治区" in told(mei)
    assert "人民路1号" in (await boss.says("待发货")).text
    assert await one(town, Order.total_fen, Order.freight_fen) == (3900, 2000)
    assert not await broken(town)


async def test_in_a_group_a_dearer_change_is_refused(town: Town) -> None:
    await freight(town, Zone(("新疆维吾尔自治区",), 1, 2000), Zone((), 1, 900))
    mei = await customer(town, "小美")
    placed = await orders(mei, "开团 A1")
    await mei.pays(placed)
    await town.settles()
    assert "要多 ¥11" in (await mei.says(f"改地址 {number(placed)} {URUMQI}")).text
    assert await rows(town, Supplement.id) == []
    assert not await broken(town)


async def test_nobody_changes_or_drops_somebody_else_s(town: Town) -> None:
    mei, lin = await customer(town, "小美"), await customer(town, "小林")
    no, _ = await asked(town, mei)
    for said in (f"补差价 {no}", f"不换了 {no}"):
        assert "没找到" in (await lin.says(said)).text
        await lin.says("你好")
    assert "没有要补差价" in (await lin.says("不换了")).text
    assert await waits(town)


async def test_what_somebody_else_wants_is_not_held_twice(town: Town) -> None:
    mei, lin = await customer(town, "小美"), await customer(town, "小林")
    no = await bought(town, mei)
    async with town.stage.house.store.session() as session, session.begin():
        await session.execute(text(f"UPDATE sku SET on_hand = held + 1 WHERE label = '{NEW}' AND price_fen = 3400"))
    await mei.says(f"换规格 {no} {NEW}")
    await orders(lin, GREEN, NEW)
    assert (await stock(town))[NEW] == (1, 1)
    assert len(await rows(town, Order.id)) == 1
    assert not await broken(town)


# -- money that comes as it likes ------------------------------------------------------------------------


async def says(town: Town, attempt: Attempt, number: str, state: str = "SUCCESS", fen: int | None = None) -> str:
    """What the cashier says of an attempt, as if it came by a callback."""
    house = town.stage.house
    paid = state == "SUCCESS"
    trade = Trade(
        attempt.out_trade_no, state, number if paid else "", attempt.amount_fen if fen is None else fen, "CNY", "oP",
        house.clock.now(), "callback",
    )  # fmt: skip
    async with house.store.session() as session, session.begin():
        return (await settle_trade(Work(session, house.clock.now()), trade, house.desk.figures)).outcome


async def attempt_of(town: Town, person: Follower, heard: Heard) -> Attempt:
    """The attempt that the button of a supplement's pay page makes."""
    await (await person.opens(pay_link(heard))).presses_the_button()
    async with town.stage.house.store.session() as session:
        return (
            (
                await session.execute(
                    select(Attempt).where(Attempt.supplement_id.is_not(None)).order_by(Attempt.id.desc())
                )
            )
            .scalars()
            .all()[0]
        )


async def test_money_that_comes_after_its_time_goes_back_and_changes_nothing(town: Town) -> None:
    mei = await customer(town, "小美")
    _, heard = await asked(town, mei)
    attempt = await attempt_of(town, mei, heard)
    assert await says(town, attempt, "", "CLOSED") == "closed"
    for _ in range(2):
        await town.later(minutes=16)
    assert await says(town, attempt, "t9") == "orphan"
    assert await all_back(town) == 1500
    assert await one(town, Order.total_fen, Order.refunded_fen) == (2700, 0)
    assert [row[1:] for row in await rows(town, Payment.id, Payment.state, Payment.cause)] == [
        ("credited", ""),
        ("orphan", "closed"),
    ]
    assert not await broken(town)


async def test_control_without_the_guard_of_late_money_the_held_pieces_have_to_stop_it(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settlement, "too_late", lambda order, bill: "")
    mei = await customer(town, "小美")
    _, heard = await asked(town, mei)
    attempt = await attempt_of(town, mei, heard)
    await says(town, attempt, "", "CLOSED")
    await mei.says("不换了")
    with pytest.raises((Contended, NotNow)):
        await says(town, attempt, "t9")


async def test_it_is_paid_twice_and_once_goes_back(town: Town) -> None:
    mei = await customer(town, "小美")
    _, heard = await asked(town, mei)
    attempt = await attempt_of(town, mei, heard)
    said = [await says(town, attempt, n) for n in ("t1", "t1", "t2")]
    assert said == ["credited", "again", "orphan"]
    assert await all_back(town) == 1500
    assert await one(town, Order.total_fen, Order.refunded_fen) == (4200, 0)
    assert not await broken(town)


async def test_a_wrong_sum_pays_no_difference(town: Town) -> None:
    mei = await customer(town, "小美")
    no, heard = await asked(town, mei)
    assert await says(town, await attempt_of(town, mei, heard), "t1", fen=1) == "orphan"
    assert await waits(town), "there is still time to pay what was asked"
    await mei.pays(heard)
    await town.settles()
    assert f"{NEW} ×1" in (await mei.says(f"订单 {no}")).text
    assert not await broken(town)


async def test_in_whatever_order_the_cashier_speaks_it_is_paid_once(town: Town) -> None:
    for n, said in enumerate(itertools.permutations(("SUCCESS", "NOTPAY", "CLOSED"))):
        buyer = await customer(town, f"客人{n}")
        _, heard = await asked(town, buyer)
        attempt = await attempt_of(town, buyer, heard)
        for state in (*said, *said):
            await says(town, attempt, f"t{n}", state)
    assert {row[1] for row in await rows(town, Supplement.id, Supplement.state)} == {"paid"}
    assert {row[1] for row in await rows(town, Order.id, Order.total_fen)} == {4200}
    assert not await broken(town)


async def test_what_has_gone_back_meanwhile_is_not_changed_any_more(town: Town) -> None:
    mei = await customer(town, "小美")
    before = await stock(town)
    _, heard = await asked(town, mei)
    async with town.stage.house.store.session() as session, session.begin():
        await session.execute(text("UPDATE hold SET state = 'freed' WHERE kind = 'stock'"))
    await mei.pays(heard)
    await town.settles()
    assert "可要换的已经退了" in told(mei)
    assert await all_back(town) == 1500
    assert await one(town, Supplement.state) == ("closed",)
    assert (await stock(town))[NEW] == before[NEW]
    assert not await waits(town)


@pytest.mark.parametrize("pressed", [False, True])
async def test_an_order_that_is_cancelled_waits_for_nothing(town: Town, pressed: bool) -> None:
    """The other spec is free at once, and who still pays gets it back."""
    boss, mei = await town.owner(), await customer(town, "小美")
    before = await stock(town)
    no, heard = await asked(town, mei)
    attempt = await attempt_of(town, mei, heard) if pressed else None
    asking = (await boss.says(f"取消 {no} 缺货")).text
    await boss.says(f"确认 {asking.rsplit('确认 ', 1)[1][:4]}")
    assert (await stock(town))[NEW] == before[NEW]
    if attempt is not None:
        assert await says(town, attempt, "t9") == "orphan"
    assert await all_back(town) == 2700 + 1500 * pressed
    assert await one(town, Supplement.state, Supplement.closed_cause) == ("closed", "order")
    assert "到时间没有付" not in told(mei)
    assert not await broken(town)


async def test_money_for_another_place_goes_back_when_the_order_was_ended_meanwhile(town: Town) -> None:
    """Nothing of it is held that could be missing: that the order is over is all there is to see."""
    await freight(town, Zone(("新疆维吾尔自治区",), 1, 2000), Zone((), 1, 800))
    boss, mei = await town.owner(), await customer(town, "小美")
    no = await bought(town, mei)
    attempt = await attempt_of(town, mei, await mei.says(f"改地址 {no} {URUMQI}"))
    town.stage.cashier.fail_next("", drop=True, times=10_000)
    digits = re.search(r"确认 (\d{4})", (await boss.says(f"取消 {no} 缺货")).text)
    assert digits
    await boss.says(f"确认 {digits[1]}")
    assert await rows(town, Supplement.state) == [("closing",)]
    assert await says(town, attempt, "4200009") == "orphan"
    town.stage.cashier.faults.clear()
    assert await one(town, Order.state) == ("closed",)
    assert await rows(town, Supplement.state) == [("closed",)]
    assert await all_back(town) == 2700 + 1200
    assert not await broken(town)
