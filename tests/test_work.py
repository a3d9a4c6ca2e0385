"""A step's unit of work where it goes past the mapper: the same transaction and the same guards, fewer ways."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from models.base import Contended, Shelf, Work, table_of
from models.cart import CartLine
from models.figures import Figures
from models.follower import Follower, Followers
from models.freight import PIECE, Freights, Tariff, Zone, tariff
from models.product import NotForSale, Product, Products, Sku, reserve
from models.promise import promise
from models.ready import Ready
from models.seal import Keys, Sealed
from models.store import Store

NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
FIGURES = Figures()
LEFT = Ready(select(Sku.id, Sku.on_hand, Sku.held).where(Sku.id == bindparam("sku")))
FACTS = Ready(select(Product.code, Product.facts, Product.keywords, Product.changed).order_by(Product.code))
LINE = Ready(insert(table_of(CartLine)), sets=("follower_id", "sku_id", "quantity"))
CALLED = Ready(update(table_of(Follower)).where(Follower.id == bindparam("follower")), sets=("name",))


class Lines(Shelf[CartLine]):
    entity = CartLine


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    """A stocked shop's store, on SQLite and on PostgreSQL."""
    Sealed.keys = Keys("k" * 32)
    opened = Store(database)
    yield opened
    await opened.close()


@asynccontextmanager
async def step(store: Store) -> AsyncIterator[Work]:
    async with store.session() as session, session.begin():
        yield Work(session, NOON)


async def read(store: Store, statement: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await store.reader.all(statement)]


async def somebody(store: Store) -> int:
    async with step(store) as work:
        return (await Followers(work).meet("wechat", "gh", "oMei", NOON)).id


async def skus(store: Store) -> list[int]:
    return [row[0] for row in await read(store, select(Sku.id).order_by(Sku.id).limit(3))]


# -- entities --------------------------------------------------------------------------------------------


async def test_what_is_new_has_its_number_and_what_changes_of_it_is_kept(store: Store) -> None:
    mei, (sku, *_) = await somebody(store), await skus(store)
    async with step(store) as work:
        line = await Lines(work).add(CartLine(follower_id=mei, sku_id=sku, quantity=1))
        assert line.id
        line.quantity = 3
    assert await read(store, select(CartLine.id, CartLine.quantity)) == [(line.id, 3)]


async def test_columns_that_were_given_nothing_begin_as_they_should(store: Store) -> None:
    async with step(store) as work:
        new = await Products(work).add(Product(code="Z1", name="新茶", changed=NOON))
        assert (new.unit, new.keywords, new.facts, new.version, new.returns) == ("份", [], {}, 1, None)
        new.keywords.append("茶")  # its own list, and nobody else's
        assert (await Products(work).add(Product(code="Z2", name="又一种", changed=NOON))).keywords == []
    found = await read(store, select(Product.promise_hours, Product.state).where(Product.code == "Z1"))
    assert found == [(48, "on")]


async def test_what_is_read_again_is_the_same_thing_as_it_stands_now(store: Store) -> None:
    (sku, *_) = await skus(store)
    async with step(store) as work:
        _, one = await Products(work).sku(sku)
        before = one.held
        await reserve(work, sku, 2)
        _, again = await Products(work).sku(sku)
        assert again is one
        assert one.held == before + 2
        one.place = 7
        _, changed = await Products(work).sku(sku)
        assert changed.place == 7, "what a step has changed is written before it is read again"


async def test_who_is_met_for_the_first_time_by_two_at_once_is_one_person(store: Store) -> None:
    met = await asyncio.gather(*(somebody(store) for _ in range(4)))
    assert len(set(met)) == 1
    assert await read(store, select(func.count(Follower.id)).where(Follower.who == "oMei")) == [(1,)]


# -- savepoints ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [Work.savepoint, Work.mark], ids=["savepoint", "mark"])
async def test_what_is_undone_takes_along_what_went_past_the_session(
    store: Store, begin: Callable[[Work], Awaitable[Any]]
) -> None:
    mei, (sku, other, *_) = await somebody(store), await skus(store)
    held = await read(store, select(Sku.held).where(Sku.id == sku))
    async with step(store) as work:
        point = await begin(work)
        await reserve(work, sku, 1)
        lost = await Lines(work).add(CartLine(follower_id=mei, sku_id=sku, quantity=1))
        work.session.add(CartLine(follower_id=mei, sku_id=other, quantity=1))
        await point.rollback()
        await work.forget()
        point = await begin(work)
        kept = await Lines(work).add(CartLine(follower_id=mei, sku_id=sku, quantity=2))
        kept.quantity = 4
        await point.commit()
    assert kept is not lost
    assert await read(store, select(Sku.held).where(Sku.id == sku)) == held
    assert await read(store, select(CartLine.id, CartLine.quantity)) == [(kept.id, 4)]


