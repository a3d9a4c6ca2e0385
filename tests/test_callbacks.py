"""The cashier's words: in any order they end alike, silence ends alike too, and nobody else's change a row."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

import pytest
from backroom import HOME, Backroom
from sqlalchemy import func, select, text
from town import Blank, Town

from bot.pay.till import _refund
from bot.pay.told import RefundState, Trade, refund_of, trade_of
from bot.simulator.stage import make_owner
from handlers.intents import BuyLines, CancelOrder, SellerCancelNow
from models import tables
from models.follower import Follower
from models.hold import Hold
from models.ledger import Entry
from models.order import Order
from models.outbox import Outbox
from models.payment import Attempt, Payment
from models.product import Sku
from models.refund import Refund
from models.store import Store
from models.verify import offenders

BOSS = "oBoss"
Row = tuple[Any, ...]


# -- in any order ------------------------------------------------------------------------------------------


class Desk:
    """A shop, and at its cashier's one order after the other, each of another buyer."""

    def __init__(self, room: Backroom, sku: int) -> None:
        self.room, self.sku, self.buyers = room, sku, 0

    async def order(self) -> tuple[str, str]:
        """An order that is being paid; (its number, whose)."""
        self.buyers += 1
        who = f"oBuyer{self.buyers}"
        await self.room.says(who, f"地址 {HOME}")
        await self.room.wishes(who, BuyLines(((self.sku, 1),)))
        row = await self.room.store.reader.one(select(Order.no, Order.pay_code).order_by(Order.id.desc()).limit(1))
        assert row is not None
        await self.room.presses(row.pay_code)
        return row.no, who

    def newest(self, state: str = "") -> Trade:
        """What the cashier says of the newest order there, or would have said in that state."""
        sold = list(self.room.books.orders.values())[-1]
        kept, sold.state = sold.state, state or sold.state
        told = trade_of(self.room.books.trade(sold))
        sold.state = kept
        return told

    def pays(self) -> None:
        sold = list(self.room.books.orders.values())[-1]
        sold.state = "NOTPAY"
        self.room.books.pay(sold.code, "oPayer", 0)

    def heard(self, about: Trade | RefundState, source: str) -> Callable[[], Awaitable[Any]]:
        """The same word by callback, or as the answer to a question of ours."""
        if source == "callback":
            return lambda: self.room.hears_of(about)
        till = self.room.house.till
        fact = till._seen(about, source) if isinstance(about, Trade) else _refund(about)
        return lambda: self.room.house.desk.fact(fact)

    async def end(self, no: str, who: str) -> Row:
        """What has become of an order, without numbers and moments."""
        read = self.room.store.reader.all
        order = await read(select(Order.id, Order.state, Order.refunded_fen).where(Order.no == no))
        mine = order[0].id
        told = select(Outbox.name).join(Follower, Follower.id == Outbox.follower_id).where(Follower.who == who)
        summed = select(Entry.account, func.sum(Entry.amount_fen)).where(Entry.order_id == mine)
        found: Sequence[Sequence[Any]] = (
            await read(select(Attempt.state).where(Attempt.order_id == mine)),
            await read(select(Payment.state, Payment.cause, Payment.amount_fen).where(Payment.order_id == mine)),
            await read(select(Refund.reason, Refund.state, Refund.amount_fen).where(Refund.order_id == mine)),
            await read(select(Hold.kind, Hold.quantity, Hold.state).where(Hold.order_id == mine)),
            await read(summed.group_by(Entry.account).order_by(Entry.account)),
            await read(told.where(Outbox.kind == "notice").order_by(Outbox.name)),
        )
        return (*order[0][1:], *(tuple(map(tuple, part)) for part in found))


@pytest.fixture
async def desk(database: str, blank: Blank, tmp_path: Path) -> AsyncIterator[Desk]:
    shutil.copytree(blank.folder / "cashier", tmp_path / "cashier")
    room = Backroom(tmp_path, database)
    await room.open()
    limits = replace(room.house.figures.limits, messages_per_minute=10**9, messages_per_day=10**9)
    # The clock stands, and one merchant says more than in any minute.
    room.house.desk.figures = replace(room.house.figures, limits=limits)
    sku = await room.one(select(Sku.id).order_by(Sku.id))
    async with room.store.engine.begin() as connection:
        await connection.execute(text("UPDATE sku SET on_hand = 100000"))
    await room.says(BOSS, f"绑定 {await make_owner(room.house)}")
    yield Desk(room, sku)
    await room.close()


Word = Callable[[], Awaitable[Any]]
Story = Callable[[Desk, str, str], Awaitable[list[Word]]]


async def paid(desk: Desk, no: str, who: str) -> list[Word]:
    """Paid; a question from before is answered late."""
    before = desk.newest()
    desk.pays()
    now = desk.newest()
    return [desk.heard(now, s) for s in ("callback", "query", "close")] + [desk.heard(before, "query")]


