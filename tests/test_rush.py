"""The races, on PostgreSQL, each with a control twin that fails when the guard is off.

SQLite lets one writer in at a time and hides what PostgreSQL shows: a rush that is green there proves nothing.
"""

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import func, select, text, true
from test_sale import number
from town import Town

from handlers.intents import EndSupplement
from models import aftersale, groupbuy, hand, product, settlement
from models.aftersale import Case
from models.base import Work
from models.groupbuy import Group, Seat
from models.order import Order
from models.payment import Attempt, Attempts, Payment
from models.product import Product, Sku
from models.refund import Refund
from models.request import Requests
from models.supplement import Supplement
from models.verify import offenders

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

ADDRESS = "地址 张三 13800138000 浙江省杭州市西湖区文三路1号"
BUYERS = 24
PIECES = 5


async def run(town: Town, *statements: str) -> None:
    async with town.stage.house.store.engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def one(town: Town, statement: Any) -> Any:
    row = await town.stage.house.store.reader.one(statement)
    return row[0] if row is not None else None


async def crowd(town: Town, count: int) -> list[Any]:
    """So many followers who have said where they live."""
    people = [town.wechat(f"客人{i}") for i in range(count)]
    for person in people:
        await person.says(ADDRESS)
    return people


async def stock(town: Town, pieces: int) -> int:
    """A11's first spec has just so many pieces, and nothing else of it is for sale."""
    sku = await one(
        town,
        select(Sku.id).join(Product, Product.id == Sku.product_id).where(Product.code == "A11").order_by(Sku.place),
    )
    await run(town, f"UPDATE sku SET on_hand = {pieces}, held = 0 WHERE id = {int(sku)}")
    return int(sku)


async def all_buy(town: Town, count: int) -> tuple[int, int]:
    """Everybody buys one at the same moment; (orders made, pieces held)."""
    people = await crowd(town, count)
    sku = await stock(town, PIECES)
    await asyncio.gather(*(p.says("buy A11 x1") for p in people))
    await asyncio.gather(*(p.says("1") for p in people))
    made = await one(town, select(func.count()).select_from(Order).where(Order.state == "pending"))
    held = await one(town, select(Sku.held).where(Sku.id == sku))
    return int(made), int(held)


async def test_the_last_pieces_are_sold_once_each_however_many_ask_at_the_same_moment(town: Town) -> None:
    made, held = await all_buy(town, BUYERS)
    assert (made, held) == (PIECES, PIECES)
    assert await offenders(town.stage.house.store, town.stage.house.clock.now()) == []


async def test_control_without_the_guard_the_last_pieces_are_oversold(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product, "room_for", lambda quantity: true())
    await run(town, "ALTER TABLE sku DROP CONSTRAINT ck_sku_held_within_stock")
    made, _ = await all_buy(town, BUYERS)
    assert made > PIECES, "the race did not happen: this test has lost its teeth"


async def forming(town: Town) -> tuple[str, int]:
    """A group of two with one paid seat: its code and its id."""
    opener = town.wechat("团长")
    await opener.says(ADDRESS)
    await opener.pays(await opener.says("开团 A6"))
    await town.settles()
    row = await town.stage.house.store.reader.one(select(Group.code, Group.id))
    assert row is not None
    return row.code, row.id


async def all_join(town: Town) -> int:
    """Ten join for the one free seat at the same moment; how many seats are held or taken."""
    people = await crowd(town, 10)
    code, group = await forming(town)
    await asyncio.gather(*(p.says(f"参团 {code}") for p in people))
    held = await one(town, select(func.count()).select_from(Seat).where(Seat.group_id == group, Seat.state != "freed"))
    return int(held)


async def test_the_last_seat_is_given_once(town: Town) -> None:
    assert await all_join(town) == 2
    assert await offenders(town.stage.house.store, town.stage.house.clock.now()) == []