async def test_who_is_held_while_all_else_is_undone_is_as_before(store: Store) -> None:
    """A step that is tried again keeps the person it is for."""
    mei = await somebody(store)
    async with step(store) as work:
        me, _ = await Followers(work).talk("wechat", "gh", "oMei", work.now)
        point = await work.mark()
        me.name = "阿美"
        await work.session.flush()
        me.name = "小美"
        await point.rollback()
        await work.forget(me)
        assert me.name == ""
        me.name = "美"
    assert await read(store, select(Follower.name).where(Follower.id == mei)) == [("美",)]


async def test_a_step_that_fails_has_written_nothing(store: Store) -> None:
    mei, (sku, *_) = await somebody(store), await skus(store)

    async def fails() -> None:
        async with step(store) as work:
            await work.write_all([(LINE, {"follower_id": mei, "sku_id": sku, "quantity": 1})])
            await reserve(work, sku, 10**6)

    with pytest.raises(Contended):
        await fails()
    assert await read(store, select(CartLine.id)) == []


async def test_a_key_that_is_there_already_is_told_as_one_and_the_step_goes_on(store: Store) -> None:
    mei, (sku, *_) = await somebody(store), await skus(store)
    line = {"follower_id": mei, "sku_id": sku, "quantity": 1}
    async with step(store) as work:
        await work.write_all([(LINE, line)])
        point = await work.savepoint()
        with pytest.raises(IntegrityError):
            await work.write_all([(LINE, line)])
        await point.rollback()
        with pytest.raises(NotForSale):
            await Products(work).sku(0)
    assert await read(store, select(CartLine.quantity)) == [(1,)]


# -- several at once -------------------------------------------------------------------------------------


async def test_what_is_asked_together_comes_to_whoever_asked(store: Store) -> None:
    """Texts, lists and moments, nothing at all, and a question that comes of an answer."""
    first, second, _ = await skus(store)

    async def two(work: Work) -> list[int]:
        one = await work.first(LEFT, {"sku": first})
        assert one is not None
        return [row["id"] for sku in (one["id"], second) for row in await work.every(LEFT, {"sku": sku})]

    async def none(work: Work) -> Any:
        return await work.first(LEFT, {"sku": 0})

    async def facts(work: Work) -> Any:
        return await work.every(FACTS, {})

    async with step(store) as work:
        zones = (Zone(("上海市", "浙江省"), 1, 500), Zone((), 2, 900, 1, 100, 8800))
        await Freights(work).put_up(Tariff(PIECE, zones))
    async with step(store) as work:
        reads = [promise(work, FIGURES), tariff(work, FIGURES), two(work), none(work), facts(work)]
        together = await work.together(*reads)
        assert together == [
            await promise(work, FIGURES),
            Tariff(PIECE, zones),
            [first, second],
            None,
            await facts(work),
        ]
        assert together[4][0]["changed"].tzinfo is not None
        assert await work.together() == []


async def test_a_read_among_others_may_wait_for_nothing_but_rows(store: Store) -> None:
    async def waits(work: Work) -> None:
        await asyncio.sleep(1)

    async with step(store) as work:
        with pytest.raises(TypeError, match="waits for more than rows"):
            await work.together(promise(work, FIGURES), waits(work))
        assert await promise(work, FIGURES), "and afterwards one asks as ever"


async def test_what_is_written_at_once_is_all_there_and_lines_keep_their_order(store: Store) -> None:
    mei, wanted = await somebody(store), (await skus(store))[::-1]
    lines = [(LINE, {"follower_id": mei, "sku_id": sku, "quantity": n}) for n, sku in enumerate(wanted, 1)]
    async with step(store) as work:
        await work.write_all([lines[0], (CALLED, {"follower": mei, "name": "小美"}), *lines[1:]])
    found = await read(store, select(CartLine.sku_id, CartLine.quantity).order_by(CartLine.id))
    assert found == [(sku, n) for n, sku in enumerate(wanted, 1)]
    assert await read(store, select(Follower.name).where(Follower.id == mei)) == [("小美",)]


async def test_what_comes_last_is_written_when_the_step_ends_once_for_each_key(store: Store) -> None:
    mei = await somebody(store)
    async with step(store) as work:
        lin = (await Followers(work).meet("wechat", "gh", "oLin", NOON)).id
        for who, name in ((lin, "小林"), (mei, "美"), (mei, "小美")):
            work.last(CALLED, who, {"follower": who, "name": name})
        assert not any(name for _, name in await work.all(select(Follower.id, Follower.name)))
        await work.finish()
    assert await read(store, select(Follower.id, Follower.name).order_by(Follower.id)) == [(mei, "小美"), (lin, "小林")]


async def test_what_a_step_that_is_tried_again_wanted_written_last_is_forgotten(store: Store) -> None:
    mei = await somebody(store)
    async with step(store) as work:
        work.last(CALLED, mei, {"follower": mei, "name": "小美"})
        await work.forget()
        await work.finish()
    assert await read(store, select(Follower.name)) == [("",)]
