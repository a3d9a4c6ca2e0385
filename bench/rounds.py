"""The run itself: look at every server first, then measure them in turns, then look at every answer."""

from __future__ import annotations

import gc
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench import load, wrk
from bench.account import BUYERS, PIECES, SAID, on_sale, ordinary, people
from bench.field import ORDERS, OURS, SALES, SHOP, SMALL_SHOP, STORED, Field
from bench.load import Load, NoAnswer
from bench.making import Maker, Request, Void, judge
from bench.processes import Server, busy

WARM = 0.3  # seconds of load before each measurement, with requests of their own
FIRST_WARM = 1.0  # the first time: caches, connection pools, SQLite's pages
LOOKED_AT = 20  # of the faults of a run, so many are shown
AT_ONCE = dict.fromkeys((*ORDERS, *SALES), 16)  # connections, where not as many as for the rest
UNTIL_ALL = 600.0  # seconds: a sale lasts until everybody has an answer


@dataclass(slots=True)
class Measured:
    """One server in one round. Times in microseconds of CPU a request, latencies in milliseconds."""

    rate: float
    cpu: float
    stores: float  # PostgreSQL and Redis
    p50: float
    p99: float
    foreign: float  # share of the server's core that went to others, stolen time included


@dataclass(slots=True)
class Turn:
    """One server over the whole run."""

    server: Server
    known: set[str] = field(default_factory=set)  # what its answers may say
    rounds: list[Measured] = field(default_factory=list)
    memory: int = 0  # resident bytes at the end
    speed: float = 500.0  # requests a second, as far as known: for how many to make
    warmed: bool = False


