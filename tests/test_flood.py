"""The promises about money in figures: real server processes, a crowd before their doors, control twins beside."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import redis
from conftest import NOON
from fleet import Fleet, Yard, at_once, fleet
from follower import Follower as Person
from sqlalchemy import func, select, text
from town import Blank

from bot.simulator.driver import Heard
from models.follower import Follower
from models.groupbuy import Group, Seat
from models.hold import Hold
from models.ledger import Entry
from models.order import Order
from models.outbox import Outbox
from models.payment import Payment
from models.product import Product, Sku
from models.refund import Refund
from models.verify import offenders

PIECES = 100
UNDER_WAY = 500  # people who wait for an answer at one moment
POSTGRES = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
Open = Callable[..., AbstractAsyncContextManager[Fleet]]


@pytest.fixture(scope="module")
async def yard(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Yard]:
    """Where the server processes of all these tests are started."""
    made = Yard(tmp_path_factory.mktemp("yard"))
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def opens(yard: Yard, database: str, blank: Blank, tmp_path: Path, redis_url: str) -> Open:
    """Opens two server processes on PostgreSQL with Redis between them; on SQLite the one that may be."""
    shutil.copytree(blank.folder / "cashier", tmp_path / "cashier")
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    shared, count = ("", 1) if database.startswith("sqlite") else (redis_url, 2)
    return partial(fleet, yard, tmp_path, database, shared, count, NOON - datetime.now(UTC))


async def goods(there: Fleet, pieces: int) -> None:
    """A11's first spec has just so many pieces; it and A6, of which there are groups of ten, need no address."""
    code = Product.code == "A11"
    sku = await there.one(select(Sku.id).join(Product, Product.id == Sku.product_id).where(code).order_by(Sku.place))
    await there.run(
        text(f"UPDATE sku SET on_hand = {pieces}, held = 0 WHERE id = {int(sku)}"),
        text("UPDATE product SET ships = false WHERE code IN ('A6', 'A11')"),
        text("UPDATE group_offer SET size = 10"),
    )


async def rush(there: Fleet, people: Sequence[Person], words: Callable[[int], str]) -> list[Heard]:
    """Everybody says their words at the same moment; each has an answer, or one that follows, or may say it again."""
    says = [partial(one.driver.says, one.person, words(i)) for i, one in enumerate(people)]
    heard = await at_once(says, UNDER_WAY)
    faults = {h.fault for h in heard if h.fault}
    assert faults <= {"HTTP 503", "no answer within 5 s, 3 times"}, faults
    return heard


async def all_know(there: Fleet, heard: Sequence[Heard]) -> None:
    """Who was answered by silence gets an answer in the end; whoever has an order was told so, or will be.

    Or was told by the platform that something went wrong, and says it again.
    """
    silent = {h.fields["push"].person.who for h in heard if not h.fault and not h.text}
    told = set(re.findall(r"订单 ([2-9A-HJ-NP-Z]{8})", "\n".join(h.text for h in heard)))
    wrong = {h.fields["push"].person.who for h in heard if h.fault}
    later = select(Follower.who).join(Outbox, Outbox.follower_id == Follower.id).where(Outbox.name == "late")
    made = select(Order.no, Follower.who).join(Follower, Follower.id == Order.follower_id)
    known, waited = 0, 0
    while waited < 1200:  # two minutes without any news
        follows = {row.who for row in await there.store.reader.all(later)}
        orders = await there.store.reader.all(made.where(Order.state == "pending"))
        if silent <= follows and all(row.no in told or row.who in follows | wrong for row in orders):
            return
        known, waited = len(follows), waited + 1 if len(follows) == known else 0
        await asyncio.sleep(0.1)
    raise AssertionError(f"{len(silent - follows)} of {len(silent)} never heard anything\n{there.yard.log()}")


async def whole(there: Fleet) -> None:
    broken = await offenders(there.store, there.clock.now())
    assert not broken, [(i.name, ids) for _, i, ids in broken]


# -- the last pieces ---------------------------------------------------------------------------------------


async def sell(there: Fleet, buyers: int, carts: int, pieces: int) -> list[Heard]:
    """Buyers of one and people who have laid it twice into their carts, all at once."""
    await goods(there, pieces)
    crowd = there.crowd(buyers + carts)
    for _ in range(2):
        await at_once([partial(one.says, "加 A11 50g") for one in crowd[:carts]], UNDER_WAY)
    return await rush(there, crowd, lambda i: "结算" if i < carts else "买 A11 50g")