async def cancelled(desk: Desk, no: str, who: str) -> list[Word]:
    """Cancelled, and closed at the cashier's."""
    before, after = desk.newest(), desk.newest("CLOSED")
    await desk.room.wishes(who, CancelOrder(no))
    return [desk.heard(after, s) for s in ("close", "query")] + [desk.heard(before, s) for s in ("close", "query")]


async def too_late(desk: Desk, no: str, who: str) -> list[Word]:
    """Cancelled and closed, and paid all the same."""
    before, after = desk.newest(), desk.newest("CLOSED")
    await desk.room.wishes(who, CancelOrder(no))
    await desk.heard(after, "close")()
    desk.pays()
    now = desk.newest()
    return [desk.heard(now, s) for s in ("callback", "query")] + [desk.heard(w, "query") for w in (before, after)]


async def paid_back(desk: Desk, no: str, who: str) -> list[Word]:
    """Paid and given back; what was said of the payment is said once more."""
    room = desk.room
    desk.pays()
    paid = desk.newest()
    await desk.heard(paid, "callback")()
    await room.wishes(BOSS, SellerCancelNow(no, "没货"))
    row = await room.store.reader.one(
        select(Refund.out_refund_no, Refund.amount_fen).order_by(Refund.id.desc()).limit(1)
    )
    assert row is not None
    amount = {"refund": row.amount_fen, "total": paid.total_fen, "currency": "CNY"}
    said = {
        "out_refund_no": row.out_refund_no,
        "out_trade_no": paid.out_trade_no,
        "amount": amount,
        "reason": "订单退款",
    }
    accepted = refund_of(room.books.refund(said))
    refund = room.books.refunds[row.out_refund_no]
    refund.state, refund.settled = "SUCCESS", room.clock.now()
    done = refund_of(room.books.refunded(refund))
    words = [desk.heard(done, "callback"), desk.heard(done, "query"), desk.heard(accepted, "query")]
    return [*words, desk.heard(paid, "callback"), desk.heard(desk.newest(), "query")]


@pytest.mark.parametrize(
    ("story", "ends"),
    [
        (paid, ("paid", (("credited", ""),), ())),
        (cancelled, ("closed", (), ())),
        (too_late, ("closed", (("orphan", "closed"),), (("late", "due"),))),
        (paid_back, ("closed", (("credited", ""),), (("seller", "done"),))),
    ],
)
async def test_in_whatever_order_and_however_often_the_cashier_speaks_all_ends_alike(
    desk: Desk, long: bool, story: Story, ends: Row
) -> None:
    """Every order of the words, and orders in which one of them comes again."""
    chance = Random(3)
    count = 4 if story is not paid_back else 5
    once = [*permutations(range(count))]
    again = sorted({(*o[:n], word, *o[n:]) for o in once for n in range(count + 1) for word in range(count)})
    found = dict[Row, Row]()
    for sequence in once + chance.sample(again, 240) if long else chance.sample(once, 4) + chance.sample(again, 4):
        no, who = await desk.order()
        words = await story(desk, no, who)
        for n in sequence:
            await words[n]()
        found[await desk.end(no, who)] = sequence
    assert len(found) == 1, found
    end = next(iter(found))
    assert (end[0], tuple(p[:2] for p in end[3]), tuple(r[:2] for r in end[4])) == ends
    broken = await offenders(desk.room.store, desk.room.clock.now())
    assert not broken, [(i.name, ids) for _, i, ids in broken]


# -- not at all --------------------------------------------------------------------------------------------


async def virtual(town: Town) -> None:
    """There is much of A11, and it needs no address."""
    async with town.stage.house.store.engine.begin() as connection:
        await connection.execute(text("UPDATE product SET ships = false WHERE code = 'A11'"))
        await connection.execute(text("UPDATE sku SET on_hand = 100000"))


