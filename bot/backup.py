"""`tuanpu backup FILE` and `tuanpu restore FILE`: the whole shop in one file, and the way back from it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot import dumping
from bot.clock import Clock
from bot.commands import is_there, opened, ready
from bot.dumping import BEFORE, tool
from bot.processes import RUN_LOCK, only_one
from bot.quarantine import begin
from bot.settings import Settings
from bot.terminal import NOT_NOW, Unfit, complain, say
from models import migrations, quarantine, verify
from models.base import Invariant, Work
from models.seal import Keys, Sealed
from models.store import Store
from models.talk import Talk

SQLITE = b"SQLite format 3\0"
RUNNING = "the shop is running; stop every `serve` and `work` first."
Broken = list[tuple[str, Invariant, list[object]]]


# -- backup ----------------------------------------------------------------------------------------------


async def backup(settings: Settings, file: Path, clock: Clock | None = None) -> int:
    """Write the whole database into a new file while the shop goes on; 1 when what it holds breaks an invariant.

    The file appears whole or not at all, readable by its owner only. What breaks an invariant is kept all the same,
    and named: a bad backup is better than none, but not a silent one.
    """
    clock = clock or Clock()
    _open_seals(settings)
    if not settings.database.is_postgresql and not is_there(_place(settings)):  # looking would make an empty one
        raise Unfit("there is no database yet; there is nothing to back up.")
    async with opened(settings) as store:
        at = await migrations.at(store)
        if not at:
            raise Unfit("the database is empty; there is nothing to back up.")
        with _appearing(file) as partial:
            async with store.session() as session, session.begin():
                work = Work(session, clock.now())
                await quarantine.note_backup(work)
            checks = at == migrations.head()
            if store.sqlite:
                found = await _copy(store, partial, work.now, checks=checks)
            else:
                found = await _dump(settings, store, partial, work.now, checks=checks)
    for module, invariant, ids in found:
        complain(f"{module} {invariant.name}: {invariant.sentence} — broken by {', '.join(map(str, ids[:20]))}")
    checked = f"{len(found)} invariants broken" if found else "every invariant holds"
    say(f"{file}: {_size(file)} bytes, {checked if checks else f'at {at}: invariants were not checked'}")
    return 1 if found else 0


async def _copy(store: Store, partial: Path, now: datetime, *, checks: bool) -> Broken:
    await asyncio.to_thread(_copy_sqlite, Path(store.path), partial)
    await asyncio.to_thread(_settle_sqlite, partial)  # what is damaged has no invariants
    found: Broken = []
    if checks:
        copy = Store(f"sqlite:///{partial}")
        try:
            found = await verify.offenders(copy, now)
        finally:
            await copy.close()
        await asyncio.to_thread(_settle_sqlite, partial)
    return found


async def _dump(settings: Settings, store: Store, partial: Path, now: datetime, *, checks: bool) -> Broken:
    """The invariants are read in the very snapshot that is dumped."""
    async with store.engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        pg_dump = await asyncio.to_thread(tool, "pg_dump", await dumping.major(connection))
        snapshot = (await connection.execute(select(func.pg_export_snapshot()))).scalar_one()
        found = await verify.broken(connection, now) if checks else []
        await asyncio.to_thread(dumping.dump, pg_dump, settings.database.url, snapshot, partial)
        await connection.rollback()
    return found


@contextlib.contextmanager
def _appearing(file: Path) -> Iterator[Path]:
    """A file of the owner's own beside `file`, which takes its name when everything went well; raises Unfit."""
    if file.exists():
        raise Unfit(f"{file} is there already; it is left as it is.")
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as failure:
        raise Unfit(f"{file} cannot be written: {failure.strerror}.") from None
    try:
        yield partial
        try:
            _sync(partial)
            partial.rename(file)
            _sync(file.parent)
        except OSError as failure:
            raise Unfit(f"{file} cannot be written: {failure.strerror}.", 1) from None
    finally:
        for left in (partial, *_beside(partial)):
            left.unlink(missing_ok=True)


def _copy_sqlite(live: Path, partial: Path) -> None:
    """One snapshot, by SQLite's own hand: a copy of the file alone would miss what stands in its -wal."""
    try:
        with _connected(live) as source, _connected(partial) as copy:
            source.backup(copy)
    except sqlite3.Error as failure:
        raise Unfit(f"the database could not be copied: {failure}", 1) from None


def _settle_sqlite(file: Path) -> None:
    """One file, without a -wal, whole; raises Unfit."""
    try:
        with _connected(file) as copy:
            copy.execute("PRAGMA journal_mode=DELETE")
            said = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
            torn = copy.execute("PRAGMA foreign_key_check").fetchone() if said == "ok" else None
    except sqlite3.Error as failure:
        said, torn = str(failure), None
    if said != "ok":
        raise Unfit(f"the database is damaged: {said}", 1)
    if torn is not None:
        raise Unfit(f"the database is damaged: a reference of {torn[0]} leads nowhere", 1)


