"""The commands that do one thing and end; each returns the exit status or raises Unfit."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from sqlalchemy.exc import InterfaceError, OperationalError

from bot import config
from bot.channel import SendFailed
from bot.clock import Clock
from bot.data import data
from bot.logs import Redactor
from bot.seeding import seed
from bot.settings import Settings
from bot.terminal import NOT_NOW, Unfit, say
from models import migrations, tables
from models.base import Work
from models.seal import Keys
from models.staff import Role, StaffRoom
from models.store import Store
from models.verify import offenders

AWAY = (OperationalError, InterfaceError)  # what comes of a database that closes its door in the middle


async def init(path: Path) -> int:
    """Write config.toml, make its secrets, migrate the database it names, print the owner's code on the last line."""
    if path.exists():
        raise Unfit(f"{path} is there already; it is left as it is.")
    written = config.starting_config(data("config.example.toml").read_text(encoding="utf-8"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as failure:
        raise Unfit(f"{path} cannot be written: {failure.strerror}.") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(written)
    try:
        settings = config.load(path, os.environ)
    except config.ConfigError:  # what the environment says is wrong: as if nothing had been done
        path.unlink()
        raise
    say(f"{path} is written. Fill in [shop], [wechat], [weibo] and [wechat_pay], then: tuanpu serve")
    await migrate(settings)
    say("Say 绑定 with this code to the account, within 30 minutes, to become its owner")
    say("(later: tuanpu staff code --role owner):")
    return await staff_code(settings, "owner")


async def migrate(settings: Settings) -> int:
    """Bring the database to this version; safe from several processes at once."""
    if not settings.database.is_postgresql:
        file = Path(settings.database.url.removeprefix("sqlite:///"))
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                file.touch(0o600)  # what stands in it is no business of others on this machine
        except OSError as failure:
            raise Unfit(f"{file} cannot be made: {failure.strerror}.") from None
    async with opened(settings) as store:
        _not_newer(await _at(settings, store))
        await migrations.upgrade(store)
        say(f"the database is at {migrations.head()}")
    return 0


async def seeded(settings: Settings, size: str) -> int:
    """Load the demo goods into an empty shop."""
    async with ready(settings) as store:
        count = await seed(store, Clock(), size)
    there = "the shop has goods already; nothing was changed"
    say(f"{count} products were put on the shelf" if count else there)
    return 0


async def staff_code(settings: Settings, role: str) -> int:
    """Print a one-time code for 绑定, alone on the last line."""
    keys = Keys(settings.secret.key.get_secret_value())
    async with ready(settings) as store, store.session() as session, session.begin():
        work = Work(session, Clock().now())
        code = await StaffRoom(work).offer(Role[role.upper()], keys.derive("staff"), work.now)
    say(code)
    return 0


async def verify(settings: Settings) -> int:
    """Check every invariant; 1 and the offending ids when one is broken."""
    async with ready(settings) as store:
        found = await offenders(store, Clock().now())
    for module, invariant, ids in found:
        shown = ", ".join(map(str, ids[:20])) + (f" and {len(ids) - 20} more" if len(ids) > 20 else "")
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
        raise Unfit("there is no [wechat] section in the configuration.")
    async with aiohttp.ClientSession() as http:
        try:
            await WeChat(settings.wechat, http, Clock().now).menu_push(BUTTONS)
        except SendFailed as failed:
            raise Unfit(f"the platform did not take the menu: {failed}", 1) from None
    say("the menu is published; phones show it within five minutes")
    return 0


# -- the database a command works on ---------------------------------------------------------------------


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Store]:
    """The database, at whatever version it is; raises Unfit when it cannot be reached, or goes away meanwhile."""
    store = Store(settings.database.url)
    try:
        await _at(settings, store)
        yield store
    except AWAY as failure:
        raise _away(settings, failure) from None
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def ready(settings: Settings) -> AsyncIterator[Store]:
    """The database at this code's version; raises Unfit, also when it goes away meanwhile."""
    store = Store(settings.database.url)
    try:
        await fit(settings, store)
        yield store
    except AWAY as failure:
        raise _away(settings, failure) from None
    finally:
        await store.close()


async def fit(settings: Settings, store: Store) -> None:
    """Raises Unfit unless the database is there and at this code's version."""
    if store.sqlite and not is_there(Path(store.path)):  # looking would make an empty one
        raise Unfit("there is no database yet; say `tuanpu migrate` first.")
    at, wanted = await _at(settings, store), migrations.head()
    _not_newer(at)
    if at != wanted:
        known = f"at {at}, this version wants {wanted}" if at else "empty"
        raise Unfit(f"the database is {known}; say `tuanpu migrate` first.")


async def _at(settings: Settings, store: Store) -> str:
    try:
        return await migrations.at(store)
    except Exception as failure:  # each driver has exceptions of its own for a door that does not open
        raise _away(settings, failure) from None


def is_there(path: Path) -> bool:
    """Whether the file is there; raises Unfit where we may not look."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as failure:
        raise Unfit(f"{path} cannot be read: {failure.strerror}.") from None
    return True


def _not_newer(at: str) -> None:
    """Raises Unfit for a database that a newer version of the program has made: migrating would not help."""
    if at and not migrations.knows(at):
        raise Unfit(
            f"the database is at {at}, which a newer version has made; upgrade the program, or restore a backup."
        )


def _away(settings: Settings, failure: Exception) -> Unfit:
    code = getattr(getattr(failure, "orig", None), "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):  # no use in trying again
        return Unfit("the database file is damaged, or no database at all; `tuanpu restore` a backup.")
    why = Redactor(settings.secrets())(f"{type(failure).__name__}: {failure}".splitlines()[0])
    return Unfit(f"the database cannot be reached: {why}", NOT_NOW)
