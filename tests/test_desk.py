"""The desk through the real doors: one message, one effect, one answer, whatever is repeated, slow, lost or away."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from conftest import NOON
from follower import Follower
from servers import Postgres
from sqlalchemy import func, select, update
from sqlalchemy.exc import TimeoutError as PoolTimeout
from town import Blank, Town

from bot.clock import Clock
from bot.face import Answer
from bot.shared import InProcess
from bot.simulator.driver import Heard
from bot.simulator.stage import Stage, open_stage
from bot.simulator.wire import Push
from bot.step import Step, carry_out
from handlers.asking import Intent
from handlers.routing import Told, shop
from models import quarantine
from models.base import Work
from models.cart import CartLine
from models.follower import Followers
from models.groupbuy import Seat
from models.order import Order, OrderPaid
from models.outbox import Outbox
from models.product import Product, Sku
from models.staff import Staff
from models.subscription import Subscription
from models.talk import Talk

WHERE = "张三 13800138000 浙江省杭州市西湖区文三路1号"


def message(person: Follower, words: str) -> Push:
    """A message that has left the phone and has not arrived yet."""
    return person.driver.wire.wechat(person.person, "text", {"Content": words})


async def arrives(person: Follower, push: Push) -> Heard:
    """One delivery of it."""
    return await person.driver._deliver(push, shown=False)


async def count(town: Town, what: type) -> int:
    rows = await town.stage.house.store.reader.all(select(func.count()).select_from(what))
    return int(rows[0][0])


def forget(town: Town) -> None:
    """All that the processes share is lost, as when Redis has been emptied."""
    house = town.stage.house
    house.clock.move(timedelta(seconds=1))
    house.shared = house.desk.shared = house.courier.shared = InProcess(house.clock.now)


@asynccontextmanager
async def held_up(town: Town, person: Follower) -> AsyncIterator[None]:
    """Somebody else holds this person's talk: whatever changes something waits."""
    house = town.stage.house
    account = house.settings.wechat.account
    async with house.store.session() as session, session.begin():
        await Followers(Work(session, house.clock.now())).talk("wechat", account, person.person.who, house.clock.now())
        yield


def impatient(town: Town, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.05) -> None:
    """The doors wait no longer than that; what they have to let go is written down however slow the machine is."""
    desk = town.stage.house.desk
    real = desk.hear_within
    monkeypatch.setattr("bot.late.AT_MOST", 30)
    monkeypatch.setattr(desk, "hear_within", lambda told, most: real(told, min(most, seconds)))


async def until(true: Callable[[], bool]) -> None:
    """Let the others go on until it is so."""
    for _ in range(5000):
        if true():
            return
        await asyncio.sleep(0.001)
    raise TimeoutError


# -- one message several times ------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["商品", "买 A11 50g 罐装"])
async def test_three_deliveries_of_one_message_are_one_effect_and_one_answer(town: Town, words: str) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("地址 " + WHERE)
    push = message(mei, words)
    first = await asyncio.gather(*(arrives(mei, push) for _ in range(3)))  # at once
    then = [await arrives(mei, push) for _ in range(3)]  # and in a row
    forget(town)
    then.append(await arrives(mei, push))
    answers = {heard.text for heard in (*first, *then)}
    assert len(answers) == 1
    assert "龙井" in answers.pop() or await count(town, Order) == 1
    assert await count(town, Order) == (0 if words == "商品" else 1)
    await town.settles()
    assert mei.inbox == [], "nothing follows"
    held = await town.stage.house.store.reader.all(select(Sku.held).where(Sku.held > 0))
    assert [row.held for row in held] == ([] if words == "商品" else [1])


async def test_a_follow_that_is_delivered_three_times_at_once_is_one_follow(town: Town) -> None:
    mei = town.wechat("小美")
    first = await mei.follows("show:A2")
    again = await mei.gets_it_again(first, 3, at_once=True)
    assert {heard.text for heard in again} == {first.text}
    assert "欢迎回来" not in first.text


