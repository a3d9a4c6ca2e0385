"""The ledger: every fen that moves stands in it twice, is never changed, and is chained so that a change would show.

Written in the transaction of the fact itself. A positive amount is a debit, a negative one a credit; the entries of one
transaction sum to zero. Chaining comes afterwards, once a minute, over what has been committed: ids have gaps, and one
that was drawn earlier may be committed later, so the chain counts by itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, bindparam, case, func, select
from sqlalchemy.orm import Mapped, aliased, mapped_column

from models.base import EPOCH, Base, Contended, Glance, Invariant, Moment, RowOf, Shelf, Work
from models.order import Order
from models.payment import Payment

# What an amount on each account means. One word more is all that a new kind of money needs.
ACCOUNTS = {
    "cash": "lies at the cashier",
    "hand": "was taken by hand",
    "customer": "a buyer owes for an order (negative: has paid before the order was booked)",
    "sales": "goods sold, at list price",
    "freight": "freight sold",
    "discounts": "taken off the list price",
    "returns": "given back of what was sold",
    "payable": "is owed back and has not gone yet",
    "orphan": "came and pays nothing",
}
BATCH = 500  # entries chained in one step
STRAGGLER = timedelta(
    hours=1
)  # no transaction is open for so long: what is older than this and the chain's end is in it


class Entry(Base):
    """One side of a transaction; `txn` names the fact, so that no fact is booked twice. Append-only."""

    __tablename__ = "ledger"
    __table_args__ = (
        UniqueConstraint("txn", "account", "side"),
        CheckConstraint(
            "(side = 'debit' AND amount_fen > 0) OR (side = 'credit' AND amount_fen < 0)", name="side_sign"
        ),
        Index(None, "order_id"),
        Index(None, "payment_id"),
        Index(None, "at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    txn: Mapped[str]
    account: Mapped[str]
    side: Mapped[str]
    amount_fen: Mapped[int]
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
    payment_id: Mapped[int | None] = mapped_column(ForeignKey("payment.id"))
    refund_id: Mapped[int | None]  # no foreign key: the refund stands above the ledger


class Link(Base):
    """The n-th link of the chain: the hash of the link before it and of one entry. Append-only."""

    __tablename__ = "ledger_link"
    __table_args__ = (UniqueConstraint("entry_id"),)

    n: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    entry_id: Mapped[int] = mapped_column(ForeignKey("ledger.id"))
    hash: Mapped[str]  # SHA-256, hex
    at: Mapped[datetime]


@dataclass(frozen=True)
class Head:
    """The end of the chain; two shops with the same head have the same ledger."""

    n: int
    hash: str
    at: datetime


FIRST = Head(0, "0" * 64, EPOCH)


# -- what happens to money -------------------------------------------------------------------------------


async def came_in(work: Work, payment_id: int, order_id: int, fen: int, source: str, *, orphan: bool) -> None:
    """Money came; `orphan`: it pays nothing."""
    other = "orphan" if orphan else "customer"
    await book(work, f"payment:{payment_id}", {_purse(source): fen, other: -fen}, order_id, payment_id)


async def sold(work: Work, order: Order) -> None:
    """What the buyer has paid for, as it stands on the order."""
    list_fen = order.total_fen - order.freight_fen + order.discount_fen
    sides = {"customer": order.total_fen, "sales": -list_fen, "freight": -order.freight_fen}
    sides["discounts"] = order.discount_fen
    await book(work, f"sale:{order.id}", sides, order.id)


async def sold_more(
    work: Work, order_id: int, supplement_id: int, goods_fen: int, discount_fen: int, freight_fen: int
) -> None:
    """What a change of mind costs more, at list price, and what is taken off it."""
    sides = {"customer": goods_fen - discount_fen + freight_fen, "sales": -goods_fen, "freight": -freight_fen}
    sides["discounts"] = discount_fen
    await book(work, f"more:{supplement_id}", sides, order_id)


async def owed_back(work: Work, refund_id: int, payment_id: int, order_id: int, fen: int, *, orphan: bool) -> None:
    """Money is to go back out of a payment."""
    sides = {"orphan" if orphan else "returns": fen, "payable": -fen}
    await book(work, f"owed:{refund_id}", sides, order_id, payment_id, refund_id)


async def went_back(work: Work, refund_id: int, payment_id: int, order_id: int, fen: int, source: str) -> None:
    """It has gone back the way it came."""
    await book(work, f"refund:{refund_id}", {"payable": fen, _purse(source): -fen}, order_id, payment_id, refund_id)


async def went_elsewhere(work: Work, payment_id: int, order_id: int, fen: int) -> None:
    """A payment that had been paid back at the cashier's own desk before we heard of it."""
    await book(work, f"elsewhere:{payment_id}", {"orphan": fen, "cash": -fen}, order_id, payment_id)


def _purse(source: str) -> str:
    return "hand" if source == "hand" else "cash"


async def book(
    work: Work,
    txn: str,
    sides: Mapping[str, int],
    order_id: int,
    payment_id: int | None = None,
    refund_id: int | None = None,
) -> None:
    """Write one transaction: fen by account, what is 0 left out.

    ValueError for what does not sum to zero or an account nobody knows; Contended when the fact is booked already.
    """
    entries = {account: fen for account, fen in sides.items() if fen}
    if sum(entries.values()) or not entries.keys() <= ACCOUNTS.keys():
        raise ValueError(f"{txn}: {dict(sides)}")
    if not entries:
        return
    rows = [
        {
            "at": work.now,
            "txn": txn,
            "account": account,
            "side": "debit" if fen > 0 else "credit",
            "amount_fen": fen,
            "order_id": order_id,
            "payment_id": payment_id,
            "refund_id": refund_id,
        }
        for account, fen in entries.items()
    ]
    written = await work.session.execute(work.insert(Entry).values(rows).on_conflict_do_nothing().returning(Entry.id))
    if len(written.all()) != len(rows):
        raise Contended


