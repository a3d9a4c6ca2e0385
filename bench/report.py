"""What a run found, as a Markdown page: machine, versions, the goals, the figures."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from bench.field import GOALS, OURS, STORED, WHAT, Goal
from bench.rounds import Measured, Turn

NOISY = 0.05  # a share of the server's core that others took; above it a run is marked


def page(turns: Mapping[str, Turn], facts: Mapping[str, str]) -> str:
    """The whole page; `facts` are lines about the run."""
    return "\n".join(_page(turns, facts)) + "\n"


def _page(turns: Mapping[str, Turn], facts: Mapping[str, str]) -> Iterator[str]:
    yield "# Speed"
    yield ""
    yield (
        "Written by `./tuanpu bench`. Each goal is a ratio, ours to the peer's, taken between two servers in the same"
        " round: of requests a second, of the server's CPU for a request, or of the time until everybody has an answer."
        " The figure is the median over the rounds, with the lowest and the highest beside it."
    )
    yield ""
    for name, fact in {**machine(), **facts}.items():
        yield f"- {name}: {fact}"
    yield ""
    yield "| goal | ours | peer | wanted | ours / peer | CPU of server and stores, ours / peer | reached |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for goal in GOALS:
        ours, peer = turns.get(goal.ours), turns.get(goal.peer)
        if not ours or not peer or not ours.rounds or not peer.rounds:
            yield f"| {goal.name} | {goal.ours} | {goal.peer} | {_wanted(goal)} | not run | | |"
            continue
        pairs = list(zip(ours.rounds, peer.rounds, strict=True))
        ratios = [_ratio(goal, a, b) for a, b in pairs]
        cpus = [(a.cpu + a.stores) / (b.cpu + b.stores) for a, b in pairs]
        middle = statistics.median(ratios)
        yield (
            f"| {goal.name} | {goal.ours} | {goal.peer} | {_wanted(goal)} | **{middle:.2f}** ({min(ratios):.2f}–"
            f"{max(ratios):.2f}) | {statistics.median(cpus):.2f} | {'yes' if goal.reached(middle) else 'no'} |"
        )
    yield ""
    yield "| server | req/s | CPU µs a request | of PostgreSQL and Redis, µs | p50 ms | p99 ms | RSS MB |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, turn in turns.items():
        if not turn.rounds:
            continue
        shown = f"**{name}**" if name in OURS else name
        stores = f"{_median(turn, 'stores'):.0f}" if name in STORED else ""
        yield (
            f"| {shown} | {_median(turn, 'rate'):.0f} | {_median(turn, 'cpu'):.0f} | {stores}"
            f" | {_median(turn, 'p50'):.1f} | {_median(turn, 'p99'):.1f} | {turn.memory / 2**20:.0f} |"
        )
    yield ""
    yield "The second ratio counts PostgreSQL and Redis with the server that asks them. The servers:"
    yield ""
    for name in turns:
        yield f"- {name}: {WHAT[name]}"
    noisy = [one.foreign for turn in turns.values() for one in turn.rounds]
    if noisy:
        loud = sum(1 for share in noisy if share > NOISY)
        yield ""
        yield (
            f"Other work on the server's core: {statistics.median(noisy):.1%} of it in the median measurement,"
            f" {max(noisy):.1%} in the worst; over {NOISY:.0%} in {loud} of {len(noisy)}."
        )
        if statistics.median(noisy) > NOISY:
            yield ""
            yield "**The machine was busy with other things: these figures do not count, measure again.**"


def _ratio(goal: Goal, ours: Measured, peer: Measured) -> float:
    match goal.what:
        case "rate":
            return ours.rate / peer.rate
        case "cpu":
            return ours.cpu / peer.cpu
        case "wall":
            return peer.rate / ours.rate


def _wanted(goal: Goal) -> str:
    return {"rate": f"rate ≥ {goal.bound:g}", "cpu": f"CPU ≤ {goal.bound:g}", "wall": f"time ≤ {goal.bound:g}"}[
        goal.what
    ]


def _median(turn: Turn, what: str) -> float:
    return statistics.median(getattr(one, what) for one in turn.rounds)


def machine() -> dict[str, str]:
    """Date, processor, cores, memory, system, Python."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith(("model name", "Model"))
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }


__all__ = ["Measured", "machine", "page"]
