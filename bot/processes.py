"""The commands that run until they are told to stop: demo, serve, work; which of them may run beside which."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

from aiohttp import web
from alembic.util import CommandError
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import SQLAlchemyError

from bot import logs
from bot.app import STOP_SECONDS, House
from bot.commands import fit, is_there, opened
from bot.settings import Settings
from bot.slow import Runner
from bot.terminal import NOT_NOW, Unfit, complain, say
from bot.workers import CHILD, STOPS

ANOTHER = "name another folder with --data"
SERVE_LOCK = 7_482_002  # one serve without Redis
RUN_LOCK = 7_482_003  # shared by all that serve or work; a restore has it alone


async def demo(port: int, folder: Path, environ: Mapping[str, str]) -> int:
    """Everything on this machine without any account; prints the simulator's URL alone on a line."""
    from bot.simulator.stage import open_stage  # the simulator exists under `demo` only

    real = sorted(n for n in environ if n.startswith("TUANPU_") and "__" in n)
    if real:
        raise Unfit(f"demo makes its own settings; unset {', '.join(real)} first.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
        log = (folder / "demo.log").open("a")
    except OSError as failure:
        raise Unfit(f"{folder} cannot be used: {failure.strerror}; {ANOTHER}.") from None
    with log, only_one(folder / "demo.lock") as free:
        if not free:
            raise Unfit(f"a demo is running on {folder} already; open its page, or {ANOTHER}.")
        told = _told()
        logs.configure(stream=log)
        try:
            stage = await open_stage(folder.resolve(), port=port)
        except (OSError, ValueError, LookupError, SQLAlchemyError, CommandError) as failure:
            # Files cut short, somebody else's, a newer version's.
            logging.getLogger(__name__).exception("the demo does not open")
            said = f"what lies in {folder} does not open ({type(failure).__name__}, see its demo.log)"
            raise Unfit(f"{said}; remove it, or {ANOTHER}.") from None
        logs.configure(stage.house.settings.secrets(), stream=log)
        try:
            if port and not stage.url.endswith(f":{port}"):
                complain(f"port {port} cannot be had; this is another one.")
            say(f"{stage.url}/simulator/")
            complain(f"open it in a browser; Ctrl-C ends. What it knows and its log lie in {folder}.")
            await told.wait()
        finally:
            await stage.close()
            logs.configure()
    return 0


async def serve(settings: Settings, *, shares_port: bool) -> int:
    """Answer messages, pages and callbacks; `shares_port`: one of several processes on it."""
    works = not settings.database.is_postgresql or not settings.redis.url
    async with _alone(settings, serving=True):
        told = _told()
        logs.configure(settings.secrets())
        house = await _opened_house(settings, works=works)
        runner = Runner(house.application(), access_log=None, handle_signals=False, shutdown_timeout=STOP_SECONDS)
        try:
            await runner.setup()
            await _listen(runner, settings.server.host, settings.server.port, shares_port=shares_port)
            house.start()
            await told.wait()
        finally:
            house.stopping = True
            await runner.cleanup()
            await house.stop()
    return 0


async def _listen(runner: web.AppRunner, host: str, port: int, *, shares_port: bool) -> None:
    """Begin to listen, and say where; raises Unfit when that cannot be."""
    try:
        await web.TCPSite(runner, host, port, backlog=1024, reuse_port=shares_port or None).start()
    except OSError as failure:
        why = "somebody else does" if failure.errno == errno.EADDRINUSE else failure.strerror
        raise Unfit(f"cannot listen on {host}:{port}: {why}.", NOT_NOW) from None
    say(f"http://{host}:{port}")


async def work(settings: Settings) -> int:
    """Deliver pushes and errands, and look at what is due."""
    async with _alone(settings, serving=False):
        told = _told()
        logs.configure(settings.secrets())
        house = await _opened_house(settings, works=True)
        try:
            house.start()
            say("working")
            await told.wait()
        finally:
            await house.stop()
    return 0


async def _opened_house(settings: Settings, *, works: bool) -> House:
    house = House(settings, works=works)
    try:
        await fit(settings, house.store)
    except BaseException:
        await house.store.close()
        raise
    await house.open()
    try:
        await asyncio.to_thread(house.warm)
    except BaseException:
        await house.stop()
        raise
    return house


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[bool]:
    """Whether nobody else holds this lock file; the lock goes with the process, however that ends. Raises Unfit."""
    try:
        held = path.open("a")
    except OSError as failure:
        raise Unfit(f"{path} cannot be written: {failure.strerror}.") from None
    with held as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


@contextlib.asynccontextmanager
async def _alone(settings: Settings, *, serving: bool) -> AsyncIterator[None]:
    """Raises Unfit when this process may not run beside the others (architecture: databases and processes).

    Whoever runs holds a lock that `restore` wants for itself.
    """
    if not settings.database.is_postgresql:
        path = Path(settings.database.url.removeprefix("sqlite:///") + ".lock")
        if not is_there(path.parent):
            raise Unfit("there is no database yet; say `tuanpu migrate` first.")
        with only_one(path) as free:
            if not free:
                raise Unfit("on SQLite one process serves and works; another is running already.")
            yield
        return
    async with opened(settings) as store, store.engine.connect() as connection:

        async def taken(lock: ColumnElement[bool]) -> bool:
            free = bool((await connection.execute(select(lock))).scalar_one())
            await connection.commit()  # the lock is the session's: no transaction is left open for as long as we serve
            return free

        if not await taken(func.pg_try_advisory_lock_shared(RUN_LOCK)):
            raise Unfit("the database is being restored; try again when that is done.", NOT_NOW)
        if serving and not settings.redis.url and not await taken(func.pg_try_advisory_lock(SERVE_LOCK)):
            raise Unfit("without Redis one process serves; another is running already. Set [redis] url.")
        yield


def _told() -> asyncio.Event:
    """Set by a signal that ends, and when the process that started this worker is gone."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in STOPS:
        loop.add_signal_handler(name, told.set)
    if os.environ.get(CHILD):
        loop.add_reader(sys.stdin.fileno(), _gone, loop, told)
    return told


def _gone(loop: asyncio.AbstractEventLoop, told: asyncio.Event) -> None:
    loop.remove_reader(sys.stdin.fileno())
    told.set()
