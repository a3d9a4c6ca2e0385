"""Starts the real shop in processes of its own that may be killed: one parent that knows everything, a fork for each.

Lines of JSON on stdin, one a life: {"port": 8080, "dies": {"till.close.asked": 1}, …}. On stdout: {"up": pid}
when the doors are open, {"down": status} when it has ended. A life that is told nowhere to die ("dies": null) is
lived by the parent itself, and spares all later ones what is learned in it: statements, templates, keys.
POST /test/until?offset=seconds moves the shop's clock there and lets everything that is due happen; POST /test/stop
ends it as SIGTERM would.
"""

import asyncio
import gc
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from thrift import be_thrifty

from bot import points
from bot.app import House
from bot.clock import Clock
from bot.simulator.stage import listener, settings_of
from bot.slow import Runner
from bot.step import providable
from handlers.routing import load
from models import tick
from models.base import Work
from models.ordernews import OrderPaid

NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
TICKS = ("payment", "supplement", "casenews")  # the others have nothing to do with a day's money


class Dial(Clock):
    """Leases end by the clock that the test turns."""

    def wall_ms(self) -> int:
        return int(self.now().timestamp() * 1000)


def hook(passed: Path, dies: dict[str, int]) -> Any:
    """Writes down what is passed, and dies where it is told to: {point: at which passing}."""
    file = os.open(passed, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def pass_by(name: str) -> None:
        dies[name] = dies.get(name, 0) - 1
        if dies[name] == 0:
            os.write(file, f"!{name}\n".encode())
            os._exit(137)
        os.write(file, f"{name}\n".encode())

    return pass_by


def stumble(house: House, flag: Path) -> None:
    """The first reaction to a payment fails as often as the flag says."""
    name, told = house.shop.reactions[OrderPaid][0]

    def still() -> bool:
        left = int(flag.read_text() or 0) if flag.exists() else 0
        flag.write_text(str(max(0, left - 1)))
        return left > 0

    async def failing(news: OrderPaid, **given: Any) -> None:
        if still():
            raise RuntimeError("a reaction stumbles")
        await told(news, **given)

    house.shop.needs[failing] = house.shop.needs[told]
    house.shop.reactions[OrderPaid][0] = (name, failing)


async def live(life: dict[str, Any]) -> None:
    folder = Path(life["folder"])
    clock = Dial()
    clock.freeze(NOON)
    settings = settings_of(folder, life["port"], life["platform"], life["cashier"], database=life["database"])
    house = House(settings, clock, movable=True)
    await house.open()
    stumble(house, folder / "stumbles")
    app = house.application()
    over = asyncio.Event()

    async def until(request: web.Request) -> web.Response:
        await house.tasks.settle(5)
        clock.offset = max(clock.offset, timedelta(seconds=float(request.query["offset"])))
        async with house.store.session() as session, session.begin():
            await tick.set_offset(Work(session, clock.now()), clock.offset)
        await house.desk.write_behind()
        for one in house.shop.ticks:
            if one.name.split(".")[1] in TICKS:
                await house.desk.look(one)
        await house.courier.drain()
        return web.Response()

    async def stop(request: web.Request) -> web.Response:
        over.set()
        return web.Response()

    app.router.add_post("/test/until", until)
    app.router.add_post("/test/stop", stop)
    runner = Runner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    at = listener(life["port"])
    assert at.getsockname()[1] == life["port"], "the port is taken"
    await web.SockSite(runner, at).start()
    points.install(hook(folder / "passed", life["dies"] or {}))
    say({"up": os.getpid()})
    await over.wait()
    points.install(None)
    await runner.cleanup()
    await house.stop()


def say(words: dict[str, Any]) -> None:
    os.write(1, (json.dumps(words) + "\n").encode())


def main() -> None:
    be_thrifty()
    load(providable)  # once for all lives
    say({"ready": os.getpid()})
    for line in sys.stdin:
        life = json.loads(line)
        if life["dies"] is None:
            asyncio.run(live(life))
            say({"down": 0})
            continue
        gc.collect()
        gc.freeze()  # so that a life does not copy what it only shares
        child = os.fork()
        if not child:
            status = 1
            try:
                asyncio.run(live(life))
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        _, status = os.waitpid(child, 0)
        say({"down": os.waitstatus_to_exitcode(status)})


if __name__ == "__main__":
    main()
