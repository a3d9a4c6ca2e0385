"""`./tuanpu bench`: goals P1 to P3, P5, P6, ours and the peers in turns; --save writes them down."""

from __future__ import annotations

import argparse
import asyncio
import os
import pstats
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import environment, report
from bench.account import Account
from bench.environment import NoPeers
from bench.field import GOALS, OURS, STORED, WHAT, Field
from bench.making import Void
from bench.processes import Cores, Stopped
from bench.rounds import Run, ours
from bench.stores import NoServer, Stores

CONNECTIONS = 32
PACKAGES = ("aiohttp", "wechatpy", "WeRoBot", "tornado", "Flask", "gunicorn", "cryptography")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tuanpu bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each server has its turn (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a turn is (2)")
    parser.add_argument("--only", default="", metavar="NAME,…", help=f"of {', '.join(WHAT)}; or P1, P2, P3, P5, P6")
    parser.add_argument("--people", type=int, default=20_000, help="followers who speak (20000; at least 5000)")
    parser.add_argument("--own", action="store_true", help="our own load, also where wrk is on PATH")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the page there, as docs/performance.md")
    parser.add_argument(
        "--profile", type=Path, metavar="FOLDER", help="run our servers under cProfile and keep what it finds there"
    )
    parser.add_argument("--lock", action="store_true", help="pin the newest peers and end")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench; 0 for a run that counts, 1 for a void one, 2 for one that could not begin."""
    given = _parser().parse_args(argv)
    try:
        if given.lock:
            environment.lock()
            return 0
        return _bench(given)
    except Void as void:
        print(f"This run is void:\n{void}", file=sys.stderr)
        return 1
    except (Stopped, NoPeers) as broken:
        print(broken, file=sys.stderr)
        return 2


def _names(only: str) -> list[str]:
    wanted = [word for word in only.split(",") if word]
    for goal in GOALS:
        if goal.name in wanted:
            wanted += [goal.ours, goal.peer]
    wanted = [word for word in wanted if word not in {goal.name for goal in GOALS}]
    if unknown := [word for word in wanted if word not in WHAT]:
        raise Stopped(f"there is no {', '.join(unknown)}; there are {', '.join(WHAT)}")
    return [name for name in WHAT if not wanted or name in wanted]


def _bench(given: argparse.Namespace) -> int:
    names = _names(given.only)
    if given.people < 5000 or given.rounds < 1 or given.seconds < 0.2:
        raise Stopped("at least 5000 people, 1 round, 0.2 seconds")
    cores = Cores.found()
    os.sched_setaffinity(0, {cores.load})  # PostgreSQL, Redis and wrk inherit it
    wrk = "" if given.own or given.seconds != int(given.seconds) else shutil.which("wrk") or ""
    facts = {
        "cores": f"servers on core {cores.server}, the load, PostgreSQL and Redis on core {cores.load}"
        + (" — one and the same: rates mean little" if cores.server == cores.load else ""),
        "load": f"{'wrk' if wrk else 'the bench itself'}, {CONNECTIONS} connections, {given.people} openids, every"
        " message id new, every answer opened afterwards",
        "rounds": f"{given.rounds} of {given.seconds:g} s",
    }
    peers = _peers(names)
    if set(names) - set(OURS):
        facts["peers"] = environment.versions(peers, *PACKAGES) if peers else "not installed"
    facts["the project"] = environment.versions(Path(sys.executable), "aiohttp", "SQLAlchemy", "asyncpg", "redis")
    if given.profile:
        given.profile.mkdir(parents=True, exist_ok=True)
    stores = _stores() if set(names) & set(STORED) else None
    if stores is not None:
        facts["stores"] = stores.what
    folder = _folder()
    try:
        field = Field(
            Account.fresh(),
            cores,
            folder,
            given.people,
            peers,
            stores,
            given.profile and given.profile.resolve(),
            sales=given.rounds,
        )
        able = [name for name in names if field.can(name)]
        for name in set(names) - set(able):
            print(f"{name} is left out", file=sys.stderr)
        if not able:
            raise Stopped("nothing is left to run")
        run = Run(field, able, given.rounds, given.seconds, CONNECTIONS, wrk)
        page = report.page(run(), facts)
        print(page, end="")
        for name in ours(able) if given.profile else ():
            _profile(given.profile / f"{name}.profile")
        if given.save:
            given.save.write_text(page, encoding="utf-8")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if stores is not None:
            asyncio.run(stores.close())
    return 0


def _peers(names: Sequence[str]) -> Path | None:
    if not set(names) - set(OURS):
        return None
    try:
        return environment.peers_python()
    except NoPeers as broken:
        print(f"the peers cannot be installed, what is here is run without them: {broken}", file=sys.stderr)
        return None


def _stores() -> Stores | None:
    try:
        return asyncio.run(Stores.start())
    except NoServer as broken:
        print(f"the shop is run on SQLite only: {broken}", file=sys.stderr)
        return None


def _folder() -> Path:
    """A folder for this run, on a disk, which /tmp may not be; away with what killed runs left a day ago."""
    place = environment.home()
    for old in place.glob("bench-*"):
        if time.time() - old.stat().st_mtime > 86400:
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix="bench-", dir=place))


def _profile(kept: Path) -> None:
    print(f"\n{kept}, CPU of the loop's thread; every Python call costs extra under a profiler: read the order only")
    profile = pstats.Stats(str(kept))
    profile.sort_stats("cumulative").print_stats(r"/(bot|handlers|models)/", 40)
    profile.sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    sys.exit(main())
