"""What the command line does, one function a command; each returns the exit status."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
from aiohttp import web
from sqlalchemy import bindparam, text

from bot import config, logs
from bot.app import House
from bot.clock import Clock
from bot.data import data
from bot.seeding import seed
from bot.settings import Settings
from bot.slow import Runner
from handlers.admin.staff import new_code
from models import migrations, tables
from models.base import Work
from models.staff import Role, StaffRoom, code_hash
from models.store import Store
from models.verify import offenders

SERVE_LOCK = 7_482_002  # one serve without Redis


def say(words: str) -> None:
    """A line for the person at the terminal."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


async def demo(port: int, folder: Path, environ: Mapping[str, str]) -> int:
    """Everything on this machine without any account; prints the simulator's URL alone on a line."""
    from bot.simulator.stage import HOST, free_port, open_stage  # the simulator exists under `demo` only

    real = sorted(n for n in environ if n.startswith("TUANPU_") and "__" in n)
    if real:
        sys.stderr.write(f"demo makes its own settings; unset {', '.join(real)} first.\n")
        return 78
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    with _only_one(folder / "demo.lock") as free:
        if not free:
            sys.stderr.write(f"a demo is running on {folder} already.\n")
            return 78
        logs.configure(stream=(folder / "demo.log").open("a"))
        try:
            stage = await open_stage(folder.resolve(), port=port)
        except OSError:
            port = free_port()
            stage = await open_stage(folder.resolve(), port=port)
        say(f"http://{HOST}:{port}/simulator/")
        await _until_told()
        await stage.close()
    return 0


async def init(path: Path) -> int:
    """Write config.toml, make its secrets, migrate the database it names, print the owner's code on the last line."""
    if path.exists():
        sys.stderr.write(f"{path} is there already; it is left as it is.\n")
        return 78
    written = config.starting_config(data("config.example.toml").read_text(encoding="utf-8"))
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(written)
    settings = config.load(path, os.environ)
    await migrate(settings)
    say(f"{path} is written. Fill in [wechat], [weibo] and [wechat_pay], then: tuanpu serve")
    say("Say 绑定 with this code to the account, within 30 minutes, to become its owner:")
    return await staff_code(settings, "owner")


async def migrate(settings: Settings) -> int:
    """Bring the database to this version."""
    async with _store(settings) as store:
        await migrations.upgrade(store)
        say(f"the database is at {migrations.head()}")
    return 0


async def seeded(settings: Settings, size: str) -> int:
    """Load the demo goods into an empty shop."""
    async with _store(settings) as store:
        count = await seed(store, Clock(), size)
    say(f"{count} products were put on the shelf" if count else "the shop has goods already; nothing was changed")
    return 0


async def staff_code(settings: Settings, role: str) -> int:
    """Print a one-time code for 绑定, alone on the last line."""
    from models.seal import Keys

    keys = Keys(settings.secret.key.get_secret_value())
    code = new_code()
    async with _store(settings) as store, store.session() as session, session.begin():
        work = Work(session, Clock().now())
        await StaffRoom(work).offer(code_hash(code, keys.derive("staff")), Role[role.upper()], work.now)
    say(code)
    return 0


def serve(settings: Settings, path: Path, workers: int | None) -> int:
    """Answer messages, pages and callbacks; with several workers, one process each."""
    count = workers or settings.server.workers
    if count > 1 and not (settings.database.is_postgresql and settings.redis.url):
        sys.stderr.write("more than one worker needs PostgreSQL and Redis.\n")
        return 78
    if count <= 1:
        return asyncio.run(_serve(settings, shared_port=False))
    if os.environ.get("TUANPU_CHILD") == "1":
        return asyncio.run(_serve(settings, shared_port=True))
    command = [sys.executable, "-m", "bot", "serve", "--config", str(path), "--workers", str(count)]
    children = [subprocess.Popen(command, env=os.environ | {"TUANPU_CHILD": "1"}) for _ in range(count)]

    def stop(*_: object) -> None:
        for child in children:
            child.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return max((abs(child.wait()) for child in children), default=0)


