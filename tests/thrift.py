"""What hundreds of tests would do again and again, word for word the same, is done once in a process."""

import asyncio
import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web_app
from jinja2 import BytecodeCache, Environment
from jinja2.bccache import Bucket
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import create_async_engine

import bot.face
import bot.pay.wxpay
import models.store
from models.store import Store

MEMORY = Path("/dev/shm")  # a file system in memory, where the machine has one
ROOM = 4 << 30  # bytes


def be_thrifty() -> None:
    """Templates and statements are compiled once, a key is proved prime once; folders lie in memory.

    Nothing is left out for it: a process that is killed loses nothing of what it has written, to memory or to a disk.
    """
    bot.face.Environment = _environment  # type: ignore[misc, assignment]
    bot.pay.wxpay.load_pem_private_key = functools.lru_cache(64)(bot.pay.wxpay.load_pem_private_key)
    models.store.create_async_engine = _lend(create_async_engine)
    models.store.create_engine = _lend(create_engine)
    models.store._sqlite_writer = _once(models.store._sqlite_writer)
    Store.close = _closed  # type: ignore[method-assign]
    models.store._PostgresReader._open = _opened  # type: ignore[method-assign]
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


# -- templates -------------------------------------------------------------------------------------------


class Kept(BytecodeCache):
    """Compiled templates, by name and text."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self.kept:
            bucket.bytecode_from_string(self.kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.kept[bucket.key] = bucket.bytecode_to_string()


_pages, _chat = Kept(), Kept()  # the same words compile to something else where they are escaped


def _environment(**said: Any) -> Environment:
    return Environment(**said, bytecode_cache=_pages if said["autoescape"] else _chat)


# -- engines: one that was given back knows its statements by heart, and opens connections of its own ------

_resting: dict[tuple[str, str], list[Any]] = {}  # by database, and what was said
_out: dict[int, tuple[tuple[str, str], Any]] = {}


def _lend(make: Callable[..., Any]) -> Callable[..., Any]:
    def lent(address: URL | str, **said: Any) -> Any:
        url = make_url(address)
        sqlite = url.get_backend_name() == "sqlite"
        name = ("", f"{url.drivername} {said}") if sqlite else (url.database or "", f"{url} {said}")
        resting = _resting.setdefault(name, [])
        if resting and (sqlite or _at_home(url)):
            engine = resting.pop()
        else:
            engine = make(url, **said)
            if sqlite:
                event.listen(_plain(engine), "do_connect", _opens(_plain(engine)))
        _plain(engine).url = url
        _out[id(engine)] = name, engine
        return engine

    return lent


def _plain(engine: Any) -> Any:
    return getattr(engine, "sync_engine", engine)


def _opens(engine: Any) -> Callable[..., None]:
    def open_it(_dialect: Any, _record: Any, arguments: list[Any], _named: dict[str, Any]) -> None:
        arguments[0] = engine.url.database  # another file than the last time

    return open_it


def _once(dress: Callable[[Any], None]) -> Callable[[Any], None]:
    done: dict[int, Any] = {}

    def dressed(engine: Any) -> None:
        if id(engine) not in done:
            dress(engine)
        done[id(engine)] = engine

    return dressed


async def _closed(store: Store) -> None:
    if not await _keeps_its_connections(store):
        await _close(store)
    for engine in (store.engine, getattr(store, "_reading", None), getattr(store.reader, "_engine", None)):
        name, made = _out.pop(id(engine), (("", ""), None))
        if made is not None:
            _resting[name].append(made)
    web_app._cached_build_middleware.cache_clear()  # it would keep every shop that ever opened its doors


_close = Store.close


# -- connections: to the PostgreSQL database that goes from test to test they stay open, and know what they do ----

LOCKED = text(
    "SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = database"
    " WHERE locktype = 'advisory' AND datname = current_database()"
)
_homes: dict[str, asyncio.AbstractEventLoop] = {}  # by database
_pools: dict[str, list[Any]] = {}


def keep_open(address: str) -> None:
    """From now on whoever closes a store of this database, in this loop, leaves its connections to the next."""
    _homes[make_url(address).database or ""] = asyncio.get_running_loop()


async def part(address: str) -> None:
    """All connections to this database that nobody has are closed; the database is given up."""
    database = make_url(address).database or ""
    if _homes.pop(database, None) is None:
        return
    for name in [name for name in _resting if name[0] == database]:
        for engine in _resting.pop(name):
            await engine.dispose()
    for pool in _pools.pop(database, []):
        await pool.close()


def _at_home(url: URL) -> bool:
    """Whether what rests is of the loop that asks, or of none."""
    home = _homes.get(url.database or "")
    if home is None:
        return True
    try:
        return asyncio.get_running_loop() is home
    except RuntimeError:
        return False


async def _keeps_its_connections(store: Store) -> bool:
    """Whether they can stay: none is in use, and none holds what only its end would give back."""
    reader = store.reader
    if not isinstance(reader, models.store._PostgresReader):
        return False
    url, pool = store.engine.url, reader._pool
    if _homes.get(url.database or "") is not asyncio.get_running_loop():
        return False
    if any(engine.pool.checkedout() for engine in (store.engine, reader._engine)):  # type: ignore[attr-defined]
        return False
    if pool is not None and pool.get_size() != pool.get_idle_size():
        return False
    if await reader.one(LOCKED) is not None:
        return False
    if pool is not None:
        _pools.setdefault(url.database or "", []).append(pool)
        reader._pool = None
    return True


_open_pool = models.store._PostgresReader._open


async def _opened(reader: Any) -> Any:
    url = reader._engine.url
    async with reader._opening:
        if reader._pool is None and _at_home(url) and (resting := _pools.get(url.database or "")):
            reader._pool = resting.pop()
    return await _open_pool(reader)
