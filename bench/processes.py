"""The servers of a run as processes: each on its core, gone with the bench, its CPU and memory read from /proc."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.account import HOST

PATIENCE = 60.0  # seconds for a server to begin to listen
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core serves and which makes the load; the same one where there is only one."""

    server: int
    load: int

    @classmethod
    def found(cls) -> Cores:
        """The first two cores that this process may use."""
        mine = sorted(os.sched_getaffinity(0))
        return cls(mine[0], mine[-1] if len(mine) == 1 else mine[1])


class Stopped(Exception):
    """A server did not come up, or went down; says what it wrote."""


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as s:
        s.bind((HOST, 0))
        return int(s.getsockname()[1])


def command(words: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
    """Run something to its end in `folder`; raises Stopped with what it wrote."""
    done = subprocess.run(
        words, cwd=folder, env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode:
        raise Stopped((done.stderr or done.stdout).decode(errors="replace")[-2000:])


class Server:
    """A server on its own core. It writes into `folder`/log and dies with the bench."""

    def __init__(self, words: Sequence[str], port: int, folder: Path, environ: Mapping[str, str], core: int) -> None:
        self.port = port
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                words,
                cwd=folder,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: _settle(core),
            )

    def wait(self) -> None:
        """Until it listens; raises Stopped."""
        end = time.monotonic() + PATIENCE
        while True:
            if self.process.poll() is not None or time.monotonic() > end:
                raise Stopped(self.words())  # also where somebody else has come to listen on its port
            try:
                socket.create_connection((HOST, self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)

    def words(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text(errors="replace")[-2000:]

    def cpu(self) -> float:
        """Seconds of CPU (user and system) of the process and all below it."""
        return cpu(self.process.pid)

    def memory(self) -> int:
        """Resident bytes of the process and all below it; what they share counts once for each."""
        return sum(_resident(pid) for pid in tree(self.process.pid))

    def stop(self) -> None:
        """Ask it to end, then end it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def _settle(core: int) -> None:
    os.sched_setaffinity(0, {core})
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: ends with the bench


def tree(pid: int) -> Iterator[int]:
    """`pid` and every process below it."""
    yield pid
    try:
        below = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return
    for child in below:
        yield from tree(child)


def cpu(pid: int) -> float:
    """Seconds of CPU of a process tree, ended children included."""
    return sum(_ticks(one) for one in tree(pid)) / _TICK


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))  # utime, stime, and theirs of children that have been waited for


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0


def busy(core: int) -> float:
    """Seconds in which the core was not idle since the machine started, stolen time included."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _wait, irq, softirq, steal = map(int, ticks[:8])
            return (user + nice + system + irq + softirq + steal) / _TICK
    return 0.0