async def _serve(settings: Settings, *, shared_port: bool) -> int:
    logs.configure(settings.secrets())
    works = not settings.database.is_postgresql or not settings.redis.url
    async with _alone(settings, serving=True) as why:
        if why:
            sys.stderr.write(why + "\n")
            return 78
        house = House(settings, works=works)
        if await migrations.at(house.store) != migrations.head():
            sys.stderr.write("the database is at another version; say `tuanpu migrate` first.\n")
            await house.store.close()
            return 78
        await house.open()
        runner = Runner(house.application(), access_log=None, handle_signals=False)
        await runner.setup()
        site = web.TCPSite(
            runner,
            settings.server.host,
            settings.server.port,
            reuse_port=shared_port or None,
            shutdown_timeout=8.0,
        )
        await site.start()
        house.start()
        say(f"http://{settings.server.host}:{settings.server.port}")
        await _until_told()
        house.stopping = True
        await runner.cleanup()
        await house.stop()
    return 0


async def work(settings: Settings) -> int:
    """Deliver pushes and errands, and look at what is due."""
    logs.configure(settings.secrets())
    async with _alone(settings, serving=False) as why:
        if why:
            sys.stderr.write(why + "\n")
            return 78
        house = House(settings, works=True, serves=False)
        await house.open()
        house.start()
        say("working")
        await _until_told()
        await house.stop()
    return 0


async def verify(settings: Settings) -> int:
    """Check every invariant; 1 and the offending ids when one is broken."""
    async with _store(settings) as store:
        found = await offenders(store, Clock().now())
    for module, invariant, ids in found:
        shown = ", ".join(map(str, ids[:20])) + (" …" if len(ids) > 20 else "")
        say(f"{module} {invariant.name}: {invariant.sentence} — broken by {shown}")
    say(f"{len(tables.invariants())} invariants, {len(found)} broken")
    return 1 if found else 0


async def doctor(settings: Settings) -> int:
    """Print what is dangerous, what is missing, and what this account may do and the shop therefore does not offer."""
    from bot.doctor import examine

    return await examine(settings, say)


async def menu_push(settings: Settings) -> int:
    """Publish the account's menu."""
    from bot.menu import BUTTONS
    from bot.wechat.api import WeChat

    if settings.wechat is None:
        sys.stderr.write("there is no [wechat] section in the configuration.\n")
        return 78
    async with aiohttp.ClientSession() as http:
        await WeChat(settings.wechat, http, Clock().now).menu_push(BUTTONS)
    say("the menu is published; phones show it within five minutes")
    return 0


@contextlib.asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[Store]:
    if settings.database.url.startswith("sqlite:///"):
        Path(settings.database.url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    store = Store(settings.database.url)
    try:
        yield store
    finally:
        await store.close()


@contextlib.contextmanager
def _only_one(path: Path):  # type: ignore[no-untyped-def]
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


@contextlib.asynccontextmanager
async def _alone(settings: Settings, *, serving: bool) -> AsyncIterator[str]:
    """Why this process may not run beside the others, "" when it may (architecture: databases and processes)."""
    if settings.database.url.startswith("sqlite:///"):
        path = Path(settings.database.url.removeprefix("sqlite:///") + ".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(path) as free:
            yield "" if free else "on SQLite one process serves and works; another is running already."
        return
    if settings.redis.url or not serving:
        yield ""
        return
    store = Store(settings.database.url)
    try:
        async with store.engine.connect() as connection:
            asked = text("SELECT pg_try_advisory_lock(:n)").bindparams(bindparam("n", SERVE_LOCK))
            free = (await connection.execute(asked)).scalar_one()
            yield ("" if free else "without Redis one process serves; another is running already. Set [redis] url.")
    finally:
        await store.close()


async def _until_told() -> None:
    """Until SIGTERM or SIGINT."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, told.set)
    await told.wait()