# -- restore ---------------------------------------------------------------------------------------------


@dataclass
class Restored:
    """What came of a restore: the revision, what the quarantine began with, what is broken, where the old one is."""

    revision: str
    since: datetime
    backup: datetime | None
    begun: Counter[str]
    broken: Broken
    before: str


async def restore(settings: Settings, file: Path, clock: Clock | None = None) -> int:
    """Put a backup in the place of the database, which is kept aside, and in quarantine; 1 when an invariant is broken.

    Refuses while anything of the shop is running, and a backup that this version or this configuration cannot read.
    """
    clock = clock or Clock()
    _open_seals(settings)
    try:
        with file.open("rb") as opened_file:
            head = opened_file.read(len(SQLITE))
    except OSError as failure:
        raise Unfit(f"{file} cannot be read: {failure.strerror}.") from None
    postgresql = settings.database.is_postgresql
    if not head.startswith(dumping.MAGIC if postgresql else SQLITE):
        wanted = "PostgreSQL" if postgresql else "SQLite"
        raise Unfit(f"{file} is no backup of {wanted}, and {wanted} is what database.url names.")
    done = await (_into_postgresql if postgresql else _into_sqlite)(settings, file, clock)
    if settings.redis.url and not await _forget(settings.redis.url):
        complain("Redis does not answer; empty it before you serve: it remembers talks that have not happened.")
    return _tell(settings, done)


async def release(settings: Settings, clock: Clock | None = None) -> int:
    """End the quarantine, whatever the cashier has not answered yet."""
    async with ready(settings) as store:
        given_up = sum(await quarantine.unanswered(store.reader))
        async with store.session() as session, session.begin():
            done = await quarantine.release(Work(session, (clock or Clock()).now()), "command")
    if not done:
        say("there is no quarantine")
        return 0
    say(f"the quarantine is over; {given_up} questions have no answer yet")
    return 0


async def _into_sqlite(settings: Settings, file: Path, clock: Clock) -> Restored:
    """The copy is made ready beside the database and takes its place in one step."""
    place = _place(settings)
    await asyncio.to_thread(_make_folder, place.parent)
    with only_one(place.with_name(place.name + ".lock")) as free:
        if not free:
            raise Unfit(RUNNING, NOT_NOW)
        partial = place.with_name(f".{place.name}.{os.getpid()}.restored")
        try:
            revision = await asyncio.to_thread(_take_sqlite, file, partial)
            age = _age(revision, file)
            store = Store(f"sqlite:///{partial}")
            try:
                done = await _prepare(store, revision, age, clock)
            finally:
                await store.close()
            done.before = await asyncio.to_thread(_swap, partial, place, done.since)
        finally:
            for left in (partial, *_beside(partial)):
                await asyncio.to_thread(left.unlink, missing_ok=True)
    return done


async def _into_postgresql(settings: Settings, file: Path, clock: Clock) -> Restored:
    """What is there moves into a schema of its own; what fails on the way brings it back."""
    async with opened(settings) as store, store.engine.connect() as connection:
        if not (await connection.execute(select(func.pg_try_advisory_lock(RUN_LOCK)))).scalar_one():
            raise Unfit(RUNNING, NOT_NOW)
        await connection.execute(text("SET statement_timeout = 0"))
        await connection.commit()
        pg_restore = await asyncio.to_thread(tool, "pg_restore", await dumping.major(connection))
        revision = await asyncio.to_thread(dumping.revision, pg_restore, file)
        age = _age(revision, file)
        before = f"{BEFORE}{clock.now():%Y%m%d_%H%M%S}"
        try:
            before = before if await dumping.set_aside(connection, before) else ""
        except DBAPIError as failure:  # before PostgreSQL 15 the schema is the superuser's
            raise Unfit(f"schema public cannot be moved aside; its owner must be this user: {failure.orig}") from None
        await connection.commit()
        try:
            await asyncio.to_thread(dumping.load, pg_restore, settings.database.url, file)
            fresh = Store(settings.database.url)
            try:
                done = await _prepare(fresh, revision, age, clock)
            finally:
                await fresh.close()
        except BaseException:
            await _undo(connection, before)
            raise
    done.before = f"schema {before}" if before else ""
    return done


async def _undo(connection: AsyncConnection, before: str) -> None:
    await connection.rollback()
    await dumping.put_back(connection, before)
    await connection.commit()


async def _prepare(store: Store, revision: str, age: str, clock: Clock) -> Restored:
    """The restored database is put in quarantine, and what may have been said before is skipped, in one step."""
    await _readable(store)
    async with store.session() as session, session.begin():
        work = Work(session, clock.now())
        if not store.sqlite:  # left out by the load: until now nobody could have opened a shop on it
            await session.execute(text("INSERT INTO alembic_version (version_num) VALUES (:at)"), {"at": revision})
        await quarantine.impose(work)
        begun = await begin(work) if age == "same" else Counter[str]()
    backup = await quarantine.backed_up(store.reader)
    # What must happen within minutes could not happen while the backup lay in a drawer: the clock stands at its time.
    found = await verify.offenders(store, backup or work.now) if age == "same" else []
    return Restored(revision, work.now, backup, begun, found, "")


