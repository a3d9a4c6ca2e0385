"""The catalogue as a process holds it: what has changed is seen, what has not is not read again and again."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update
from town import Town

from models.base import Reader, RowOf, Statement
from models.catalog import Catalogs
from models.offer import Offer
from models.product import Product
from models.store import Store

NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)  # when the shop was stocked


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    opened = Store(database)
    yield opened
    await opened.close()


class Counted:
    """A reader that counts what it reads."""

    def __init__(self, reader: Reader) -> None:
        self.reader, self.rows = reader, 0

    async def all(self, statement: Statement) -> Sequence[RowOf]:
        found = await self.reader.all(statement)
        self.rows += len(found)
        return found


async def _renamed(store: Store, code: str, name: str, at: datetime) -> None:
    async with store.session() as session, session.begin():
        await session.execute(update(Product).where(Product.code == code).values(name=name, changed=at))


async def test_a_shop_that_was_stocked_a_while_ago_is_not_read_again_every_two_seconds(store: Store) -> None:
    """All goods of an import bear the same moment: every process read them all again at each look, for ever."""
    catalogs, reader = Catalogs(), Counted(store.reader)
    assert await catalogs.refresh(reader, NOON + timedelta(minutes=2))  # type: ignore[arg-type]
    assert len(catalogs.current.goods) == 14
    reader.rows = 0
    assert not await catalogs.refresh(reader, NOON + timedelta(minutes=3))  # type: ignore[arg-type]
    assert reader.rows == 0
    await _renamed(store, "A1", "雨前龙井", NOON + timedelta(minutes=4))
    assert await catalogs.refresh(reader, NOON + timedelta(minutes=4))  # type: ignore[arg-type]
    assert catalogs.current.goods["A1"].name == "雨前龙井"


async def test_a_change_that_was_written_down_late_is_seen_all_the_same(store: Store) -> None:
    """Its moment is older than one that is known already: its transaction took ten seconds."""
    catalogs = Catalogs()
    later = NOON + timedelta(minutes=10)
    await _renamed(store, "A2", "新碧螺春", later)
    await catalogs.refresh(store.reader, later)
    await _renamed(store, "A1", "雨前龙井", later - timedelta(seconds=10))
    assert await catalogs.refresh(store.reader, later + timedelta(seconds=2))
    assert catalogs.current.goods["A1"].name == "雨前龙井"


async def test_what_is_taken_off_the_shelf_and_what_is_no_offer_any_more_is_gone(store: Store) -> None:
    catalogs = Catalogs()
    await catalogs.refresh(store.reader, NOON)
    before = catalogs.current
    assert before.goods["A6"].deals
    later = NOON + timedelta(minutes=5)
    async with store.session() as session, session.begin():
        await session.execute(update(Offer).values(state="off", ended=later))
        await session.execute(update(Product).values(changed=later))
        await session.execute(update(Product).where(Product.code == "A1").values(state="off"))
    assert await catalogs.refresh(store.reader, later)
    assert "A1" in before.goods, "a snapshot stays what it was"
    assert catalogs.current.get("A1") is None
    assert list(catalogs.current.goods) == [code for code in before.goods if code != "A1"]
    assert catalogs.current.order == tuple(code for code in before.order if code != "A1")
    assert not any(goods.deals for goods in catalogs.current.goods.values())


async def test_there_is_more_only_where_something_is_left(store: Store) -> None:
    catalogs = Catalogs()
    await catalogs.refresh(store.reader, NOON)
    for size, more in ((13, True), (14, False), (15, False)):
        page, left = catalogs.current.page("", "", size)
        assert (len(page), left) == (min(size, 14), more)
    first, _ = catalogs.current.page("", "", 7)
    rest, left = catalogs.current.page("", first[-1].code, 7)
    assert ([goods.code for goods in first + rest], left) == (list(catalogs.current.order), False)


async def test_a_list_that_is_shown_again_is_the_same_until_the_goods_have_changed(town: Town) -> None:
    shop, mei, qiang = town.stage.house, town.wechat("小美"), town.wechat("强哥")
    for one in (mei, qiang):
        await one.follows()
    first = (await mei.says("商品")).text
    assert (await qiang.says("商品")).text == first
    await _renamed(shop.store, "A1", "雨前龙井", shop.clock.now())
    assert "雨前龙井" not in first
    await shop._refresh()
    assert "雨前龙井" in (await qiang.says("商品")).text
    assert "雨前龙井" in (await mei.says("商品")).text


async def test_an_order_s_number_names_no_goods(town: Town) -> None:
    """我要退款 K7TEA2Q9 was taken for tea that somebody wants to give back, K7M2P9QA for the order."""
    named = town.stage.house.catalogs.current.named
    assert len(named("tea到哪了")) > 1
    for no in ("K7TEA2Q9", "TEAM7QV9", "2345KTEA"):
        assert named(f"我要退款 {no}") == named(f"{no}到哪了") == []
    assert named("K7TEA2Q9 里的 A11") == ["A11"]
