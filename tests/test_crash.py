"""The process dies at every named point of the money path, is started again, and nothing is lost and nothing is odd."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest
from aiohttp import web
from conftest import LONG, NOON
from follower import Follower, Web
from launcher import Dial
from sqlalchemy import func, select, text
from town import Blank

from bot import points
from bot.simulator.cashier import Cashier
from bot.simulator.driver import Driver, Heard
from bot.simulator.platform import Platform
from bot.simulator.stage import listener, port_of, settings_of
from bot.simulator.wire import Person
from models.aftersale import Case
from models.ledger import Entry
from models.order import Order
from models.outbox import Outbox
from models.payment import Payment
from models.refund import Refund
from models.seal import Keys, Sealed
from models.store import Store
from models.supplement import Supplement
from models.verify import offenders

ADDRESS = "地址 张三 13800138000 浙江省杭州市西湖区文三路1号"
BOTH = ["sqlite", "postgresql"]
T = TypeVar("T")


class Died(Exception):
    """The shop is gone in the middle of something."""


class Street:
    """The world around the shop: it lives on while the shop dies and is started again."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.database = folder, database
        self.clock = Dial()
        self.clock.freeze(NOON)
        self.sockets = [listener(), listener(), listener()]
        port, platform, cashier = map(port_of, self.sockets)  # the first is held: between two lives nobody else gets it
        self.settings = settings_of(folder, port, platform, cashier, database=database)
        self.life: dict[str, Any] = {
            "folder": str(folder),
            "port": port,
            "platform": platform,
            "cashier": cashier,
            "database": database,
        }
        assert self.settings.wechat is not None
        self.platform = Platform.for_shop(self.settings, self.clock)
        self.cashier = Cashier(folder / "cashier", self.settings.wechat.app_id, self.clock)
        self.url = f"http://127.0.0.1:{port}"
        self.runners: list[web.AppRunner] = []
        self.dies: Callable[[], dict[str, int]] = dict  # where the next life ends: at which passing of which point
        self.pid = 0
        self.names = itertools.count()
        self.words: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def open(self) -> None:
        for app, at in ((self.platform.app(), self.sockets[1]), (self.cashier.app(), self.sockets[2])):
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.SockSite(runner, at).start()
            self.runners.append(runner)
        self.http = aiohttp.ClientSession()
        self.driver = Driver(self.url, self.settings, self.clock, self.platform, self.cashier, self.http)
        here, log = Path(__file__).parent, (self.folder / "log").open("wb")
        self.parent = await asyncio.create_subprocess_exec(
            sys.executable,
            str(here / "launcher.py"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=os.environ | {"PYTHONPATH": str(here.parent)},
        )
        log.close()
        self.listening = asyncio.create_task(self._listen())
        await self._word("ready")

    async def close(self) -> None:
        if self.pid:
            await self.stop()
        assert self.parent.stdin is not None
        self.parent.stdin.close()
        await self.parent.wait()
        await self.listening
        await self.http.close()
        for runner in self.runners:
            await runner.cleanup()
        self.sockets[0].close()

    async def _listen(self) -> None:
        assert self.parent.stdout is not None
        async for line in self.parent.stdout:
            self.words.put_nowait(json.loads(line))

    async def _word(self, name: str) -> int:
        """The next thing that the launcher says."""
        word = await asyncio.wait_for(self.words.get(), 60)
        assert name in word, (word, self.log())
        return int(word[name])

    def log(self) -> str:
        return (self.folder / "log").read_text()[-3000:]

    # -- the shop's lives

    async def start(self, *, dies: bool = True) -> None:
        """A new life; one that is not to die at all is also what later ones learn from."""
        assert self.parent.stdin is not None
        self.parent.stdin.write((json.dumps(self.life | {"dies": self.dies() if dies else None}) + "\n").encode())
        self.pid = await self._word("up")

    async def stop(self) -> None:
        with contextlib.suppress(aiohttp.ClientError):
            await self.http.post(f"{self.url}/test/stop")
        await self._word("down")
        self.pid = 0

    async def look_after(self, patience: float = 0) -> bool:
        """Whether it has died, or does within `patience` seconds; then it is started again."""
        with contextlib.suppress(TimeoutError):
            word = self.words.get_nowait() if self.words.qsize() else await asyncio.wait_for(self.words.get(), patience)
            assert word["down"] in (137, -9), (word, self.log())
            await self.start()
            return True
        return False

    async def through(self, act: Callable[[], Awaitable[T]], good: Callable[[T], bool] = bool) -> T:
        """Does something until it has been acknowledged, as people, the platform and the cashier do."""
        for _ in range(40):
            try:
                done = await act()
            except (aiohttp.ClientError, OSError, Died):
                done = None
            if done is not None and good(done):
                return done
            await self.look_after(0.5)
        raise AssertionError(f"not acknowledged: {done!r}\n{self.log()}")

    # -- what goes on in the street

    async def says(self, who: Follower, text: str) -> Heard:
        """Says it; where there is no answer, the platform says the very same message again."""
        heard = await self.driver.says(who.person, text)
        if heard.fault:
            last = heard
            await self.look_after(0.5)
            heard = (await self.through(lambda: self.driver.redeliver(last, 1), lambda got: not got[0].fault))[0]
        return heard

    async def presses(self, heard: Heard) -> str:
        """Opens the pay page and presses its button until there is a code; gives it."""
        link = next(link for link in heard.links if "/pay/" in link.url)

        async def press() -> str:
            page = await Web.get(self.driver, link.url)
            if not page.code_url and page._form is not None:
                page = await page.presses_the_button()
            if not page.code_url:
                await self.later(seconds=70)  # whoever had taken it to the cashier is dead: somebody else does
            return page.code_url

        return await self.through(press)

    async def pays(self, who: Follower, code: str) -> None:
        """Pays; the callback is said again until it is acknowledged."""
        await self.cashier.pay(code, who.person.who)
        await self.heard()

    async def heard(self) -> None:
        """Every callback has been acknowledged."""
        await self.look_after()
        while not self.cashier.withhold and any(not n.heard for n in self.cashier.notices):
            for notice in [n for n in self.cashier.notices if not n.heard]:
                await self.cashier._post(notice)
            await self.look_after()

    async def later(self, **span: float) -> None:
        """Time passes; a shop that dies meanwhile catches up when it is back."""
        self.clock.move(timedelta(**span))
        ahead = self.clock.offset.total_seconds()

        async def move() -> bool:
            async with self.http.post(f"{self.url}/test/until", params={"offset": str(ahead)}) as answer:
                return answer.status == 200

        await self.through(move)
        await self.look_after()

    async def until(self, statement: Any, value: Any, minutes: int = 2) -> None:
        """Time passes until something is as it has to become by itself; each death on the way costs a lease."""
        store, row = Store(self.database), None
        try:
            for _ in range(30):
                await self.later(minutes=minutes)
                row = await store.reader.one(statement)
                if row is not None and row[0] == value:
                    return
        finally:
            await store.close()
        raise AssertionError(f"{row} is not {value}")


async def day(street: Street) -> dict[str, str]:
    """A day of one buyer: everything on the money path happens once. What must have become of each order.

    It begins at noon, so that nothing is left for the morning that is said of it.
    """
    await street.later(seconds=(NOON - street.clock.now()) % timedelta(days=1) // timedelta(seconds=1))
    name = f"客人{next(street.names)}"
    person = Person("wechat", "o" + name.encode().hex().ljust(27, "0")[:27], name)
    mei = Follower(street.driver, person)
    await street.driver.follows(person)
    await street.look_after()
    await street.says(mei, ADDRESS)
    ends: dict[str, str] = {}

    async def orders() -> tuple[str, Heard]:
        heard = await street.says(mei, "买 A11 x1")
        if "/pay/" not in heard.text:
            heard = await street.says(mei, "1")
        found = re.search(r"订单 ([2-9A-HJ-NP-Z]{8})", heard.text)
        assert found, heard.text
        return found[1], heard

    # Paid and called back; a reaction fails twice, and is made up for; the platform is busy when the buyer is told.
    (street.folder / "stumbles").write_text("2")
    for _ in range(3):  # so that a shop that died at the first is refused once more
        street.platform.fail_next("message/custom/send", errcode=-1)
    no, heard = await orders()
    ends[no] = "paid"
    await street.pays(mei, await street.presses(heard))
    # Something dearer instead: the difference is paid on its own.
    first = no
    heard = await street.says(mei, f"换规格 {no} 100g 罐装")
    await street.pays(mei, await street.presses(heard))
    await street.until(select(Supplement.state).where(Supplement.no == no), "paid")
    # Paid, and nobody calls back.
    no, heard = await orders()
    ends[no] = "paid"
    street.cashier.withhold = True
    await street.cashier.pay(await street.presses(heard), person.who)
    street.cashier.notices.clear()
    street.cashier.withhold = False
    await street.until(select(Order.state).where(Order.no == no), "paid")
    # Cancelled while it could be paid; and paid all the same.
    no, heard = await orders()
    ends[no] = "closed"
    code = await street.presses(heard)
    said = await street.says(mei, f"取消 {no}")
    assert "取消" in said.text, said.text
    await street.until(select(Order.state).where(Order.no == no), "closed")
    sold = next(o for o in street.cashier.books.orders.values() if code in o.codes)
    assert sold.state == "CLOSED"
    sold.state = "NOTPAY"
    await street.pays(mei, code)
    # That goes back by itself; so does what was paid for the first, in two sums, as the shop does not answer. Nobody
    # calls that back either.
    ends[first] = "closed"
    said = await street.says(mei, f"退款 {first} 不想要了")
    assert "48 小时" in said.text, said.text
    street.cashier.withhold = True
    await street.later(hours=49)
    back = select(func.count(Refund.id)).join(Order, Order.id == Refund.order_id).where(Order.no.in_([first, no]))
    await street.until(back.where(Refund.state == "asked"), 3)
    await street.cashier.refund_settle()
    street.cashier.notices.clear()
    street.cashier.withhold = False
    await street.until(back.where(Refund.state == "done"), 3, 6)
    await street.until(select(func.count(Outbox.id)).where(Outbox.state.in_(["due", "leased"])), 0)
    return ends


async def whole(street: Street, ends: dict[str, str]) -> None:
    """The shop has stopped; everything that was acknowledged is there, both books agree, nothing needs a hand."""
    store = Store(street.database)
    Sealed.keys = Keys(street.settings.secret.key.get_secret_value())
    try:
        found = await offenders(store, street.clock.now())
        broken = [(i.name, ids) for room, i, ids in found if room != "models.inbox"]  # nobody tidies it in this day
        assert not broken
        states = {row.no: row.state for row in await store.reader.all(select(Order.no, Order.state))}
        assert {no: states.get(no) for no in ends} == ends
        sold = {o.transaction_id: o.total for o in street.cashier.books.orders.values() if o.transaction_id}
        paid = await store.reader.all(select(Payment.transaction_id, Payment.amount_fen))
        assert {row.transaction_id: row.amount_fen for row in paid} == sold
        done = await store.reader.all(select(Refund.out_refund_no, Refund.amount_fen, Refund.state))
        books = {r.out_refund_no: r.amount for r in street.cashier.books.refunds.values()}
        assert {row.out_refund_no: row.amount_fen for row in done} == books
        assert {row.state for row in done} == {"done"}
        for column, state in ((Case.state, "done"), (Supplement.state, "paid")):
            assert {row.state for row in await store.reader.all(select(column))} == {state}
        cash = await store.reader.one(select(func.sum(Entry.amount_fen)).where(Entry.account == "cash"))
        assert cash is not None
        assert cash[0] == sum(sold.values()) - sum(books.values())
        waiting = select(Outbox.kind, Outbox.name, Outbox.state, Outbox.error).where(
            Outbox.state.not_in(["done", "missed"]), Outbox.due < street.clock.now()
        )
        assert await store.reader.all(waiting) == []
    finally:
        await store.close()


@pytest.fixture
async def street(database: str, blank: Blank, tmp_path: Path) -> AsyncIterator[Street]:
    shutil.copytree(blank.folder / "cashier", tmp_path / "cashier")
    store = Store(database)
    async with store.engine.begin() as connection:
        await connection.execute(text("UPDATE sku SET on_hand = 100000"))  # for however many days there will be
    await store.close()
    made = Street(tmp_path, database)
    await made.open()
    yield made
    await made.close()


def passed(street: Street) -> Counter[str]:
    """How often each point was passed, in the order in which they were first met; "!" where it died."""
    return Counter((street.folder / "passed").read_text().split())


async def test_it_dies_at_every_point_of_the_money_path_and_nothing_is_lost(street: Street) -> None:
    """One life after the other, each with its own point to die at, until it has died at all of them."""
    await street.start(dies=False)
    ends = await day(street)
    counts = passed(street)
    assert counts.keys() >= points.POINTS, f"never reached: {points.POINTS - counts.keys()}"
    assert counts.keys() <= points.POINTS, f"listed nowhere: {counts.keys() - points.POINTS}"
    left = set(counts)

    def dies() -> dict[str, int]:
        left.difference_update(name[1:] for name in passed(street) if name.startswith("!"))
        return dict.fromkeys(left, 1)

    street.dies = dies
    await street.stop()
    await street.start()
    for _ in range(4):
        ends |= await day(street)
        if not dies():
            break
    street.dies = dict
    await street.stop()
    assert not left, f"never died at {left}"
    await whole(street, ends)


@pytest.mark.parametrize("database", BOTH if LONG else BOTH[1:], indirect=True)
async def test_it_is_killed_at_any_moment_and_nothing_is_lost(street: Street, long: bool) -> None:
    kills, ends = 50 if long else 3, dict[str, str]()
    chance = random.Random(7)

    async def kill() -> None:
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(0.02, 0.6))
            with contextlib.suppress(ProcessLookupError):
                if street.pid:
                    os.kill(street.pid, signal.SIGKILL)

    await street.start(dies=False)
    ends |= await day(street)
    await street.stop()
    await street.start()
    killing = asyncio.create_task(kill())
    try:
        while not killing.done():
            ends |= await day(street)
    finally:
        killing.cancel()
    ends |= await day(street)
    await street.stop()
    await whole(street, ends)


@pytest.mark.parametrize("database", BOTH if LONG else BOTH[:1], indirect=True)
async def test_every_passing_of_every_point(street: Street, long: bool) -> None:
    """The second, third … time is not like the first."""
    await street.start(dies=False)
    ends = await day(street)
    counts = passed(street)
    every = [(name, n) for name, count in counts.items() for n in range(1, count + 1)]
    for name, n in every if long else every[7::170]:
        street.dies = lambda name=name, n=n: {name: n}  # type: ignore[misc]
        await street.stop()
        await street.start()
        street.dies = dict
        ends |= await day(street)
    await street.stop()
    await whole(street, ends)
