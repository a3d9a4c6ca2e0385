"""`tuanpu reconcile DATE`: what the shop knows of a day's money beside the platform's bill of that day."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta

import aiohttp

from bot.clock import Clock
from bot.commands import ready
from bot.pay.bills import BillOdd, trade_bill
from bot.pay.told import PayRefused, PayUnknown
from bot.pay.wxpay import Merchant, WxPay
from bot.settings import Settings
from bot.terminal import NOT_NOW, Unfit, say
from models.audit import record
from models.base import Reader, Work
from models.reconcile import CHINA, BooksGlance, Difference, Entry, compare

LOOK_BACK = 31  # days in whose bills a refund is looked for that ended on this one


@dataclass(frozen=True)
class Compared:
    """What came of a day: its differences, how many rows each side had, how many rows are other accounts'."""

    differences: list[Difference]
    ours: int
    theirs: int
    others: int


def day_said(said: str, today: date) -> date:
    """The day that was meant: 2026-03-01, or yesterday (昨天). Raises Unfit for what is no day, or not over yet."""
    if said in ("yesterday", "昨天"):
        return today - timedelta(days=1)
    try:
        day = date.fromisoformat(said)
    except ValueError:
        raise Unfit(f"{said!r} is no day; say it like 2026-03-01, or yesterday.") from None
    if day >= today:
        raise Unfit(f"{day} is not over; its bill is there the next day from 10:00 (China time).", NOT_NOW)
    return day


async def reconcile(settings: Settings, said: str, clock: Clock | None = None) -> int:
    """Print every difference; 1 when there is one. Writes down that it was done, and changes nothing else."""
    clock = clock or Clock()
    if settings.wechat_pay is None or settings.wechat is None:
        raise Unfit("there is no [wechat_pay] section in the configuration: no bill to compare with.")
    day = day_said(said, clock.now().astimezone(CHINA).date())
    try:
        merchant = Merchant.read(settings.wechat_pay, settings.wechat.app_id)
    except (OSError, ValueError) as fault:
        raise Unfit(f"a key of [wechat_pay] cannot be read: {fault}") from None
    async with ready(settings) as store, aiohttp.ClientSession() as http:
        try:
            found = await compared(store.reader, WxPay(merchant, http, clock.now), day)
        except PayRefused as no:
            if no.code == "STATEMENT_CREATING":
                raise Unfit(
                    f"the bill of {day} is not made yet; it is there from 10:00 (China time).", NOT_NOW
                ) from None
            raise Unfit(f"the platform refuses the bill of {day}: {no}", 1) from None
        except PayUnknown as why:
            raise Unfit(f"the bill of {day} could not be had: {why}", NOT_NOW) from None
        except BillOdd as why:
            raise Unfit(f"the bill of {day} cannot be compared: {why}", 1) from None
        async with store.session() as session, session.begin():
            await record(Work(session, clock.now()), None, "reconcile", _facts(day, found))
    for one in found.differences:
        say(one.sentence)
    if found.others:
        say(f"{found.others} rows are of other accounts of this merchant number; they are not compared")
    say(f"{day}: {found.theirs} rows in the bill, {found.ours} here, {len(found.differences)} differences")
    return 1 if found.differences else 0


async def compared(reader: Reader, pay: WxPay, day: date) -> Compared:
    """A day's payments and refunds compared with its bill; raises PayRefused, PayUnknown, BillOdd."""
    books = BooksGlance(reader)
    paid, others = await trade_bill(pay, day, "SUCCESS")
    back, more = await trade_bill(pay, day, "REFUND")
    theirs, others = paid + back, others + more
    ours = await books.payments(day)
    listed = {row.number for row in back}
    ours += await _not_in_a_bill(books, pay, day, listed)
    elsewhere = await books.payments_of([row.number for row in paid])
    mine = await books.refunds_of([row.number for row in back])
    attempts = await books.attempts([row.trade for row in theirs])
    differences = compare(ours, theirs, elsewhere=elsewhere + mine, attempts=attempts)
    return Compared(differences, len({(e.what, e.number) for e in ours + mine}), len(theirs), others)


async def _not_in_a_bill(books: BooksGlance, pay: WxPay, day: date, listed: set[str]) -> list[Entry]:
    """What went back on this day by our books, and stands in no bill in which it might stand."""
    left = {entry.number: (entry, made) for entry, made in await books.refunds_done(day) if entry.number not in listed}
    look = day
    while left and look > max(min(made for _, made in left.values()), day - timedelta(days=LOOK_BACK)):
        look -= timedelta(days=1)
        for row in (await trade_bill(pay, look, "REFUND"))[0]:
            left.pop(row.number, None)
    return [entry for entry, _ in left.values()]


def _facts(day: date, found: Compared) -> dict[str, object]:
    kinds = Counter(one.kind for one in found.differences)
    return {"day": day.isoformat(), "ours": found.ours, "theirs": found.theirs, "differences": dict(kinds)}
