"""The demo's stage: a whole shop with a fake platform and a fake cashier behind it, all on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import aiohttp
from aiohttp import web

from bot import config
from bot.app import STOP_SECONDS, House
from bot.clock import Clock
from bot.menu import BUTTONS
from bot.seeding import seed
from bot.settings import Settings
from bot.simulator.cashier import Cashier
from bot.simulator.cashier_keys import make_merchant
from bot.simulator.driver import Driver
from bot.simulator.memory import Memory
from bot.simulator.platform import Platform
from bot.simulator.web import mount
from bot.simulator.wire import Person
from bot.slow import Runner
from models import migrations
from models.base import Work
from models.staff import Role, StaffGlance, StaffRoom

HOST = "127.0.0.1"
PEOPLE = (
    Person("wechat", "oXiaoMei0000000000000000wx1", "小美"),
    Person("wechat", "oAQiang00000000000000000wx2", "阿强"),
    Person("wechat", "oWangAYi0000000000000000wx3", "王阿姨"),
    Person("weibo", "2400000004", "微博小林"),
    Person("wechat", "oLaoBan00000000000000000wx5", "老板", "merchant"),
)
MERCHANT = PEOPLE[-1]
DAY = (9, 20)  # the hours of the shop at which a new demo may begin


def listener(port: int = 0) -> socket.socket:
    """A socket on this machine's own address: on `port`, or on any free one where that is 0 or taken."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
    except OSError:
        found.bind((HOST, 0))
    return found


def port_of(listening: socket.socket) -> int:
    """The port that a socket is bound to."""
    return int(listening.getsockname()[1])