async def test_control_without_the_numbered_seat_the_last_one_is_given_to_several(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(town, "DROP INDEX uq_seat_number")
    monkeypatch.setattr(groupbuy, "free_number", lambda taken, size: size)
    monkeypatch.setattr(groupbuy.Group, "join", lambda self, *given, **more: None)
    assert await all_join(town) > 2, "the race did not happen: this test has lost its teeth"


async def paid_thrice(town: Town) -> tuple[int, int]:
    """An order whose callback comes three times at once; (payments written, refunds owed)."""
    buyer = town.wechat("小美")
    await buyer.says(ADDRESS)
    await buyer.says("买 A11")
    order = await buyer.says("1")
    town.stage.cashier.withhold = True
    await buyer.pays(order)
    town.stage.cashier.withhold = False
    await asyncio.gather(*(town.stage.cashier.deliver() for _ in range(3)))
    payments = await one(town, select(func.count()).select_from(Payment))
    refunds = await one(town, select(func.count()).select_from(Refund))
    return int(payments), int(refunds)


async def test_a_callback_that_comes_three_times_at_once_is_credited_once(town: Town) -> None:
    assert await paid_thrice(town) == (1, 0)
    assert await one(town, select(Order.state)) == "paid"
    assert await offenders(town.stage.house.store, town.stage.house.clock.now()) == []


async def test_control_without_the_known_transaction_a_repeated_callback_is_new_money(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(work: Work, transaction_id: str) -> bool:
        return False

    monkeypatch.setattr(settlement, "known", never)
    await run(town, "ALTER TABLE payment DROP CONSTRAINT uq_payment_transaction_id")
    payments, _ = await paid_thrice(town)
    assert payments > 1, "the race did not happen: this test has lost its teeth"


async def taken_by_two(town: Town) -> int:
    """Two managers confirm the same money at the same moment; how often it was written down."""
    boss, other, buyer = await town.owner(), await town.owner("老板娘"), town.wechat("小美")
    await buyer.says(ADDRESS)
    await buyer.says("买 A11")
    no = number(await buyer.says("1"))
    asked = [(await one.says(f"收款 {no}")).text for one in (boss, other)]
    await asyncio.gather(*(one.says(words.strip()[-7:]) for one, words in zip((boss, other), asked, strict=True)))
    return int(await one(town, select(func.count()).select_from(Payment)))


async def test_money_by_hand_that_two_confirm_at_once_is_credited_once(town: Town) -> None:
    assert await taken_by_two(town) == 1
    assert await offenders(town.stage.house.store, town.stage.house.clock.now()) == []


async def test_control_without_the_order_s_number_as_its_name_it_is_written_down_twice(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand, "named", lambda order: f"hand:{time.perf_counter_ns()}")
    monkeypatch.setattr(Order, "payable", True)
    assert await taken_by_two(town) == 2, "the race did not happen: this test has lost its teeth"


async def paid_in_hand_while_it_is_paid(town: Town) -> tuple[int, int]:
    """Four buyers press the button of the pay page while staff write down their money; (credited, still payable)."""
    boss, buyers = await town.owner(), await crowd(town, 4)
    for buyer in buyers:
        await buyer.says("买 A11")
        placed = await buyer.says("1")
        page = await buyer.opens(next(link for link in placed.links if "/pay/" in link.url))
        asked = (await boss.says(f"收款 {number(placed)}")).text
        await asyncio.gather(page.presses_the_button(), boss.says(asked.strip()[-7:]))
    taken = await one(town, select(func.count()).select_from(Payment).where(Payment.state == "credited"))
    paid = select(Order.id).where(Order.state == "paid")
    still = await one(
        town,
        select(func.count()).select_from(Attempt).where(Attempt.state.in_(["new", "live"]), Attempt.order_id.in_(paid)),
    )
    return int(taken), int(still)


async def test_what_is_paid_in_hand_cannot_be_paid_at_the_cashier_too(town: Town) -> None:
    _, still = await paid_in_hand_while_it_is_paid(town)
    assert still == 0
    await town.settles()
    assert await offenders(town.stage.house.store, town.stage.house.clock.now()) == []


async def test_control_without_the_one_open_attempt_it_can(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(self: Attempts, bill: Any) -> None:
        return None

    monkeypatch.setattr(Attempts, "open_for", none)
    await run(town, "DROP INDEX uq_attempt_one_open")
    taken, still = await paid_in_hand_while_it_is_paid(town)
    assert taken == 4
    assert still > 0, "the race did not happen: this test has lost its teeth"


async def dropped_while_it_is_agreed(town: Town) -> list[tuple[str, int]]:
    """Four want their money back and drop it as the shop agrees; how each case stands, and what goes back."""
    boss, buyers = await town.owner(), await crowd(town, 4)
    for buyer in buyers:
        await buyer.says("买 A11")
        placed = await buyer.says("1")
        await buyer.pays(placed)
        await town.settles()
        no = number(placed)
        await buyer.says(f"退款 {no} 不想要了")
        asked = (await boss.says(f"同意 {no}")).text
        await asyncio.gather(boss.says(asked.strip()[-7:]), buyer.says("不退了"))
    owed = select(func.coalesce(func.sum(Refund.amount_fen), 0)).where(Refund.order_id == Case.order_id)
    rows = await town.stage.house.store.reader.all(
        select(Case.state, owed.scalar_subquery().label("fen")).order_by(Case.id)
    )
    return [(row.state, int(row.fen)) for row in rows]


async def test_a_case_that_is_dropped_as_the_shop_agrees_is_one_of_the_two(town: Town) -> None:
    found = await dropped_while_it_is_agreed(town)
    assert len(found) == 4
    assert set(found) <= {("withdrawn", 0), ("refunding", 2700), ("done", 2700)}
    assert await offenders(town.stage.house.store, town.stage.house.clock.now()) == []


async def test_control_without_the_edges_of_a_case_money_goes_back_for_one_that_was_dropped(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aftersale, "may_go", lambda before, to: True)
    monkeypatch.setattr(aftersale, "OPEN", tuple(aftersale.WORDS))
    assert ("withdrawn", 2700) in await dropped_while_it_is_agreed(town), "this test has lost its teeth"


async def moved_while_it_leaves(town: Town) -> list[str]:
    """Four buyers of packed orders want them elsewhere while staff ship them; what does not hold afterwards."""
    boss, buyers = await town.owner(), await crowd(town, 4)
    numbers = []
    for buyer in buyers:
        await buyer.says("买 A11")
        placed = await buyer.says("1")
        await buyer.pays(placed)
        await town.settles()
        numbers.append(number(placed))
        await boss.says(f"面单 {numbers[-1]}")
    there = "李四 13900139000 上海市浦东新区世纪大道100号"
    wishes = [buyer.says(f"改地址 {no} {there}") for buyer, no in zip(buyers, numbers, strict=True)]
    await asyncio.gather(*wishes, *(boss.says(f"发货 {no} SF{n}2345678") for n, no in enumerate(numbers)))
    return [one.name for _, one, _ in await offenders(town.stage.house.store, town.stage.house.clock.now())]


async def test_no_parcel_leaves_for_the_old_address_while_its_buyer_names_another(town: Town) -> None:
    assert await moved_while_it_leaves(town) == []


async def test_control_without_the_look_at_wishes_a_parcel_leaves_past_one(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(self: Requests, order: Order) -> None:
        return None

    monkeypatch.setattr(Requests, "in_the_way", never)
    assert "request_seen_before_it_leaves" in await moved_while_it_leaves(town), "this test has lost its teeth"


async def test_one_message_three_times_at_once_makes_one_order(town: Town) -> None:
    buyer = town.wechat("小美")
    await buyer.says(ADDRESS)
    await buyer.says("买 A11")
    first = await buyer.says("1")
    again = await buyer.gets_it_again(first, 3, at_once=True)
    assert {h.text for h in again} == {first.text}
    assert await one(town, select(func.count()).select_from(Order)) == 1


async def test_control_without_the_inbox_the_message_is_handled_anew(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = town.wechat("小美")
    await buyer.says(ADDRESS)
    first = await buyer.says("buy A11 x2")
    first = await buyer.says("1")
    await run(town, "DELETE FROM inbox")
    await town.stage.house.shared.keep("", "", "", None)
    town.stage.house.shared._kept.clear()  # type: ignore[attr-defined]
    again = await buyer.gets_it_again(first, 1)
    assert again[0].text != first.text, "the message was known although nothing had been kept of it"


async def paid_while_it_ends(town: Town) -> tuple[str, str]:
    """Paid (told three times), timed out and shipped by staff at one moment; how supplement and order stand then."""
    boss, buyer = await town.owner(), town.wechat("小美")
    await buyer.says(ADDRESS)
    await buyer.says("买 A11")
    placed = await buyer.says("1")
    await buyer.pays(placed)
    await town.settles()
    asked = await buyer.says("换规格 100g 罐装")
    town.stage.cashier.withhold = True
    await buyer.pays(asked)
    town.stage.cashier.withhold = False
    await run(town, "UPDATE supplement SET pay_until = made")
    await asyncio.gather(
        *(town.stage.cashier.deliver() for _ in range(3)),
        town.stage.house.desk.fact(EndSupplement(number(placed))),
        boss.says(f"发货 {number(placed)} SF1234567890"),
        buyer.says("不换了"),
    )
    await town.settles()
    row = await town.stage.house.store.reader.one(select(Supplement.state, Order.state).join(Order))
    assert row is not None
    return row[0], row[1]


async def test_a_difference_that_is_paid_while_it_ends_is_credited_once_or_goes_back(town: Town) -> None:
    supplement, order = await paid_while_it_ends(town)
    assert supplement == "paid"
    assert order in ("paid", "shipped"), "before it is paid for nothing leaves; afterwards what leaves is the new spec"
    credited = await town.stage.house.store.reader.all(select(Payment.amount_fen).where(Payment.state == "credited"))
    assert sorted(row[0] for row in credited) == [1500, 2700]
    assert await offenders(town.stage.house.store, town.stage.house.clock.now()) == []


async def test_control_without_the_order_s_waiting_it_leaves_while_its_buyer_pays(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Order, "at_rest", lambda self: None)
    boss, buyer = await town.owner(), town.wechat("小美")
    await buyer.says(ADDRESS)
    await buyer.says("买 A11")
    placed = await buyer.says("1")
    await buyer.pays(placed)
    await town.settles()
    await buyer.says("换规格 100g 罐装")
    await boss.says(f"发货 {number(placed)} SF1234567890")
    found = await offenders(town.stage.house.store, town.stage.house.clock.now())
    assert "order_waits_for_its_supplement" in {invariant.name for _, invariant, _ in found}
