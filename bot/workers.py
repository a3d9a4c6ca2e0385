"""Several processes of one command that begin and end together; this parent of theirs holds nothing else in memory."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # the last: the terminal is closed
CHILD = "TUANPU_CHILD"  # set in the environment of each


def together(count: int, command: Sequence[str]) -> int:
    """Run so many; when one ends, or this process is told to stop, all are told to. The worst exit status.

    A child whose standard input ends has lost this parent, however that died.
    """
    environ = os.environ | {CHILD: "1"}
    children: list[subprocess.Popen[bytes]] = []
    untold: list[subprocess.Popen[bytes]] = []  # each is told once: a second signal would hit it on its way out
    told = False

    def stop(*_: object) -> None:
        nonlocal told
        told = True
        while untold:
            child = untold.pop()
            if child.poll() is None:
                child.terminate()

    for name in STOPS:  # before the first is started: whoever sees one may stop us
        signal.signal(name, stop)
    for _ in range(count):
        children.append(subprocess.Popen(command, stdin=subprocess.PIPE, env=environ))
        untold.append(children[-1])
    if told:
        stop()
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    stop()
    return max(abs(child.wait()) for child in children)