async def test_where_no_callback_comes_every_paid_order_is_found_by_asking(town: Town, long: bool) -> None:
    count, cashier = 500 if long else 20, town.stage.cashier
    await virtual(town)
    cashier.withhold = True
    for n in range(count):
        buyer = town.wechat(f"客人{n}")
        await buyer.pays(await buyer.says("买 A11 50g"))
    cashier.notices.clear()
    reader = town.stage.house.store.reader
    found = select(func.count(Payment.id)).join(Order).where(Payment.state == "credited", Payment.source == "query")
    for _ in range(1 + -(-count // 200)):  # after a minute, two hundred a minute
        await town.later(minutes=1)
    assert [tuple(row) for row in await reader.all(found.where(Order.paid_at.is_not(None)))] == [(count,)]
    assert [tuple(row) for row in await reader.all(select(func.count(Payment.id)))] == [(count,)]
    assert await offenders(town.stage.house.store, town.stage.house.clock.now()) == []


# -- not by the cashier ------------------------------------------------------------------------------------


async def dump(store: Store) -> dict[str, list[Row]]:
    """Every row there is."""
    return {
        t.name: [tuple(row) for row in await store.reader.all(select(t).order_by(*t.primary_key.columns))]
        for t in tables.metadata.sorted_tables
    }


FORGED: list[tuple[dict[str, Any], int]] = [
    ({"garbled": "signature"}, 401),
    ({"garbled": "key"}, 401),
    ({"garbled": "body"}, 401),
    ({"garbled": "truncated"}, 401),
    ({"garbled": "serial"}, 401),
    ({"garbled": "probe"}, 401),
    ({"garbled": "cipher"}, 400),
    ({"late": 301 + 5}, 401),
    ({"late": -301 - 5}, 401),
    ({"changed": {"mchid": "1900000099"}}, 401),
]
OF_A_PAYMENT: list[tuple[dict[str, Any], int]] = [
    ({"changed": {"appid": "wxsomebodyelses"}}, 401),
    ({"changed": {"amount": {"total": "1900", "currency": "CNY"}}}, 400),
    ({"changed": {"amount": {}}}, 400),
    ({"changed": {"transaction_id": ""}}, 400),
]


async def test_money_under_a_number_that_is_not_here_is_said_again_and_the_owner_hears_of_it_once(town: Town) -> None:
    boss, mei, cashier = await town.owner(), town.wechat("小美"), town.stage.cashier
    cashier.withhold = True
    await mei.says(f"地址 {HOME}")
    await mei.pays(await mei.says("买 A11 50g"))
    for _ in range(2):
        assert (await cashier.deliver(changed={"out_trade_no": "tpsomebodyelses"}))[0][0] == 500
    await town.settles()
    assert [said.text.count("tpsomebodyelses") for said in boss.inbox if "对不上" in said.text] == [1]
    assert (await cashier.deliver())[0][0] == 200
    assert not await offenders(town.stage.house.store, town.stage.house.clock.now())


async def test_what_the_cashier_has_not_said_of_our_orders_changes_no_row(town: Town) -> None:
    boss, mei, cashier = await town.owner(), town.wechat("小美"), town.stage.cashier
    store = town.stage.house.store
    cashier.withhold = True
    await mei.says(f"地址 {HOME}")
    await mei.pays(await mei.says("买 A11 50g"))
    before = await dump(store)
    for how, status in FORGED + OF_A_PAYMENT:
        assert [answer[0] for answer in await cashier.deliver(**how)] == [status], how
        assert await dump(store) == before, how
    assert (await cashier.deliver())[0][0] == 200
    after = await dump(store)
    assert {name for name in before if before[name] != after[name]} >= {"order", "payment", "attempt", "ledger", "sku"}
    [no] = [row[0] for row in await store.reader.all(select(Order.no))]
    asked = (await boss.says(f"取消 {no} 缺货")).text
    await boss.says(f"确认 {asked.rsplit('确认 ', 1)[1][:4]}")
    await town.later(minutes=1)
    [number] = [refund.out_refund_no for refund in await cashier.refund_settle()]
    before = await dump(store)
    for how, status in FORGED:
        assert [answer[0] for answer in await cashier.deliver(number, **how)] == [status], how
        assert await dump(store) == before, how
    assert (await cashier.deliver(number))[0][0] == 200
    assert [tuple(row) for row in await store.reader.all(select(Refund.state))] == [("done",)]


@pytest.mark.parametrize(
    ("amount", "cause"),
    [
        ({"total": 1, "currency": "CNY"}, "amount"),
        ({"total": 190000, "currency": "CNY"}, "amount"),
        ({"total": 1900, "currency": "HKD"}, "currency"),
    ],
)
async def test_a_wrong_sum_pays_nothing_and_goes_back(town: Town, amount: dict[str, Any], cause: str) -> None:
    mei, cashier, store = town.wechat("小美"), town.stage.cashier, town.stage.house.store
    await virtual(town)
    cashier.withhold = True
    await mei.pays(await mei.says("买 A11 50g"))
    before = await dump(store)
    assert (await cashier.deliver(changed={"amount": amount}))[0][0] == 200
    after = await dump(store)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"attempt", "ledger", "outbox", "payment", "refund"}, "the order and its goods are as they were"
    money = await store.reader.all(
        select(Payment.state, Payment.cause, Payment.amount_fen, Payment.refund_reserved_fen)
    )
    assert [tuple(row) for row in money] == [("orphan", cause, amount["total"], amount["total"])]
    assert [tuple(row) for row in await store.reader.all(select(Refund.state, Refund.amount_fen))] == [
        ("due", amount["total"])
    ]
    assert await offenders(store, town.stage.house.clock.now()) == []
