"""Our payments and refunds of one day beside the platform's bill, row by row: every difference, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, Literal

from sqlalchemy import case, select

from models.base import Glance
from models.payment import Attempt, Payment
from models.prices import yuan
from models.refund import GIVEN, Refund

CHINA = timezone(timedelta(hours=8))  # a bill's day, whatever the shop's zone (doc: trade bill, its format)
AT_ONCE = 500
BY_HAND = "hand"  # money that staff took themselves: the cashier knows nothing of it

What = Literal["payment", "refund"]
Kind = Literal["missing_here", "missing_there", "amount", "number", "state", "twice"]

# A refund stands in the bill as it was when the bill was made, and is not updated (doc: trade bill, its format):
# accepted then, it may have ended by now, either way.
AGREE: Mapping[str, frozenset[str]] = {
    "SUCCESS": frozenset({"done"}),
    "PROCESSING": frozenset({"asked", "done", "failed"}),
}
ENDED_BADLY = frozenset({"failed"})


@dataclass(frozen=True, order=True)
class Entry:
    """One payment or refund, ours or the bill's; amount in fen.

    `number` is what both sides know it by: the cashier's transaction id of a payment, our number of a refund;
    `trade` the number at the cashier under which it was paid. `state` is each side's own word.
    """

    what: What
    number: str
    trade: str
    amount_fen: int
    state: str


@dataclass(frozen=True)
class Difference:
    """Something that both sides do not say alike; `ours` and `theirs` are "" where a side says nothing."""

    kind: Kind
    what: What
    number: str
    trade: str
    ours: str
    theirs: str

    @property
    def sentence(self) -> str:
        """One line for whoever has to look into it."""
        about = f"{self.what} {self.number} ({self.trade})"
        match self.kind:
            case "missing_here":
                return f"{about}: {self.theirs} in the bill, unknown here ({self.ours})"
            case "missing_there":
                return f"{about}: {self.ours} here, not in the bill"
            case "twice":
                return f"{about}: {self.theirs} times in the bill"
            case _:
                return f"{about}: {self.kind} {self.ours} here, {self.theirs} in the bill"


def day_of(day: date) -> tuple[datetime, datetime]:
    """The first moment of a bill's day, and the first after it."""
    begins = datetime.combine(day, time(), CHINA)
    return begins, begins + timedelta(days=1)


def compare(
    ours: Iterable[Entry],
    theirs: Iterable[Entry],
    *,
    elsewhere: Iterable[Entry] = (),
    attempts: Mapping[str, str] | None = None,
) -> list[Difference]:
    """Every difference between what we have of a day and what its bill has, in the order of their numbers.

    `ours` must be in the bill, `elsewhere` may be (what is ours, but not of that day). `attempts` (number at the
    cashier → state) says of money that is unknown here whether its number is ours.
    """
    expected = {(e.what, e.number): e for e in ours}
    known = {(e.what, e.number): e for e in elsewhere} | expected
    told: dict[tuple[What, str], list[Entry]] = {}
    for entry in theirs:
        told.setdefault((entry.what, entry.number), []).append(entry)
    found: list[Difference] = []
    for key in sorted(told.keys() | expected.keys()):
        mine, rows = known.get(key), told.get(key, [])
        if len(rows) > 1:
            found.append(Difference("twice", *key, rows[0].trade, "", str(len(rows))))
        if mine is None:
            state = (attempts or {}).get(rows[0].trade)
            why = f"its number is ours, {state}" if state else "its number is not ours"
            found.append(Difference("missing_here", *key, rows[0].trade, why, _said(rows[0])))
        elif not rows:
            found.append(Difference("missing_there", *key, mine.trade, _said(mine), ""))
        else:
            found += _unlike(mine, rows[0])
    return found


def _unlike(mine: Entry, row: Entry) -> list[Difference]:
    found = []
    if mine.trade != row.trade:
        found.append(Difference("number", mine.what, mine.number, mine.trade, mine.trade, row.trade))
    if mine.amount_fen != row.amount_fen:
        sums = f"¥{yuan(mine.amount_fen)}", f"¥{yuan(row.amount_fen)}"
        found.append(Difference("amount", mine.what, mine.number, mine.trade, *sums))
    if not agrees(mine, row):
        found.append(Difference("state", mine.what, mine.number, mine.trade, mine.state, row.state))
    return found


def agrees(mine: Entry, row: Entry) -> bool:
    """Whether our state and the bill's may both be true."""
    if mine.what == "payment":  # whatever we did with it, it came
        return row.state == "SUCCESS"
    return mine.state in AGREE.get(row.state, ENDED_BADLY)


def _said(entry: Entry) -> str:
    return f"¥{yuan(entry.amount_fen)} {entry.state}"


# What the cashier refused for good and staff gave back themselves has not gone back there.
_at_the_cashier = case((GIVEN, "failed"), else_=Refund.state).label("theirs")


class BooksGlance(Glance):
    """Our side of a bill, read only; money that staff took by hand is on no bill."""

    async def payments(self, day: date) -> list[Entry]:
        """What was paid through the cashier on a day."""
        since, until = day_of(day)
        return await self._payments(Payment.at >= since, Payment.at < until)

    async def payments_of(self, numbers: Sequence[str]) -> list[Entry]:
        """Payments by the cashier's transaction ids, of whatever day."""
        found: list[Entry] = []
        for some in _parts(numbers):
            found += await self._payments(Payment.transaction_id.in_(some))
        return found

    async def _payments(self, *conditions: Any) -> list[Entry]:
        rows = await self.reader.all(
            select(Payment.transaction_id, Payment.out_trade_no, Payment.amount_fen, Payment.state).where(
                Payment.source != BY_HAND, *conditions
            )
        )
        return [Entry("payment", r.transaction_id, r.out_trade_no, r.amount_fen, r.state) for r in rows]

    async def refunds_done(self, day: date) -> list[tuple[Entry, date]]:
        """What had gone back by our books on a day, and the day since which it was owed.

        The cashier accepted it on one of the days between: its bill of one of them has it.
        """
        since, until = day_of(day)
        rows = await self._refunds(_at_the_cashier == "done", Refund.done_at >= since, Refund.done_at < until)
        return [(entry, made.astimezone(CHINA).date()) for entry, made in rows]

    async def refunds_of(self, numbers: Sequence[str]) -> list[Entry]:
        """Refunds by our own numbers, of whatever day."""
        found: list[Entry] = []
        for some in _parts(numbers):
            found += [entry for entry, _ in await self._refunds(Refund.out_refund_no.in_(some))]
        return found

    async def _refunds(self, *conditions: Any) -> list[tuple[Entry, datetime]]:
        rows = await self.reader.all(
            select(Refund.out_refund_no, Payment.out_trade_no, Refund.amount_fen, _at_the_cashier, Refund.made)
            .join(Payment, Payment.id == Refund.payment_id)
            .where(Payment.source != BY_HAND, *conditions)
        )
        return [(Entry("refund", r.out_refund_no, r.out_trade_no, r.amount_fen, r.theirs), r.made) for r in rows]

    async def attempts(self, trades: Sequence[str]) -> dict[str, str]:
        """(number at the cashier → state) of those that this shop has issued."""
        found: dict[str, str] = {}
        for some in _parts(trades):
            rows = await self.reader.all(
                select(Attempt.out_trade_no, Attempt.state).where(Attempt.out_trade_no.in_(some))
            )
            found |= {row.out_trade_no: row.state for row in rows}
        return found


def _parts(things: Sequence[str]) -> Iterable[list[str]]:
    for start in range(0, len(things), AT_ONCE):
        yield list(things[start : start + AT_ONCE])
