"""Who takes part: the project's servers and the peers, how each is started, and the goals they are measured for."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench.account import BUYERS, PIECES, Account
from bench.environment import PEERS, ROOT
from bench.processes import Cores, Server, command, free_port
from bench.stores import Stores

DOOR, SHOP, SMALL_SHOP = "door", "shop-postgresql", "shop-sqlite"
ORDER, SALE = "order", "sale"
AIOHTTP, TORNADO, SESSION, FLASK = "aiohttp-wechatpy", "werobot-tornado", "werobot-session", "flask-wechatpy"
ORM_ORDER, ORM_WHOLE, ORM_SALE = "orm-order", "orm-whole", "orm-sale"

WHAT = {
    DOOR: "the project's door alone: verify, decrypt, parse, a constant answer, encrypt",
    AIOHTTP: "peer: wechatpy on aiohttp, echo",
    SHOP: "the whole shop on PostgreSQL and Redis, 商品",
    TORNADO: "peer: WeRoBot on tornado, session off, echo",
    SMALL_SHOP: "the whole shop on SQLite in one process, 商品",
    SESSION: "peer: WeRoBot on tornado with its default session (SQLite), echo",
    FLASK: "peer: wechatpy on Flask under gunicorn (one sync worker), echo",
    ORDER: "the whole shop on PostgreSQL and Redis, an order of one line, 16 at once",
    ORM_ORDER: "peer: wechatpy on aiohttp, SQLAlchemy's ORM and SELECT … FOR UPDATE on PostgreSQL, the bare order",
    ORM_WHOLE: "peer: the same with every fact that the shop looks up and keeps, by the plain unit of work",
    SALE: f"the whole shop on PostgreSQL and Redis, {BUYERS} people for {PIECES} pieces, 16 at once",
    ORM_SALE: "peer: the ORM shop, the same flash sale",
}
OURS = (DOOR, SHOP, SMALL_SHOP, ORDER, SALE)
ORDERS, SALES = (ORDER, ORM_ORDER, ORM_WHOLE), (SALE, ORM_SALE)
STORED = (SHOP, *ORDERS, *SALES)
"""Those that need PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What `ours` must reach beside `peer`.

    "rate": at least `bound` times as many requests a second. "cpu": at most `bound` times the CPU of the server for
    each request. "wall": at most `bound` times as long for the same number of requests.
    """

    name: str
    ours: str
    peer: str
    bound: float
    what: Literal["rate", "cpu", "wall"] = "rate"

    def reached(self, ratio: float) -> bool:
        """Is this ratio, ours to the peer's, good enough?"""
        return ratio >= self.bound if self.what == "rate" else ratio <= self.bound


GOALS = (
    Goal("P1", DOOR, AIOHTTP, 1.5),
    Goal("P2", SHOP, TORNADO, 1.0),
    Goal("P2", SHOP, SESSION, 5.0),
    Goal("P3", SMALL_SHOP, SESSION, 4.0),
    Goal("P5", ORDER, ORM_ORDER, 0.5, "cpu"),
    Goal("P5", ORDER, ORM_WHOLE, 0.5, "cpu"),
    Goal("P6", SALE, ORM_SALE, 0.5, "wall"),
)


@dataclass
class Field:
    """Everything a server is started with; `folder` is this run's own, on the disk of the environments."""

    account: Account
    cores: Cores
    folder: Path
    people: int
    peers: Path | None  # the Python of the peers' environment
    stores: Stores | None
    profiles: Path | None = None  # where the project's servers leave their profiles
    sales: int = 1  # flash sales that will be held
    databases: dict[str, str] = field(default_factory=dict)  # of those that need one: name -> URL

    def can(self, name: str) -> bool:
        """Whether it can be run here; the aiohttp peer needs nothing that the project has not."""
        if name in STORED:
            return self.stores is not None
        return bool(self.peers) or name not in (TORNADO, SESSION, FLASK)

    def start(self, name: str) -> Server:
        """Start one and wait until it listens. Raises Stopped."""
        folder = self.folder / name
        folder.mkdir()
        port = free_port()
        words = self._words(name, port, folder)
        environ = self._environment(theirs=name not in OURS)
        if self.profiles and name in OURS:
            environ["BENCH_PROFILE"] = str(self.profiles / f"{name}.profile")
        server = Server(words, port, folder, environ, self.cores.server)
        try:
            server.wait()
        except BaseException:
            server.stop()
            raise
        return server

    def _environment(self, *, theirs: bool) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR") if key in os.environ}
        kept |= self.account.environment()
        return kept if theirs else kept | {"PYTHONPATH": str(ROOT)}

    def _prepare(self, folder: Path, database: str) -> None:
        words = [sys.executable, "-m", "bench.ours", "prepare", database, str(self.people)]
        command(words, folder, self._environment(theirs=False))

    def _database(self, name: str) -> str:
        assert self.stores is not None
        self.databases[name] = asyncio.run(self.stores.another())
        return self.databases[name]

    def _words(self, name: str, port: int, folder: Path) -> list[str]:
        python = str(self.peers or sys.executable)
        own = [sys.executable, "-m", "bench.ours"]
        match name:
            case "door":
                return [*own, "door", str(port)]
            case "shop-postgresql" | "order" | "sale":
                assert self.stores is not None
                database = self._database(name)
                self._prepare(folder, database)
                if name != SHOP:
                    command([*own, "stock", database, str(self.sales)], folder, self._environment(theirs=False))
                return [*own, "shop", str(port), str(folder), database, self.stores.redis_url(STORED.index(name))]
            case "orm-order" | "orm-whole" | "orm-sale":
                database = self._database(name)
                shop = [sys.executable, str(PEERS / ("orm_whole.py" if name == ORM_WHOLE else "orm_orders.py"))]
                words = [*shop, "prepare", database, str(self.people)]
                words += [str(self.sales)] if name != ORM_WHOLE else []
                command(words, folder, self._environment(theirs=True))
                return [*shop, "serve", str(port), database]
            case "shop-sqlite":
                url = f"sqlite:///{folder / 'shop.db'}"
                self._prepare(folder, url)
                return [*own, "shop", str(port), str(folder), url]
            case "aiohttp-wechatpy":
                return [python, str(PEERS / "aiohttp_wechatpy.py"), str(port)]
            case "flask-wechatpy":
                gunicorn = [python, "-m", "gunicorn", "--workers", "1", "--bind", f"127.0.0.1:{port}"]
                return [*gunicorn, "--no-control-socket", "--chdir", str(PEERS), "flask_wechatpy:app"]
            case "werobot-tornado":
                return [python, str(PEERS / "werobot_tornado.py"), str(port)]
            case "werobot-session":
                return [python, str(PEERS / "werobot_tornado.py"), str(port), "session"]
            case _:
                raise ValueError(f"there is no {name!r}")