async def test_one_persons_messages_are_handled_in_their_order_and_nobody_elses_wait(town: Town) -> None:
    mei, hao = town.wechat("小美"), town.wechat("阿强")
    await mei.follows()
    await hao.follows()
    desk = town.stage.house.desk
    async with held_up(town, mei):
        add = asyncio.ensure_future(arrives(mei, message(mei, "加 A11 50g 罐装 x2")))
        await until(lambda: desk.busy)
        look = asyncio.ensure_future(arrives(mei, message(mei, "购物车")))
        assert "龙井" in (await hao.says("商品")).text
        assert "桐乡胎菊" in (await hao.says("看 A11")).text
        assert not add.done()
        assert not look.done(), "a question does not overtake what was said before it"
    assert "×2" in (await add).text
    assert "2 件" in (await look).text


async def test_work_slower_than_the_doors_patience_is_answered_by_a_message(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("地址 " + WHERE)
    desk = town.stage.house.desk
    real = desk.hear_within
    monkeypatch.setattr(desk, "hear_within", lambda told, seconds: real(told, min(seconds, 0.1)))
    push = message(mei, "买 A11 50g 罐装")
    async with held_up(town, mei):
        heard = await arrives(mei, push)
        assert heard.silent
        assert heard.decrypted_reply == "success"
        assert (await arrives(mei, push)).silent, "a retry while it is being done waits and gets no second one"
    await town.settles()
    told = [one.text for one in mei.inbox]
    assert len(told) == 1
    assert "合计 ¥27" in told[0]
    assert await count(town, Order) == 1
    monkeypatch.undo()
    assert (await arrives(mei, push)).text == told[0], "delivered again, it is the same answer"
    assert await count(town, Order) == 1


async def test_what_the_platform_counts_as_heard_is_done_although_the_database_stumbles(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 buyers at once: each was told `success`, a hundred waited in vain for a connection, nobody tried again."""
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("地址 " + WHERE)
    desk = town.stage.house.desk
    real, hear, later = desk.hear_within, desk._hear, desk.say_later
    stumbles, door_has_gone = [2, 1], asyncio.Event()

    async def hear_in_vain(told: Told) -> Answer:
        await door_has_gone.wait()
        stumbles[0] -= 1
        if stumbles[0] >= 0:
            raise PoolTimeout("no connection in 10 seconds")
        return await hear(told)

    async def say_in_vain(told: Told, answer: Answer) -> None:
        stumbles[1] -= 1
        if stumbles[1] >= 0:
            raise PoolTimeout("no connection in 10 seconds")
        await later(told, answer)

    monkeypatch.setattr("bot.desk.AGAIN", (0.0,) * 4)
    monkeypatch.setattr(desk, "hear_within", lambda told, seconds: real(told, min(seconds, 0.05)))
    monkeypatch.setattr(desk, "_hear", hear_in_vain)
    monkeypatch.setattr(desk, "say_later", say_in_vain)
    assert (await arrives(mei, message(mei, "买 A11 50g 罐装"))).decrypted_reply == "success"
    door_has_gone.set()
    await town.settles()
    assert ["合计 ¥27" in one.text for one in mei.inbox] == [True]
    assert await count(town, Order) == 1


@asynccontextmanager
async def dies_with(town: Town, push: Push, person: Follower, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The process says `success`, has the message in hand and ends; when the block ends, so does its lease."""
    house = town.stage.house
    desk, wall = house.desk, house.clock.wall_ms

    async def never(told: Told) -> Answer:
        return await asyncio.get_running_loop().create_future()

    with monkeypatch.context() as slow:
        impatient(town, slow)
        slow.setattr(desk, "_hear", never)
        assert (await arrives(person, push)).decrypted_reply == "success"
        (running,) = desk._running.values()
        assert running.task is not None
        running.task.cancel()
        await asyncio.wait([running.task])
    yield
    monkeypatch.setattr(house.clock, "wall_ms", lambda: wall() + 61_000)
    await town.settles()


async def promised(town: Town) -> list[tuple[str, str]]:
    """The messages that a door had to let go, and what has become of them."""
    rows = await town.stage.house.store.reader.all(select(Outbox.key, Outbox.state).where(Outbox.name == "heard"))
    return [(row.key.rpartition(":")[0], row.state) for row in rows]


async def test_what_the_platform_counts_as_heard_is_done_although_the_process_dies(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`success` was said, the process was killed, and nobody knew any more that something had been ordered."""
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("地址 " + WHERE)
    push = message(mei, "买 A11 50g 罐装")
    async with dies_with(town, push, mei, monkeypatch):
        await town.settles()
        assert not mei.inbox, "as long as the lease stands, somebody may be at work on it"
        assert await count(town, Order) == 0
    (told,) = [one.text for one in mei.inbox]
    assert "合计 ¥27" in told
    assert await count(town, Order) == 1
    assert [state for _, state in await promised(town)] == ["done"]
    assert (await arrives(mei, push)).text == told
    await town.settles()
    assert not mei.inbox
    assert await count(town, Order) == 1


async def test_what_was_done_late_is_not_done_again_when_its_lease_ends(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("地址 " + WHERE)
    house, ready = town.stage.house, asyncio.Event()
    desk, wall = house.desk, house.clock.wall_ms
    hear = desk._hear

    async def slowly(told: Told) -> Answer:
        await ready.wait()
        return await hear(told)

    impatient(town, monkeypatch)
    monkeypatch.setattr(desk, "_hear", slowly)
    assert (await arrives(mei, message(mei, "买 A11 50g 罐装"))).decrypted_reply == "success"
    assert [state for _, state in await promised(town)] == ["leased"]
    ready.set()
    await town.settles()
    assert [state for _, state in await promised(town)] == ["done"]
    monkeypatch.setattr(house.clock, "wall_ms", lambda: wall() + 61_000)
    await town.settles()
    assert len(mei.inbox) == 1
    assert await count(town, Order) == 1


async def test_a_crowd_that_is_late_is_written_down_together(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, written = town.stage.house.desk, []
    work = desk._late.work
    monkeypatch.setattr("bot.late.AT_MOST", 30)
    monkeypatch.setattr(desk._late, "work", lambda: written.append(1) or work())
    crowd = [Told("wechat", "gh", f"o{n}", "1", text="在吗") for n in range(3000)]
    await asyncio.gather(*(desk._late.note(told) for told in crowd), desk._late.note(crowd[0]))
    assert len(await promised(town)) == 3000
    assert len(written) <= 2


async def test_nothing_is_done_behind_the_back_of_who_has_gone_on_talking(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("地址 " + WHERE)
    async with dies_with(town, message(mei, "买 A11 50g 罐装"), mei, monkeypatch):
        town.stage.house.clock.move(timedelta(seconds=2))
        assert "合计 ¥27" in (await mei.says("买 A11 50g 罐装")).text
    assert await count(town, Order) == 1
    assert not mei.inbox
    assert [state for _, state in await promised(town)] == ["done"]


async def test_what_lay_too_long_is_asked_for_again(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("地址 " + WHERE)
    async with dies_with(town, message(mei, "买 A11 50g 罐装"), mei, monkeypatch):
        town.stage.house.clock.move(timedelta(minutes=11))
    assert [one.text for one in mei.inbox] == ["刚才忙不过来，「买 A11 50g 罐装」没办成，请再说一次。"]
    assert await count(town, Order) == 0


async def test_who_wanted_to_hear_no_more_has_left_however_long_it_lay(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("订阅 龙井")
    async with dies_with(town, message(mei, "退订"), mei, monkeypatch):
        town.stage.house.clock.move(timedelta(minutes=30))
        await mei.says("商品")
    rows = await town.stage.house.store.reader.all(select(Subscription.state))
    assert [row.state for row in rows] == ["left"]


async def test_what_may_have_been_done_before_a_restore_is_not_done_again(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("地址 " + WHERE)
    house = town.stage.house
    dying = dies_with(town, message(mei, "买 A11 50g 罐装"), mei, monkeypatch)
    async with dying, house.store.session() as session, session.begin():
        await quarantine.skip(Work(session, house.clock.now()), house.clock.now())
    assert await count(town, Order) == 0
    assert not mei.inbox
    assert [state for _, state in await promised(town)] == ["done"]


async def test_an_answer_that_is_ready_as_the_door_goes_is_said_by_one_of_the_two(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """60 buyers at once: one heard nothing at all, for the door had given up and the desk did not know yet."""
    desk = town.stage.house.desk
    ready = asyncio.Event()

    async def just_then(told: Told) -> Answer:
        await ready.wait()
        return Answer("好")

    monkeypatch.setattr(desk, "_hear", just_then)
    loop = asyncio.get_running_loop()
    heard = loop.create_task(desk.hear_within(Told("wechat", "gh", "oMei", "1", text="在吗"), 0.01))
    await asyncio.sleep(0)
    loop.call_later(0.011, ready.set)
    time.sleep(0.05)  # noqa: ASYNC251  the loop is busy: both are due in one turn of it
    answer = await heard
    await town.stage.house.tasks.settle(5)
    later = await town.stage.house.store.reader.all(select(Outbox.id).where(Outbox.name == "late"))
    assert (answer is not None) + len(later) == 1


async def test_who_is_outrun_in_a_flush_is_tried_again_from_the_start(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole transaction is gone with such a flush, the inbox row as well."""
    mei, tries = town.wechat("小美"), []
    await mei.says("地址 " + WHERE)

    async def outrun(work: Work, step: Step, intent: Intent, *, fact: bool, marked: bool = False) -> Any:
        done = await carry_out(work, step, intent, fact=fact, marked=marked)
        tries.append(marked)
        if marked:
            order = (await work.session.execute(select(Order))).scalar_one()
            await work.session.execute(update(Order).values(version=99).execution_options(synchronize_session=False))
            order.note = "慢了一步"
            await work.session.flush()
        return done

    monkeypatch.setattr("bot.desk.carry_out", outrun)
    push = message(mei, "买 A11 50g 罐装")
    first = await arrives(mei, push)
    assert tries == [True, False]
    assert "合计 ¥27" in first.text
    rows = await town.stage.house.store.reader.all(select(Order.note, Order.version))
    assert [tuple(row) for row in rows] == [("", 1)]
    assert (await arrives(mei, push)).text == first.text


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_payment_is_heard_while_a_crowd_waits(town: Town) -> None:
    """10,000 buyers at once: their messages had every connection, and callbacks were turned away with 500."""
    mei, crowd = town.wechat("小美"), [town.wechat(f"客人{n}") for n in range(12)]
    house, cashier = town.stage.house, town.stage.cashier
    for one in [mei, *crowd]:
        await one.says("地址 " + WHERE)
    cashier.withhold = True
    await mei.pays(await mei.says("买 A11 50g"))
    loop = asyncio.get_running_loop()
    async with house.store.session() as session, session.begin():
        await session.execute(select(Talk.follower_id).with_for_update())
        says = [loop.create_task(one.says("买 A11 50g")) for one in crowd]
        await until(lambda: len(house.desk._running) == len(crowd) and house.desk._room.locked())
        assert await cashier.deliver() == [(200, "")]
        assert not any(one.done() for one in says), "the callback waited until the crowd had given up"
    await asyncio.gather(*says)
    await town.settles()
    assert await count(town, Order) == 1 + len(crowd)


async def test_what_could_not_be_sent_stands_on_top_of_the_next_answer(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("买 A11 50g 罐装")
    await mei.says(WHERE)
    await mei.pays(mei.last)
    town.stage.house.clock.move(timedelta(days=3))  # the window closes before the courier has come
    await town.settles()
    assert mei.inbox == []
    heard = await mei.says("在吗")
    assert heard.text.startswith("收到您的付款")
    assert heard.text.endswith("您好，想找什么直接说名字就行。")
    assert "收到您的付款" not in (await mei.says("在吗")).text


# -- what may be lost --------------------------------------------------------------------------------------


async def test_when_what_processes_share_is_lost_a_list_is_shown_again_and_nothing_else_is_missed(
    town: Town,
) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("加 A11 50g 罐装 x2")
    shelf = await mei.says("商品")
    forget(town)
    lost = await mei.says("2")
    assert "A2" not in lost.text, "a number never opens another list's line"
    assert "过期" in lost.text
    assert "×2" in (await mei.says("购物车")).text
    await mei.says("商品")
    forget(town)
    assert (await mei.says("商品")).choices == shelf.choices
    assert "洞庭碧螺春（A2）" in (await mei.says("2")).text
    await mei.says("买 A11")
    forget(town)
    asked = await mei.says("2")
    assert "过期" in asked.text
    assert await count(town, Order) == 0


async def test_a_repeated_question_is_answered_again_when_its_answer_is_lost(town: Town) -> None:
    mei = town.wechat("小美")
    await mei.follows()
    push = message(mei, "运费")
    first = await arrives(mei, push)
    forget(town)
    assert (await arrives(mei, push)).text == first.text
    assert first.text


# -- who may, and what is kept -----------------------------------------------------------------------------

STAFF = (
    *(
        "待发货",
        "今日",
        "员工",
        "日志",
        "撤销",
        "推送列表",
        "改价 A1 1",
        "改价A1-1 1",
        "库存 A1 +10",
        "下架 A1",
        "上架 A3",
    ),
    *(
        "上架 龙井250g 88 库存50 #茶",
        "设团 A1 3人 29.9 24小时",
        "停团 A1",
        "推送 #龙井 明天10:00 来了",
        "授权 店员",
        "撤权 1",
    ),
    *("确认", "确认 1234", "发货 2A3B4C5D 顺丰 SF12345678"),
)


async def test_a_staff_command_from_anybody_else_is_answered_as_if_it_did_not_exist(town: Town) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    await mei.follows()
    reader = town.stage.house.store.reader
    before = await reader.all(
        select(Product.state, Product.code, Sku.price_fen, Sku.on_hand).join(Sku).order_by(Sku.id)
    )
    for said in STAFF:
        town.stage.house.clock.move(timedelta(seconds=4))
        heard = await mei.says(said)
        assert heard.text
        for word in ("权限", "店员", "员工", "确认", "不能", "只有"):
            assert word not in heard.text.replace(said, ""), f"{said}: {heard.text}"
    for code in ("toship", "showpush:P2", "stoppush:P2", "today"):
        heard = await mei.driver.says(mei.person, "在吗", code=code)
        assert "您好" in heard.text or "在" in heard.text, f"{code}: {heard.text}"
    after = await reader.all(select(Product.state, Product.code, Sku.price_fen, Sku.on_hand).join(Sku).order_by(Sku.id))
    assert before == after
    assert await count(town, Staff) == 1
    assert "待发货" in (await boss.says("帮助")).text


async def test_a_refusal_keeps_nothing(town: Town) -> None:
    boss, mei, hao, tao = await town.owner(), town.wechat("小美"), town.wechat("阿强"), town.wechat("小陶")
    lin = town.wechat("小林")
    await lin.follows()
    assert "寄到哪里" in (await lin.says("买 A4 80g 小罐")).text
    assert "下架" in (await boss.says("下架 A4")).text
    assert "现在不卖" in (await lin.says(WHERE)).text
    assert "还没有您的收货地址" in (await lin.says("地址")).text, "the address was written before the order was refused"
    for one in (mei, hao, tao):
        await one.follows()
        await one.says("地址 " + WHERE)
    await mei.says("开团 A1")
    await mei.pays(mei.last)
    await town.settles()
    group = next(word for word in "".join(h.text for h in mei.inbox).split() if word.startswith("G") and len(word) < 7)
    for _ in range(5):
        await hao.says("买 A11 50g 罐装")
    orders, outbox, seats = await count(town, Order), await count(town, Outbox), await count(town, Seat)
    refused = await hao.says(f"参团 {group}")  # the seat was reserved before the order was refused
    assert "5 单在等付款" in refused.text
    assert (await count(town, Order), await count(town, Outbox), await count(town, Seat)) == (orders, outbox, seats)
    assert "还差 2 人" in (await tao.says(f"看 {group}")).text
    assert "编号不对" in (await hao.says("加 A999")).text
    assert await count(town, CartLine) == 0


async def test_a_reaction_that_fails_leaves_the_fact_and_is_carried_out_later(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    boss, mei = await town.owner(), town.wechat("小美")
    await mei.follows()
    await mei.says("买 A11 50g 罐装")
    placed = await mei.says(WHERE)

    async def stumbles(news: OrderPaid) -> None:
        raise RuntimeError("the printer is on fire")

    real = shop.reactions[OrderPaid]
    broken = [(name, stumbles if name.endswith("tell_paid") else handler) for name, handler in real]
    assert broken != real
    with monkeypatch.context() as broken_for_now:
        broken_for_now.setitem(shop.needs, stumbles, {"news": OrderPaid})
        broken_for_now.setitem(shop.reactions, OrderPaid, broken)
        await mei.pays(placed)
        await town.settles()
        reader = town.stage.house.store.reader
        assert [row.state for row in await reader.all(select(Order.state))] == ["paid"], "the fact stands"
        assert mei.inbox == []
        kept = await reader.all(select(Outbox.name, Outbox.state).where(Outbox.kind == "event"))
        assert [(row.name.rsplit(".", 1)[1], row.state) for row in kept] == [("tell_paid", "due")]
    await town.later(minutes=5)
    assert "收到您的付款" in "".join(heard.text for heard in mei.inbox)
    assert "收到您的付款" not in "".join(heard.text for heard in mei.inbox)
    assert "新订单" in "".join(heard.text for heard in boss.inbox)


# -- the database is away ----------------------------------------------------------------------------------


@pytest.fixture
async def away(
    postgres: Postgres, blank: Blank, tmp_path: Path
) -> AsyncIterator[tuple[Stage, Callable[[bool], Awaitable[None]]]]:
    """A shop on PostgreSQL, and a switch that takes its database away and gives it back."""
    url = await postgres.fresh_database(blank.url)
    name = urlsplit(url).path.lstrip("/")
    shutil.copytree(blank.folder / "cashier", tmp_path / "cashier")
    clock = Clock()
    clock.freeze(NOON)
    stage = await open_stage(tmp_path, database=url, clock=clock, migrate=False, goods="", alive=False)

    async def switch(on: bool) -> None:
        admin = await asyncpg.connect(postgres.url)
        await admin.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS {"true" if on else "false"}')
        if not on:
            await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        await admin.close()

    yield stage, switch
    await switch(True)
    await stage.close()
    await postgres.drop_database(url)


async def test_with_the_database_away_the_door_says_so_and_nothing_is_lost(
    away: tuple[Stage, Callable[[bool], Awaitable[None]]],
) -> None:
    stage, switch = away
    town = Town(stage)
    mei = town.wechat("小美")
    await mei.follows()
    await mei.says("地址 " + WHERE)
    await mei.says("商品")
    buying, asking = message(mei, "买 A11 50g 罐装"), message(mei, "运费")
    await switch(False)
    for push in (buying, asking):
        heard = await arrives(mei, push)
        assert heard.status == 503, "so that the platform says it again"
        assert heard.attempts == 3
    assert stage.house.counts["not_recorded"] == 6
    await switch(True)
    placed = await arrives(mei, buying)
    assert "合计 ¥27" in placed.text
    assert "包邮" in (await arrives(mei, asking)).text
    assert (await arrives(mei, buying)).text == placed.text
    assert await count(town, Order) == 1
