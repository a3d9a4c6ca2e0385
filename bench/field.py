"""Who takes part: the project's servers and the peers, how each is started, and the goals they are measured for."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.account import Account
from bench.environment import PEERS, ROOT
from bench.processes import Cores, Server, command, free_port
from bench.stores import Stores

DOOR, SHOP, SMALL_SHOP = "door", "shop-postgresql", "shop-sqlite"
AIOHTTP, TORNADO, SESSION, FLASK = "aiohttp-wechatpy", "werobot-tornado", "werobot-session", "flask-wechatpy"

WHAT = {
    DOOR: "the project's door alone: verify, decrypt, parse, a constant answer, encrypt",
    AIOHTTP: "peer: wechatpy on aiohttp, echo",
    SHOP: "the whole shop on PostgreSQL and Redis, 商品",
    TORNADO: "peer: WeRoBot on tornado, session off, echo",
    SMALL_SHOP: "the whole shop on SQLite in one process, 商品",
    SESSION: "peer: WeRoBot on tornado with its default session (SQLite), echo",
    FLASK: "peer: wechatpy on Flask under gunicorn (one sync worker), echo",
}
OURS = (DOOR, SHOP, SMALL_SHOP)


@dataclass(frozen=True, slots=True)
class Goal:
    """`ours` answers at least `least` times as many requests a second as `peer`."""

    name: str
    ours: str
    peer: str
    least: float


GOALS = (
    Goal("P1", DOOR, AIOHTTP, 1.5),
    Goal("P2", SHOP, TORNADO, 1.0),
    Goal("P2", SHOP, SESSION, 5.0),
    Goal("P3", SMALL_SHOP, SESSION, 4.0),
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

    def can(self, name: str) -> bool:
        """Whether it can be run here; the aiohttp peer needs nothing that the project has not."""
        return {SHOP: self.stores is not None, TORNADO: bool(self.peers), SESSION: bool(self.peers)}.get(
            name, name != FLASK or bool(self.peers)
        )

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

    def _words(self, name: str, port: int, folder: Path) -> list[str]:
        python = str(self.peers or sys.executable)
        own = [sys.executable, "-m", "bench.ours"]
        match name:
            case "door":
                return [*own, "door", str(port)]
            case "shop-postgresql":
                assert self.stores is not None
                self._prepare(folder, self.stores.database)
                return [*own, "shop", str(port), str(folder), self.stores.database, self.stores.redis.url]
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
