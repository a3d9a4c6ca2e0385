"""The project's own servers: its door alone, and the whole shop; each a process that the bench starts.

    python -m bench.ours door PORT
    python -m bench.ours prepare DATABASE PEOPLE      migrate, stock the shelves, let people follow
    python -m bench.ours stock DATABASE SALES         after that: everybody has an address, and there is what is bought
    python -m bench.ours shop PORT FOLDER DATABASE [REDIS]

With BENCH_PROFILE=FILE a server runs under cProfile and leaves its figures there when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import cProfile
import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from bench.account import HOST, PIECES, SAID, Account, on_sale, ordinary, people
from bot import config
from bot.clock import Clock
from bot.face import Answer
from bot.settings import Settings
from bot.slow import Runner
from bot.wechat.webhook import doors
from handlers.routing import Told

AT_ONCE = 2000  # followers in one INSERT


def settings_of(account: Account, port: int, folder: Path, database: str, redis: str) -> Settings:
    """A shop's settings with one WeChat account and no platform behind it: an answer never calls one."""
    nobody = f"http://{HOST}:9"
    return config.build(
        {
            "shop": {"name": "山野小铺", "timezone": "Asia/Shanghai", "public_url": f"http://{HOST}:{port}"},
            "server": {"host": HOST, "port": port},
            "secret": {"key": account.aes_key + account.token},
            "database": {"url": database},
            "redis": {"url": redis},
            "wechat": {
                "app_id": account.app_id,
                "app_secret": account.aes_key,
                "token": account.token,
                "encoding_aes_key": account.aes_key,
                "account": account.gh,
                "api_base": nobody,
                "mp_base": nobody,
                "open_base": nobody,
            },
        },
        folder,
    )


class Constant:
    """A desk that says what it was told, as the peers' echoes do, and does nothing else."""

    _answer = Answer(SAID)

    async def hear_within(self, told: Told, seconds: float) -> Answer | None:
        return self._answer


async def door(port: int) -> None:
    """The door alone: verify, decrypt, parse, a constant answer, encrypt."""
    folder = Path.cwd()
    settings = settings_of(Account.from_environment(), port, folder, f"sqlite:///{folder / 'none.db'}", "")
    assert settings.wechat is not None
    app = web.Application(client_max_size=64 * 1024)
    app.add_routes(doors(settings.wechat, Constant(), Clock()))
    async with _serving(app, port):
        await _until_told()


async def prepare(database: str, count: int) -> None:
    """A migrated, stocked shop with `count` followers who have talked to it before."""
    from sqlalchemy import insert, select

    from bot.app import House
    from bot.seeding import seed
    from models import migrations
    from models.follower import Follower
    from models.talk import Talk

    account = Account.from_environment()
    house = House(settings_of(account, 1, Path.cwd(), database, ""), works=False)  # what it writes is sealed
    store, clock = house.store, house.clock
    try:
        await migrations.upgrade(store)
        await seed(store, clock, "full", pictures=False)
        everybody = people(count)
        known = {"channel": "wechat", "account": account.gh, "since": clock.now(), "following": True}
        async with store.session() as session, session.begin():
            for start in range(0, count, AT_ONCE):
                rows = [{**known, "who": who, "name": ""} for who in everybody[start : start + AT_ONCE]]
                await session.execute(insert(Follower), rows)
            ids = (await session.scalars(select(Follower.id))).all()
            for start in range(0, count, AT_ONCE):
                talks = [
                    {"follower_id": i, "number": 0, "state": {}, "missed": 0} for i in ids[start : start + AT_ONCE]
                ]
                await session.execute(insert(Talk), talks)
        await _stands(store)
    finally:
        await house.shared.close()
        await store.close()


async def stock(database: str, sales: int) -> None:
    """What orders need: an address of everybody, forty products that do not run out, and one for every sale."""
    from sqlalchemy import insert, select

    from bot.app import House
    from models.address import Address
    from models.follower import Follower
    from models.product import Product, Sku

    house = House(settings_of(Account.from_environment(), 1, Path.cwd(), database, ""), works=False)
    store, now = house.store, house.clock.now()
    home = {"name": "张三", "phone": "13800138000", "region": "浙江省杭州市西湖区", "detail": "文三路1号"}
    stocked = {ordinary(n): 10**6 for n in range(40)} | {on_sale(n): PIECES for n in range(sales)}
    try:
        async with store.session() as session, session.begin():
            for code, pieces in stocked.items():
                product = Product(code=code, name=f"好茶 {code}", changed=now)
                session.add(product)
                await session.flush()
                session.add(Sku(product_id=product.id, price_fen=88_00, on_hand=pieces))
            ids = (await session.scalars(select(Follower.id))).all()
            for start in range(0, len(ids), AT_ONCE):
                some = [{"follower_id": i, "n": 1, "title": "", **home} for i in ids[start : start + AT_ONCE]]
                await session.execute(insert(Address), [row | {"changed": now, "used": now} for row in some])
        await _stands(store)
    finally:
        await house.shared.close()
        await store.close()


async def _stands(store: Any) -> None:
    """As a shop that has stood since yesterday: the catalogue is not news, and no round meets autovacuum."""
    from sqlalchemy import update

    from models.product import Product

    async with store.session() as session, session.begin():
        await session.execute(update(Product).values(changed=datetime.now(UTC) - timedelta(days=1)))
    if not store.sqlite:
        async with store.engine.connect() as connection:
            aside = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await aside.exec_driver_sql("VACUUM ANALYZE")


async def shop(port: int, folder: Path, database: str, redis: str) -> None:
    """The whole shop as `tuanpu serve` runs it: with a worker elsewhere on PostgreSQL and Redis, alone on SQLite."""
    from bot import logs
    from bot.app import House

    settings = settings_of(Account.from_environment(), port, folder, database, redis)
    logs.configure(settings.secrets())
    house = House(settings, works=not settings.database.is_postgresql or not settings.redis.url)
    await house.open()
    async with _serving(house.application(), port):
        house.start()
        await _until_told()
        house.stopping = True
    await house.stop()


@contextlib.asynccontextmanager
async def _serving(app: web.Application, port: int) -> Any:
    """`app` behind the server that the shop uses."""
    runner = Runner(app, access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, HOST, port, shutdown_timeout=1.0).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def _until_told() -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    with _profiled():
        await told.wait()


@contextlib.contextmanager
def _profiled() -> Iterator[None]:
    """Under cProfile when the bench wants it: everything that the loop's thread does meanwhile."""
    kept = os.environ.get("BENCH_PROFILE")
    if not kept:
        yield
        return
    profile = cProfile.Profile(time.thread_time)  # the loop's own CPU: waiting costs nothing
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
        profile.dump_stats(kept)


def main(words: list[str]) -> None:
    """Serve until SIGTERM, or prepare and end."""
    match words:
        case ["door", port]:
            asyncio.run(door(int(port)))
        case ["prepare", database, count]:
            asyncio.run(prepare(database, int(count)))
        case ["stock", database, sales]:
            asyncio.run(stock(database, int(sales)))
        case ["shop", port, folder, database, *redis]:
            asyncio.run(shop(int(port), Path(folder), database, "".join(redis)))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