@dataclass
class Run:
    """One run over some servers of a field."""

    field: Field
    names: Sequence[str]
    rounds: int
    seconds: float
    connections: int
    wrk: str = ""  # its path, "" for our own load
    turns: dict[str, Turn] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._people = people(self.field.people)
        self._maker = Maker(self.field.account, self._people)

    def __call__(self) -> dict[str, Turn]:
        """Start, check, measure, check; raises Void or Stopped. The servers are gone afterwards."""
        try:
            for name in self.names:
                print(f"starting {name}", file=sys.stderr)
                self.turns[name] = Turn(self.field.start(name))
            for name in self.names:
                self._check(name)
            for number in range(self.rounds):
                print(f"round {number + 1} of {self.rounds}", file=sys.stderr)
                shift = number % len(self.names)  # each has each place in the row
                for name in (*self.names[shift:], *self.names[:shift]):
                    self._measure(name)
            for turn in self.turns.values():
                turn.memory = turn.server.memory()
        finally:
            for turn in self.turns.values():
                turn.server.stop()
        return self.turns

    # -- before the clock runs ------------------------------------------------------------------------

    def _check(self, name: str) -> None:
        """A correct answer that opens, twice for one person; none for a forged signature. Raises Void."""
        turn, who = self.turns[name], self._people[0]
        words = self._words(name, 0)
        for _ in range(2):  # the second time a shop may say it in other words
            status, body = self._ask(name, self._maker.request(turn.server.port, who, words))
            if status != 200:
                raise Void(f"{name} answered {status} to a good request\n{turn.server.words()}")
            try:
                said = self._maker.read(body)
            except ValueError as broken:
                raise Void(f"{name} gave no answer: {broken}\n{turn.server.words()}") from None
            if said.who != who:
                raise Void(f"{name} answered {said.who}, not {who}")
            if name in (SHOP, SMALL_SHOP):
                lines = sum(1 for line in said.text.splitlines() if line[:1].isdigit() or "</a>" in line)
                if lines < 6 or "¥" not in said.text:
                    raise Void(f"{name} did not show its shelf: {said.text[:200]!r}")
            elif not (said.text == SAID if name not in ORDERS + SALES else _ordered(said.text)):
                raise Void(f"{name} said {said.text[:60]!r}")
            turn.known.add(said.text)
        for forged in ("url", "envelope"):
            status, body = self._ask(name, self._maker.request(turn.server.port, who, words, forged=forged))
            if status == 200:
                raise Void(f"{name} answered a forged {forged} signature with 200 and {body[:60]!r}")

    def _ask(self, name: str, request: Request) -> tuple[int, bytes]:
        try:
            return load.ask(self.turns[name].server.port, request)
        except NoAnswer as broken:
            raise Void(f"{name}: {broken}\n{self.turns[name].server.words()}") from None

    # -- the clock runs -------------------------------------------------------------------------------

    def _words(self, name: str, number: int) -> str:
        """What is said in the request of this number."""
        return f"买 {ordinary(number)}" if name in ORDERS + SALES else SAID

    def _measure(self, name: str) -> None:
        turn, field = self.turns[name], self.field
        warm = WARM if turn.warmed else FIRST_WARM
        early = self._drive(name, turn, self._make(name, turn, warm), warm, by_wrk=False)
        turn.speed = max(turn.speed, len(early.answers) / early.seconds)
        turn.warmed = True
        sale, seconds = on_sale(len(turn.rounds)), self.seconds
        if name in SALES:
            requests, seconds = self._maker.requests(turn.server.port, [f"买 {sale}"] * BUYERS), UNTIL_ALL
        else:
            requests = self._make(name, turn, seconds)
        gc.collect()
        core = field.cores.server
        before = (turn.server.cpu(), field.stores.cpu() if field.stores else 0.0, busy(core))
        done = self._drive(name, turn, requests, seconds, by_wrk=bool(self.wrk) and name not in SALES)
        after = (turn.server.cpu(), field.stores.cpu() if field.stores else 0.0, busy(core))
        count = len(done.answers)
        self._judge(name, turn, requests[: done.sent], done)
        if name in SALES:
            self._count(name, sale, done)
        own, stores, all_ = (b - a for a, b in zip(before, after, strict=True))
        turn.speed = count / done.seconds
        turn.rounds.append(
            Measured(
                rate=count / done.seconds,
                cpu=own / count * 1e6,
                stores=stores / count * 1e6 if name in STORED else 0.0,
                p50=done.at(0.50),
                p99=done.at(0.99),
                foreign=max(0.0, all_ - own) / done.seconds,
            )
        )

    def _make(self, name: str, turn: Turn, seconds: float) -> list[Request]:
        """More than the server can answer in this time; where they do not last, the round is shorter."""
        count = math.ceil(turn.speed * seconds * 1.4) + 4 * self.connections
        return self._maker.requests(turn.server.port, (self._words(name, number) for number in range(count)))

    def _drive(self, name: str, turn: Turn, requests: list[Request], seconds: float, *, by_wrk: bool) -> Load:
        connections = AT_ONCE.get(name, self.connections)
        try:
            if by_wrk:
                return wrk.drive(self.wrk, turn.server.port, requests, round(seconds), connections)
            return load.drive(turn.server.port, requests, seconds, connections)
        except NoAnswer as broken:
            raise Void(f"{name}: {broken}\n{turn.server.words()}") from None

    # -- after it -------------------------------------------------------------------------------------

    def _judge(self, name: str, turn: Turn, sent: list[Request], done: Load) -> None:
        known = turn.known.__contains__
        if name in ORDERS + SALES:
            known = _ordered if name in ORDERS else lambda text: _ordered(text) or "卖完" in text
        faults = list(judge(name, self._maker, sent, done.answers, known, int(time.time() - done.seconds)))
        if not done.answers:
            faults.append(f"{name} answered nothing")
        if faults:
            more = f"\n… and {len(faults) - LOOKED_AT} more" if len(faults) > LOOKED_AT else ""
            raise Void("\n".join(faults[:LOOKED_AT]) + f"{more}\n{turn.server.words()}")

    def _count(self, name: str, sale: str, done: Load) -> None:
        """Exactly as many as there were pieces have bought, say the answers and says the database."""
        assert self.field.stores is not None
        told = sum(_ordered(self._maker.read(body).text) for _, body in done.answers)
        sold = self.field.stores.sold(self.field.databases[name], sale)
        if (len(done.answers), told, sold) != (BUYERS, PIECES, PIECES):
            raise Void(f"{name}: {len(done.answers)} answers, {told} of them an order, {sold} pieces sold")


def _ordered(text: str) -> bool:
    return "给您留着了" in text


def ours(names: Sequence[str]) -> list[str]:
    """Those of `names` that are the project's own."""
    return [name for name in names if name in OURS]