async def sold(there: Fleet) -> int:
    """Pieces that orders hold."""
    return int(await there.one(select(func.sum(Hold.quantity)).where(Hold.kind == "stock", Hold.state == "held")))


async def test_of_a_crowd_at_the_doors_exactly_as_many_buy_as_there_are_pieces(opens: Open, long: bool) -> None:
    async with opens() as there:
        await all_know(there, await sell(there, 9_800 if long else 185, 200 if long else 15, PIECES))
        assert await sold(there) == PIECES
        await whole(there)


@POSTGRES
async def test_control_without_the_guard_the_crowd_buys_more_than_there_is(opens: Open) -> None:
    async with opens(without=["stock"]) as there:
        await there.run(text("ALTER TABLE sku DROP CONSTRAINT ck_sku_held_within_stock"))
        await all_know(there, await sell(there, 60, 0, 5))
        assert await sold(there) > 5, "the race did not happen: this test has lost its teeth"


# -- the last seats ----------------------------------------------------------------------------------------


async def join(there: Fleet, joiners: int) -> list[Heard]:
    """A group of ten with its opener, and a crowd that wants the nine seats."""
    await goods(there, PIECES)
    [opener] = there.crowd(1)
    await opener.pays(await opener.says("开团 A6"))
    code = await there.one(select(Group.code))
    return await rush(there, there.crowd(joiners), lambda i: f"参团 {code}")


async def seated(there: Fleet) -> tuple[int, int]:
    """(seats that are held or taken, people in them)"""
    live = select(func.count(), func.count(Seat.follower_id.distinct())).where(Seat.state != "freed")
    row = await there.store.reader.one(live)
    assert row is not None
    return row[0], row[1]


async def test_of_a_crowd_that_wants_into_a_group_as_many_get_in_as_it_has_seats(opens: Open, long: bool) -> None:
    async with opens() as there:
        await all_know(there, await join(there, 10_000 if long else 60))
        assert await seated(there) == (10, 10)
        await whole(there)


@POSTGRES
async def test_control_without_numbered_seats_the_group_takes_more(opens: Open) -> None:
    async with opens(without=["seat"]) as there:
        await there.run(text("DROP INDEX uq_seat_number"))
        await all_know(there, await join(there, 30))
        assert (await seated(there))[0] > 10, "the race did not happen: this test has lost its teeth"


# -- callbacks ---------------------------------------------------------------------------------------------


async def paid_thrice(there: Fleet, count: int, ends: frozenset[int] = frozenset({200})) -> tuple[int, int]:
    """So many paid orders, each of whose callbacks comes three times at once, `ends` so; (payments, refunds owed)."""
    await goods(there, count)
    there.cashier.withhold = True

    async def buys(one: Person) -> None:
        heard = await one.says("买 A11 50g")
        while not heard.links:  # it took too long for its door
            [heard] = await one.gets_it_again(heard, 1)
        await one.pays(heard)

    await at_once([partial(buys, one) for one in there.crowd(count)], 6)
    assert len(there.cashier.notices) == count
    answers = await at_once([partial(there.calls_back, n, 3) for n in there.cashier.notices], 20)
    assert {one[-1] for each in answers for one in each} <= ends, there.yard.log()
    assert {status for each in answers for one in each for status in one} <= {200, 500}
    payments, refunds = [await there.one(select(func.count()).select_from(t)) for t in (Payment, Refund)]
    return int(payments), int(refunds)


@POSTGRES
async def test_callbacks_that_come_three_times_at_once_to_two_processes_are_credited_once(
    opens: Open, long: bool
) -> None:
    count = 500 if long else 20
    async with opens() as there:
        assert await paid_thrice(there, count) == (count, 0)
        assert await there.one(select(func.count()).where(Order.paid_at.is_not(None))) == count
        cash = await there.one(select(func.sum(Entry.amount_fen)).where(Entry.account == "cash"))
        assert cash == sum(order.total for order in there.cashier.books.orders.values())
        await whole(there)


@POSTGRES
async def test_control_without_the_known_transaction_the_same_money_counts_again(opens: Open) -> None:
    async with opens(without=["transaction"]) as there:
        await there.run(text("ALTER TABLE payment DROP CONSTRAINT uq_payment_transaction_id"))
        ends = frozenset({200, 500})  # a third one would owe under the number of the second
        payments, refunds = await paid_thrice(there, 5, ends)
    assert payments > 5, "the race did not happen: this test has lost its teeth"
    assert refunds > 0