async def _readable(store: Store) -> None:
    """Raises Unfit when the configuration's secret is not the one that sealed this database."""
    try:
        await store.reader.one(select(Talk.state).order_by(Talk.follower_id.desc()).limit(1))
    except ValueError:
        raise Unfit(
            "this configuration's secret.key opens nothing in this backup; use the one it was made with."
        ) from None


def _age(revision: str, file: Path) -> str:
    """same, or older; raises Unfit for a backup of a newer version, or of something else."""
    if revision == migrations.head():
        return "same"
    if not revision:
        raise Unfit(f"{file} holds no shop.")
    if not migrations.knows(revision):
        raise Unfit(f"{file} is at {revision}, which a newer version has made; upgrade the program first.")
    return "older"


def _take_sqlite(file: Path, partial: Path) -> str:
    """A checked copy of the backup; its revision. Raises Unfit."""
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with _connected(file, "ro") as source, _connected(partial) as copy:
            source.backup(copy)
            try:
                row = copy.execute("SELECT version_num FROM alembic_version").fetchone()
            except sqlite3.OperationalError:  # no such table
                row = None
        _settle_sqlite(partial)
    except (OSError, sqlite3.Error) as failure:
        raise Unfit(f"{file} cannot be restored: {failure}", 1) from None
    return str(row[0]) if row else ""


def _swap(partial: Path, place: Path, now: datetime) -> str:
    """What is there moves aside with its -wal and -shm, the copy takes its place; where the old one lies now, or ""."""
    _sync(partial)
    aside = place.with_name(f"{place.name}.{BEFORE}{now:%Y%m%d_%H%M%S}")
    kept = place.exists()
    if kept:
        with contextlib.suppress(sqlite3.Error), _connected(place) as old:
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # a -wal that stayed behind would be read into the new one
    for left, new in zip((*_beside(place), place), (*_beside(aside), aside), strict=True):
        if left.exists():
            left.rename(new)
    partial.rename(place)
    _sync(place.parent)
    return str(aside) if kept else ""


def _tell(settings: Settings, done: Restored) -> int:
    """What whoever restored has to know; the exit status."""
    zone, begun = settings.shop.zone, done.begun
    made = f"{done.backup.astimezone(zone):%Y-%m-%d %H:%M}" if done.backup else "an unknown time"
    say(f"restored at {done.since.astimezone(zone):%Y-%m-%d %H:%M} from a backup of {made}; what came after it is gone")
    if done.before:
        say(f"the database before is kept: {done.before}")
    if done.revision != migrations.head():
        say(f"it is at {done.revision}, this version wants {migrations.head()}; say `tuanpu migrate` before you serve.")
    else:
        said = begun["answer"] + begun["notice"] + begun["push"]
        say(f"skipped, because they may have been said before: {said} messages, {begun['campaign']} campaigns")
        say(f"to be asked of the cashier: {begun['trade']} payments, {begun['refund']} refunds")
    say("the shop is in quarantine: it sends no pushes until the cashier has answered (or: tuanpu restore --release)")
    say("money taken or given back by hand since the backup is unknown here: let staff say 收款 and 已退 again.")
    say("orders placed after the backup are unknown here: say `tuanpu reconcile` for every day since it was made.")
    for module, invariant, ids in done.broken:
        say(f"{module} {invariant.name}: {invariant.sentence} — broken by {', '.join(map(str, ids[:20]))}")
    return 1 if done.broken else 0


# -- both ------------------------------------------------------------------------------------------------


def _open_seals(settings: Settings) -> None:
    secret = settings.secret
    Sealed.keys = Keys(secret.key.get_secret_value(), tuple(old.get_secret_value() for old in secret.old_keys))


async def _forget(url: str) -> bool:
    """Empty our part of Redis; False when it does not answer."""
    redis: Redis = Redis.from_url(url, socket_timeout=5, socket_connect_timeout=2)
    try:
        async for key in redis.scan_iter(match="tp:*", count=1000):
            await redis.unlink(key)
    except RedisError:
        return False
    finally:
        await redis.aclose()
    return True


def _connected(file: Path, mode: str = "rw") -> contextlib.closing[sqlite3.Connection]:
    """A file that is there; one that is not is not made."""
    return contextlib.closing(sqlite3.connect(f"file:{quote(str(file.resolve()))}?mode={mode}", uri=True, timeout=30))


def _place(settings: Settings) -> Path:
    return Path(settings.database.url.removeprefix("sqlite:///"))


def _size(file: Path) -> int:
    return file.stat().st_size


def _beside(file: Path) -> tuple[Path, Path]:
    return file.with_name(file.name + "-wal"), file.with_name(file.name + "-shm")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise Unfit(f"{folder} cannot be made: {failure.strerror}.") from None


def _sync(path: Path) -> None:
    """On the disk, whatever happens to this machine now."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