def settings_of(
    folder: Path, port: int, platform_port: int, cashier_port: int, *, database: str = "", redis: str = ""
) -> Settings:
    """The demo's own settings, its secrets made once per folder; config.toml is never read."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "secrets.json"
    if not kept.exists():
        made = {
            "key": config.fresh_secret(),
            "token": config.fresh_token(),
            "aes": config.fresh_aes_key(),
            "secret": config.fresh_secret(),
            "weibo": config.fresh_secret(),
            "weibo_token": config.fresh_secret(),
        }
        kept.touch(mode=0o600)
        kept.write_text(json.dumps(made))
    secret = json.loads(kept.read_text())
    platform, cashier = f"http://{HOST}:{platform_port}", f"http://{HOST}:{cashier_port}"
    return config.build(
        {
            "shop": {"name": "山野小铺", "timezone": "Asia/Shanghai", "public_url": f"http://{HOST}:{port}"},
            "server": {"host": HOST, "port": port},
            "secret": {"key": secret["key"]},
            "database": {"url": database or f"sqlite:///{(folder / 'shop.db').resolve()}"},
            "redis": {"url": redis},
            "wechat": {
                "app_id": "wx0000tuanpu00demo",
                "app_secret": secret["secret"],
                "token": secret["token"],
                "encoding_aes_key": secret["aes"],
                "account": "gh_tuanpudemo",
                "api_base": platform,
                "mp_base": platform,
                "open_base": platform,
            },
            "weibo": {
                "app_key": "1000000001",
                "app_secret": secret["weibo"],
                "access_token": secret["weibo_token"],
                "account": "1900000001",
                "api_base": platform,
                "upload_base": platform,
            },
            "wechat_pay": make_merchant(folder / "cashier") | {"api_base": cashier},
        },
        folder,
    )


@dataclass
class Stage:
    """A running demo: the house, the two fakes, the driver and the people."""

    house: House
    platform: Platform
    cashier: Cashier
    driver: Driver
    url: str
    http: aiohttp.ClientSession
    runners: list[web.AppRunner]
    memory: Memory | None = None

    async def close(self) -> None:
        """Finish what is in hand while both fakes still answer, then close all."""
        self.house.stopping = True
        await self.runners[0].cleanup()
        await self.house.stop()
        for runner in self.runners[1:]:
            await runner.cleanup()
        if self.memory is not None:
            await self.memory.keep()
        await self.http.close()


async def open_stage(
    folder: Path,
    *,
    port: int = 0,
    database: str = "",
    redis: str = "",
    clock: Clock | None = None,
    migrate: bool = True,
    goods: str = "small",
    alive: bool = True,
) -> Stage:
    """Open a shop with everything around it; where `port` is taken, on another one.

    `alive=False` leaves the clock, the courier and the merchant to the caller (tests).
    """
    async with contextlib.AsyncExitStack() as undo:  # what fails on the way leaves nothing open
        sockets = [undo.enter_context(listener(wanted)) for wanted in (port, 0, 0)]
        stage = await _open(undo, folder, sockets, clock or Clock(), database, redis, migrate, goods, alive)
        undo.pop_all()
    return stage


async def _open(
    undo: contextlib.AsyncExitStack,
    folder: Path,
    sockets: list[socket.socket],
    clock: Clock,
    database: str,
    redis: str,
    migrate: bool,
    goods: str,
    alive: bool,
) -> Stage:
    port, platform_port, cashier_port = map(port_of, sockets)
    settings = settings_of(folder, port, platform_port, cashier_port, database=database, redis=redis)
    assert settings.wechat is not None
    house = House(settings, clock, movable=True, frame_ancestors="'self'")
    undo.push_async_callback(house.store.close)
    if migrate:
        await migrations.upgrade(house.store)
    if goods:
        await seed(house.store, clock, goods)
    await house.open()
    undo.push_async_callback(house.stop)
    platform = Platform.for_shop(settings, clock)
    cashier = Cashier(folder / "cashier", settings.wechat.app_id, clock, keep=alive)
    http = aiohttp.ClientSession()
    undo.push_async_callback(http.close)
    url = f"http://{HOST}:{port}"
    driver = Driver(url, settings, clock, platform, cashier, http)
    app = house.application()
    memory = None
    if alive:
        memory = Memory(platform.crowd, folder)
        memory.recall()
        house.ticks.every(1, "platform", memory.keep)
        house.ticks.every(1, "cashier", cashier.tick)

        async def move(by: timedelta) -> None:
            """Onwards, looking around three times: what falls due may make something else due a minute later."""
            minute = timedelta(minutes=1)
            for step in (by - 2 * minute, minute, minute) if by > 3 * minute else (by,):
                await house.move_clock(step)
                await cashier.tick()
                await house.courier.drain()

        mount(app, driver, platform, cashier, clock, move, lambda: BUTTONS, PEOPLE)
    runners: list[web.AppRunner] = []
    for one, at in zip((app, platform.app(), cashier.app()), sockets, strict=True):
        runner = Runner(one, access_log=None, handle_signals=False, shutdown_timeout=STOP_SECONDS)
        await runner.setup()
        undo.push_async_callback(runner.cleanup)
        await web.SockSite(runner, at, backlog=1024).start()
        runners.append(runner)
    stage = Stage(house, platform, cashier, driver, url, http, runners, memory)
    if alive:
        await asyncio.to_thread(house.warm)
        house.start()
        await _begin(stage)
    return stage


async def _begin(stage: Stage) -> None:
    """The first time, it is day, and the shop is handed to the merchant by the words of a real one: 绑定 and a code."""
    house = stage.house
    if await StaffGlance(house.store.reader).all():
        return
    local = house.clock.now().astimezone(house.settings.shop.zone)
    if not DAY[0] <= local.hour < DAY[1]:  # at night notices wait for the morning, and a visitor would wait with them
        morning = local.replace(hour=10, minute=0, second=0, microsecond=0)
        await house.move_clock(morning + timedelta(days=local.hour >= DAY[1]) - local)
    await stage.driver.follows(MERCHANT)
    await stage.driver.says(MERCHANT, f"绑定 {await make_owner(stage.house)}")


async def make_owner(house: House) -> str:
    """A one-time code for the owner, as `tuanpu staff code` prints it."""
    async with house.store.session() as session, session.begin():
        work = Work(session, house.clock.now())
        return await StaffRoom(work).offer(Role.OWNER, house.keys.derive("staff"), work.now)
