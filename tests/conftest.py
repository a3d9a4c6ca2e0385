"""What every test can have: real servers, a browser, and a summary that says which ones ran."""

import gc
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis.configuration import set_hypothesis_home_dir
from lent import Lent
from servers import NoServer, Postgres, RedisServer, find_browser, start_postgres, start_redis
from thrift import be_thrifty
from town import Blank, Town

from bot.clock import Clock
from bot.seeding import seed
from bot.simulator.cashier_keys import make_merchant
from bot.simulator.stage import Stage, open_stage
from models import migrations
from models.store import Store

be_thrifty()
LONG = os.environ.get("TUANPU_LONG") == "1"  # ./tuanpu test --long
# Nothing fails by a clock, nor today by what was not drawn yesterday: other draws are for the long run.
hypothesis_settings.register_profile(
    "shop", deadline=None, derandomize=not LONG, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("shop")
BROWSER_REQUIRED = os.environ.get("TUANPU_REQUIRE_BROWSER") == "1"
NO_BROWSER = "no Chromium found (TUANPU_CHROME, chromium or google-chrome on PATH)"

_ran = pytest.StashKey[set[str]]()


@pytest.fixture(scope="session")
def long() -> bool:
    """Whether this run has the full sizes."""
    return LONG


# -- servers: each xdist worker starts its own, so that no worker's flush or lock meets another's -----------


@pytest.fixture(scope="session")
async def postgres(request: pytest.FixtureRequest) -> AsyncIterator[Postgres]:
    """A real PostgreSQL; `await postgres.fresh_database(template_url)` makes a database."""
    try:
        server = await start_postgres()
    except NoServer as error:
        pytest.fail(str(error), pytrace=False)
    _note(request.config, server.what)
    yield server
    await server.close()


@pytest.fixture(scope="session")
def postgres_url(postgres: Postgres) -> str:
    """URL (postgresql://…) of a PostgreSQL in which databases can be made; its own database stays empty."""
    return postgres.url


@pytest.fixture(scope="session")
def redis_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    try:
        server = start_redis(worker=int(worker) + 1 if worker else 0)
    except NoServer as error:
        pytest.fail(str(error), pytrace=False)
    _note(request.config, server.what)
    yield server
    server.close()


@pytest.fixture(scope="session")
def redis_url(redis_server: RedisServer) -> str:
    """URL of a real Redis or Valkey whose database may be flushed."""
    return redis_server.url


@pytest.fixture(scope="session")
def browser(request: pytest.FixtureRequest) -> str:
    """Path of a Chromium; without one the test is skipped, or fails under TUANPU_REQUIRE_BROWSER=1."""
    path = find_browser()
    if path is None:
        (pytest.fail if BROWSER_REQUIRED else pytest.skip)(NO_BROWSER)
    _note(request.config, f"browser {path}")
    return path


LENGTHY = ("test_machine", "test_crash", "test_flood", "test_wechat_codec", "test_callbacks")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes a minute comes first: at the end it would keep one core busy and the other waiting.

    Each worker begins with a run of the items of its own: the lengthy ones are dealt out to the heads of these.
    """
    rank = {name: n for n, name in enumerate(LENGTHY)}
    lengthy = sorted((item for item in items if item.path.stem in rank), key=lambda item: rank[item.path.stem])
    others = [item for item in items if item.path.stem not in rank]
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    dealt: list[pytest.Item] = []
    for n in range(workers):
        mine = lengthy[n::workers]
        size = (len(items) - len(dealt)) // (workers - n)
        dealt += mine + [others.pop(0) for _ in range(min(len(others), size - len(mine)))]
    items[:] = dealt + others


def pytest_collection_finish() -> None:
    """What is loaded by now stays: to look through it for rubbish, again and again, costs a tenth of all time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_configure(config: pytest.Config) -> None:
    if notes := os.environ.get("HYPOTHESIS_STORAGE_DIRECTORY"):  # nothing is written into the current folder
        set_hypothesis_home_dir(notes)


# -- the summary -------------------------------------------------------------------------------------------


def _note(config: pytest.Config, what: str) -> None:
    if hasattr(config, "workeroutput"):  # under xdist: travels to the controller
        config.workeroutput.setdefault("tuanpu_ran", []).append(what)
    config.stash.setdefault(_ran, set()).add(what)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:
    for what in getattr(node, "workeroutput", {}).get("tuanpu_ran", []):
        _note(node.config, what)  # type: ignore[attr-defined]


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A long run says at once what failed, and not an hour later."""
    if LONG and report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.nodeid}\n{report.longreprtext}", flush=True)  # noqa: T201


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if BROWSER_REQUIRED and find_browser() is None and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    ran = sorted(config.stash.get(_ran, set()))
    for name in ("PostgreSQL", "Redis or Valkey", "browser"):
        if not any(what.startswith(tuple(name.split(" or "))) for what in ran):
            ran.append(f"{name}: not used")
    terminalreporter.write_sep("=", "servers")
    terminalreporter.write_line("; ".join(ran) + ("; sizes: --long" if LONG else ""))
    if find_browser() is None:
        loud = {"red": True, "bold": True}
        terminalreporter.write_line(f"!!! {NO_BROWSER}: the browser tests DID NOT RUN", **loud)
        if BROWSER_REQUIRED:
            terminalreporter.write_line("!!! TUANPU_REQUIRE_BROWSER=1 makes that a failure", **loud)


# == the shop itself: fixtures of the house follow below this line ===========================================

NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)  # a Monday noon in Shanghai: nothing is quiet


@pytest.fixture(scope="session")
async def blank(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Blank:
    """An open shop's database, migrated and stocked once; every test gets a copy."""
    folder = tmp_path_factory.mktemp("blank")
    make_merchant(folder / "cashier")
    clock = Clock()
    clock.freeze(NOON)
    file = folder / "shop.db"
    url = await postgres.fresh_database()
    for store in (Store(f"sqlite:///{file}"), Store(url)):
        await migrations.upgrade(store)
        await seed(store, clock, pictures=False)
        await store.close()
    return Blank(folder, file, url)


@pytest.fixture(scope="session")
async def lent(blank: Blank, postgres: Postgres) -> AsyncIterator[Lent]:
    """The PostgreSQL database that goes from test to test."""
    one = Lent(postgres, blank.url)
    yield one
    await one.close()


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, blank: Blank, lent: Lent, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a stocked shop's database, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        with sqlite3.connect(blank.file) as source, sqlite3.connect(tmp_path / "shop.db") as copy:
            source.backup(copy)
        yield f"sqlite:///{tmp_path / 'shop.db'}"
        return
    yield await lent.borrow()


@pytest.fixture
async def stage(database: str, blank: Blank, tmp_path: Path) -> AsyncIterator[Stage]:
    """A running shop with real doors; its clock stands at noon until a test moves it."""
    shutil.copytree(blank.folder / "cashier", tmp_path / "cashier")
    clock = Clock()
    clock.freeze(NOON)
    opened = await open_stage(tmp_path, database=database, clock=clock, migrate=False, goods="", alive=False)
    yield opened
    await opened.close()


@pytest.fixture
def town(stage: Stage) -> Town:
    """The people around the shop: `town.wechat("小美")`, `town.weibo("小林")`, `await town.owner()`."""
    return Town(stage)


@pytest.fixture
async def sqlite_stage(blank: Blank, tmp_path: Path) -> AsyncIterator[Stage]:
    """As `stage`, on SQLite alone, and on the wall's clock: for what no database can be seen in."""
    with sqlite3.connect(blank.file) as source, sqlite3.connect(tmp_path / "shop.db") as copy:
        source.backup(copy)
    shutil.copytree(blank.folder / "cashier", tmp_path / "cashier")
    opened = await open_stage(tmp_path, migrate=False, goods="", alive=False)
    yield opened
    await opened.close()
