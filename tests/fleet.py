"""Real `serve` processes side by side, one port each, and the crowd at their doors; a guard may be taken out of all.

Run as a program it is the processes' parent: it imports everything once and forks. Lines of JSON on stdin:
{"port": 8081, "without": ["stock"], …} starts one, {"end": 2} waits for the end of two. On stdout: {"pid": …} and the
address of each that starts, as `serve` says it, and {"ended": [0, 0]}.
"""

import asyncio
import contextlib
import functools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from aiohttp import web
from follower import Follower
from sqlalchemy import true

from bot import app, processes
from bot.clock import Clock
from bot.simulator.cashier import Cashier, Notified
from bot.simulator.driver import Driver
from bot.simulator.platform import Platform
from bot.simulator.stage import listener, port_of, settings_of
from bot.simulator.wire import Person
from bot.step import providable
from bot.web.poster import CardFacts, draw_card
from bot.workers import CHILD
from handlers.data import topics
from handlers.routing import load
from models import groupbuy, product, settlement
from models.base import Work
from models.seal import Keys, Sealed
from models.store import Store

T = TypeVar("T")


# -- the guards that a control twin is without -------------------------------------------------------------


def _no_room() -> None:
    product.room_for = lambda quantity: true()


def _no_numbers() -> None:
    groupbuy.free_number = lambda taken, size: size
    groupbuy.Group.join = lambda self, *given, **more: self.size  # type: ignore[method-assign]


def _nothing_known() -> None:
    async def never(work: Work, transaction_id: str) -> bool:
        return False

    settlement.known = never


GUARDS: dict[str, Callable[[], None]] = {"stock": _no_room, "seat": _no_numbers, "transaction": _nothing_known}


# -- a process ---------------------------------------------------------------------------------------------


async def serve(life: dict[str, Any]) -> int:
    """The shop as `tuanpu serve` runs it, on the test's clock, which goes on."""
    for guard in life["without"]:
        GUARDS[guard]()
    ports = (life["public"], life["platform"], life["cashier"])
    settings = settings_of(Path(life["folder"]), *ports, database=life["database"], redis=life["redis"])
    settings = settings.model_copy(update={"server": settings.server.model_copy(update={"port": life["port"]})})
    clock = Clock(timedelta(seconds=life["ahead"]))
    processes.House = functools.partial(app.House, clock=clock)  # type: ignore[assignment, misc]
    return await processes.serve(settings, shares_port=False)


def main() -> None:
    load(providable)
    topics().match("在吗")
    draw_card(CardFacts("shop", "店", "", None, None, "", "", "", "https://weixin.qq.com", None, ""))
    alive, held = os.pipe()  # whoever reads the first sees the end of this parent, who holds the second
    os.environ[CHILD] = "1"
    for line in sys.stdin:
        told = json.loads(line)
        if "end" in told:
            ended = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(told["end"])]
            os.write(1, (json.dumps({"ended": ended}) + "\n").encode())
        elif not os.fork():
            status = 1
            try:
                os.close(held)
                os.dup2(alive, 0)
                os.write(1, (json.dumps({"pid": os.getpid()}) + "\n").encode())
                status = asyncio.run(serve(told))
            finally:
                sys.stderr.flush()
                os._exit(status)


# -- the street before the doors ---------------------------------------------------------------------------


class Yard:
    """Where processes are started: their parent, and what they say."""

    def __init__(self, folder: Path) -> None:
        self.log_file = folder / "log"

    async def open(self) -> None:
        with self.log_file.open("wb") as log:
            self.parent = await asyncio.create_subprocess_exec(
                sys.executable,
                __file__,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
            )

    async def close(self) -> None:
        assert self.parent.stdin is not None
        self.parent.stdin.close()
        await self.parent.wait()

    def say(self, told: dict[str, Any]) -> None:
        assert self.parent.stdin is not None
        self.parent.stdin.write((json.dumps(told) + "\n").encode())

    async def word(self) -> str:
        assert self.parent.stdout is not None
        line = await asyncio.wait_for(self.parent.stdout.readline(), 60)
        assert line, self.log()
        return line.decode().strip()

    def log(self) -> str:
        return self.log_file.read_text()[-3000:]


