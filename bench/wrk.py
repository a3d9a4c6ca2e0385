"""The load by wrk, where it is on PATH: the same requests, each once, and every answer kept to be read afterwards."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.account import HOST
from bench.load import PATIENCE, Load, NoAnswer
from bench.making import Request

SCRIPT = Path(__file__).resolve().with_name("wrk.lua")


def drive(program: str, port: int, requests: Sequence[Request], seconds: int, connections: int) -> Load:
    """As bench.load.drive, in whole seconds; what is on its way at the end is not waited for. Raises NoAnswer."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "asked", Path(folder) / "answered"
        asked.write_bytes(b"".join(f"{len(r.raw):10d}".encode() + r.raw for r in requests))
        words = [program, "-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={PATIENCE:.0f}s"]
        words += ["-s", str(SCRIPT), f"http://{HOST}:{port}/", "--", str(asked), str(answered)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        told = re.search(r"^BENCH (.+)$", done.stdout, re.MULTILINE)
        if done.returncode or told is None:
            raise NoAnswer((done.stderr or done.stdout)[-500:])
        figures = json.loads(told[1])
        answers = list(_answers(answered.read_bytes()))
    if figures["errors"]:
        raise NoAnswer(f"wrk counted {figures['errors']} broken connections or answers that did not come")
    if figures["sent"] > len(requests):
        raise NoAnswer("wrk sent a request twice")
    half, most = figures["p50"] / 1000, figures["p99"] / 1000
    # wrk keeps the latencies to itself: two that stand for all give the same p50 and p99.
    return Load(figures["seconds"], figures["sent"], answers, [half] * 98 + [most] * 2)


def _answers(kept: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(kept):
        status, length = int(kept[at : at + 3]), int(kept[at + 3 : at + 13])
        at += 13
        yield status, kept[at : at + length]
        at += length