# -- the chain -------------------------------------------------------------------------------------------


def link(before: str, entry: Any) -> str:
    """The hash of an entry behind the hash before it."""
    at = (entry.at - EPOCH) // timedelta(microseconds=1)
    said = [entry.id, at, entry.txn, entry.account, entry.side, entry.amount_fen]
    said += [entry.order_id, entry.payment_id, entry.refund_id]
    return hashlib.sha256(f"{before}\n{json.dumps(said, ensure_ascii=False)}".encode()).hexdigest()


_COLUMNS = list(Entry.__table__.columns)
_HEAD = select(Link.n, Link.hash, Link.at, Entry.at.label("entry_at")).join(Entry).order_by(Link.n.desc()).limit(1)


def _unchained(since: datetime) -> Any:
    """Committed entries that are no link yet, as the chain takes them."""
    return select(*_COLUMNS).outerjoin(Link).where(Link.n.is_(None), Entry.at >= since).order_by(Entry.id)


class Ledger(Shelf[Entry]):
    """The ledger, for the changing path."""

    entity = Entry

    async def seal(self) -> Head:
        """Chain what has been committed since the last time, at most BATCH entries; Contended when doubled."""
        last = await self.work.one(_HEAD)
        n, hash_ = (last.n, last.hash) if last else (FIRST.n, FIRST.hash)
        links = []
        for entry in await self.work.all(_unchained(_since(last)).limit(BATCH)):
            n, hash_ = n + 1, link(hash_, entry)
            links.append({"n": n, "entry_id": entry.id, "hash": hash_, "at": self.work.now})
        if links:
            statement = self.work.insert(Link).values(links).on_conflict_do_nothing().returning(Link.n)
            if len((await self.session.execute(statement)).all()) != len(links):
                raise Contended
        return Head(n, hash_, self.work.now)


def _since(head: Any) -> datetime:
    return head.entry_at - STRAGGLER if head is not None else EPOCH


class LedgerGlance(Glance):
    """The ledger, read only."""

    async def head(self) -> Head:
        """The end of the chain as it was committed."""
        row = await self.reader.one(_HEAD)
        return Head(row.n, row.hash, row.at) if row else FIRST

    async def unsealed(self) -> int:
        """How many entries wait to be chained."""
        waiting = _unchained(_since(await self.reader.one(_HEAD))).order_by(None).subquery()
        row = await self.reader.one(select(func.count()).select_from(waiting))
        return int(row[0]) if row else 0

    async def balances(self) -> dict[str, int]:
        """What stands on each account, in fen."""
        total = func.sum(Entry.amount_fen).label("fen")
        rows = await self.reader.all(select(Entry.account, total).group_by(Entry.account).order_by(Entry.account))
        return {row.account: int(row.fen) for row in rows}


# -- what must always hold -------------------------------------------------------------------------------


def standing(*accounts: str, of: Any) -> Any:
    """A correlated sum, 0 where nothing is booked: what stands on these accounts of one thing."""
    total = select(func.coalesce(func.sum(Entry.amount_fen), 0)).where(Entry.account.in_(accounts), of)
    return total.scalar_subquery()


_before = aliased(Link)
_mine = Entry.order_id == Order.id
_sold = select(Payment.id).where(Payment.order_id == Order.id, Payment.state == "credited").exists()

INVARIANTS = (
    Invariant(
        "ledger_sums_to_zero",
        "the entries of a transaction sum to zero",
        select(Entry.txn).group_by(Entry.txn).having((func.sum(Entry.amount_fen) != 0) | (func.count() < 2)),
    ),
    Invariant(
        "ledger_accounts_known",
        "money lies on known accounts only",
        select(Entry.id).where(Entry.account.not_in(list(ACCOUNTS))),
    ),
    Invariant(
        "ledger_tells_orders",
        "what the ledger says was sold is what paid orders cost, and no buyer owes anything for one",
        select(Order.id).where(
            (standing("customer", of=_mine) != 0)
            | (standing("sales", "freight", "discounts", of=_mine) != case((_sold, -Order.total_fen), else_=0))
        ),
    ),
    Invariant(
        "ledger_links_in_turn",
        "no link is missing in the chain",
        select(Link.n).outerjoin(_before, _before.n == Link.n - 1).where(Link.n != 1, _before.n.is_(None)),
    ),
    Invariant(
        "ledger_sealed",
        "what was booked is soon in the chain",
        select(Entry.id).outerjoin(Link).where(Link.n.is_(None), Entry.at < bindparam("late", type_=Moment())),
        grace_minutes=15,
    ),
)

CHAIN = Invariant(
    "ledger_chain_verifies",
    "every link is the hash of the one before it and of its entry",
    select(Link.n, Link.hash, *_COLUMNS).outerjoin(Entry, Entry.id == Link.entry_id).order_by(Link.n),
)


async def broken(rows: AsyncIterator[RowOf]) -> list[Any]:
    """The first link of CHAIN's rows that is not what it should be; every later one hangs on it."""
    before = FIRST.hash
    async for row in rows:
        if row.id is None or link(before, row) != row.hash:
            return [row.n]
        before = row.hash
    return []


# What takes more than a statement: the rows are read in turn.
READ_THROUGH = ((CHAIN, broken),)