class Fleet:
    """So many server processes of one shop; the platform, the cashier and the people are in the test's own process."""

    def __init__(self, yard: Yard, folder: Path, database: str, redis: str, ahead: timedelta) -> None:
        self.yard, self.folder, self.database, self.redis = yard, folder, database, redis
        self.clock = Clock(ahead)
        self.store = Store(database)
        self.urls: list[str] = []
        self.pids: list[int] = []
        self.drivers: list[Driver] = []
        self.names = 0

    async def open(self, count: int, without: Sequence[str]) -> None:
        self.doors = doors = [listener() for _ in range(count)]  # held: nobody else gets these ports before the shop
        behind = [listener(), listener()]
        ports, (platform, cashier) = [port_of(d) for d in doors], [port_of(b) for b in behind]
        settings = settings_of(self.folder, ports[0], platform, cashier, database=self.database, redis=self.redis)
        assert settings.wechat is not None
        Sealed.keys = Keys(settings.secret.key.get_secret_value())
        self.platform = Platform.for_shop(settings, self.clock)
        self.cashier = Cashier(self.folder / "cashier", settings.wechat.app_id, self.clock)
        self.runners: list[web.AppRunner] = []
        for side, at in ((self.platform.app(), behind[0]), (self.cashier.app(), behind[1])):
            runner = web.AppRunner(side, access_log=None)
            await runner.setup()
            await web.SockSite(runner, at).start()
            self.runners.append(runner)
        self.http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        for port in ports:
            life = {"folder": str(self.folder), "public": ports[0], "platform": platform, "cashier": cashier}
            life |= {"database": self.database, "redis": self.redis, "port": port, "without": list(without)}
            self.yard.say(life | {"ahead": self.clock.offset.total_seconds()})
        while len(self.urls) < count:
            word = await self.yard.word()
            if word.startswith("http"):
                self.urls.append(word)
            else:
                self.pids.append(json.loads(word)["pid"])
        for url in self.urls:
            self.drivers.append(Driver(url, settings, self.clock, self.platform, self.cashier, self.http))

    async def close(self) -> None:
        """All stop as an operator stops them, and each says that all was well."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        self.yard.say({"end": len(self.pids)})
        ended = json.loads(await self.yard.word())["ended"]
        await self.http.close()
        for runner in self.runners:
            await runner.cleanup()
        await self.store.close()
        for door in self.doors:
            door.close()
        assert ended == [0] * len(self.pids), self.yard.log()

    # -- people

    def crowd(self, count: int) -> list[Follower]:
        """So many people; every second one meets another process."""
        people = []
        for _ in range(count):
            self.names += 1
            person = Person("wechat", f"oFlood{self.names:022d}", f"客人{self.names}")
            people.append(Follower(self.drivers[self.names % len(self.drivers)], person))
        return people

    async def calls_back(self, notice: Notified, times: int = 1) -> list[list[int]]:
        """The cashier's callback so many times at once, by turns at each process, each said until it is acknowledged.

        What they were answered.
        """

        async def one(n: int) -> list[int]:
            path, answers = "/" + notice.url.split("/", 3)[3], list[int]()
            while 200 not in answers and len(answers) < 5:
                headers, raw = self.cashier.callback(notice)
                url = self.urls[(n + len(answers)) % len(self.urls)] + path
                async with self.http.post(url, data=raw, headers=headers) as answer:
                    answers.append(answer.status)
            return answers

        return await asyncio.gather(*(one(n) for n in range(times)))

    # -- what is in the books

    async def run(self, *statements: Any) -> None:
        async with self.store.engine.begin() as connection:
            for statement in statements:
                await connection.execute(statement)

    async def one(self, statement: Any) -> Any:
        row = await self.store.reader.one(statement)
        return row[0] if row is not None else None


async def at_once(acts: Sequence[Callable[[], Awaitable[T]]], most: int) -> list[T]:
    """All of them, at most so many under way at any moment."""
    room = asyncio.Semaphore(most)

    async def one(act: Callable[[], Awaitable[T]]) -> T:
        async with room:
            return await act()

    return await asyncio.gather(*(one(act) for act in acts))


@asynccontextmanager
async def fleet(
    yard: Yard, folder: Path, database: str, redis: str, count: int, ahead: timedelta, without: Sequence[str] = ()
) -> AsyncIterator[Fleet]:
    made = Fleet(yard, folder, database, redis, ahead)
    await made.open(count, without)
    try:
        yield made
    finally:
        await made.close()


if __name__ == "__main__":
    main()
