"""Refunds: money that is owed back, each under a number that never changes, retried until its end is known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    UniqueConstraint,
    bindparam,
    exists,
    func,
    select,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column

from models import ledger
from models.base import Base, Contended, Event, Invariant, Moment, Refusal, Shelf
from models.order import Orders
from models.payment import Payment, Payments

TRY_MINUTES = (1, 2, 5, 15, 30, 60)  # the cashier takes two requests for one order at least a minute apart
ASK_MINUTES = 5
STATES = ("due", "asked", "unknown", "done", "failed")
# What the cashier will say no to tomorrow as well; anything else (an empty balance, a busy counter, an expired
# certificate of ours) ends some time, and the refund waits for that.
FINAL = ("INVALIDREQUEST", "PARAMERROR", "USERACCOUNTABNORMAL", "missing")
NO_CASHIER = "no_cashier"  # the shop has given up its cashier: staff give back what that owes
QUIET = ("later",)  # the counter is busy: nobody needs to hear of it
MOST_PARTS = 50  # of one payment (doc: refunds); the last is kept for whatever is left then
HOPE_DAYS = 30  # so long the cashier is asked every day about what it refused for good
REMIND_DAYS = 7  # so long staff hear every day of what was refused for good
DOUBT_TRIES = 6  # so often nobody may know how a refund stands before somebody hears of it


class RefundTooMuch(Refusal):
    """More would go back than came in. Facts: amount_fen, left_fen."""


class TooManyParts(Refusal):
    """The cashier takes no more parts of this payment; all that is left may go back at once. Facts: most, left_fen."""


@dataclass(frozen=True)
class RefundDone(Event):
    """Money has gone back, the way it came or by a hand. `late`: it had come too late, twice or wrong."""

    order_id: int
    no: str
    follower_id: int
    amount_fen: int
    reason: str
    late: bool
    out_refund_no: str = ""
    by_hand: bool = False  # staff gave it back: no cashier had it, or the cashier refused


@dataclass(frozen=True)
class RefundStuck(Event):
    """A refund does not go through; somebody has to look.

    `error` is the cashier's code, or not_enough, unknown, amount (another sum than was asked for), no_cashier, twice
    (the cashier paid what staff had given back).
    """

    out_refund_no: str
    no: str
    amount_fen: int
    error: str
    again: bool  # tried again by itself


class Refund(Base):
    """An amount owed back out of one payment."""

    __tablename__ = "refund"
    __table_args__ = (
        UniqueConstraint("out_refund_no"),
        UniqueConstraint("payment_id", "reason", "seq"),
        CheckConstraint("state IN ('due','asked','unknown','done','failed')", name="state_known"),
        CheckConstraint("amount_fen > 0", name="amount_positive"),
        Index(None, "state", "next_try"),
        Index(None, "order_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    out_refund_no: Mapped[str]
    payment_id: Mapped[int] = mapped_column(ForeignKey("payment.id"))
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
    amount_fen: Mapped[int]
    reason: Mapped[str]
    seq: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(default="due")
    tries: Mapped[int] = mapped_column(default=0)
    next_try: Mapped[datetime]  # of one that was refused for good: since when
    made: Mapped[datetime]
    done_at: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(default="")

    @property
    def ended(self) -> bool:
        return self.state in ("done", "failed")

    def said(self, state: str, error: str, now: datetime) -> bool:
        """The cashier's word (doc: SUCCESS, PROCESSING, CLOSED, ABNORMAL; REFUSED and UNKNOWN are ours; "": none).

        False when it changes nothing. A refund that is done stays done, whatever comes after; one that was refused
        for good is only ended otherwise by the news that it was done after all.
        """
        if self.state == "done" or not state or (self.state == "failed" and state != "SUCCESS"):
            return False
        if self.state == "asked" and state == "REFUSED" and error != NO_CASHIER:  # of a repetition; the first was taken
            return False
        if state == "SUCCESS":
            self.state, self.done_at, self.error = "done", now, ""
        elif state == "PROCESSING":
            self.state, self.error, self.next_try = "asked", "", now + timedelta(minutes=ASK_MINUTES)
        elif state == "UNKNOWN":
            self.state, self.error = "unknown", "unknown" if self.tries >= DOUBT_TRIES else ""
        elif state == "REFUSED" and error.replace("_", "") not in FINAL:
            self.state, self.error = "due", error
        else:  # CLOSED, ABNORMAL, a definite no: a person has to look
            self.state, self.error, self.next_try = "failed", error or state, now
        return True


# It went back out of the hands of staff, whatever it came in by: so the ledger has it.
GIVEN = exists().where(ledger.Entry.refund_id == Refund.id, ledger.Entry.account == "hand").correlate(Refund)


def within(amount_fen: int) -> Any:
    """The guard of promise 3: refunds of a payment never exceed it."""
    return Payment.refund_reserved_fen + amount_fen <= Payment.amount_fen


class Refunds(Shelf[Refund]):
    """Refunds, for the changing path."""

    entity = Refund

    async def owe(
        self, payment: Payment | int, amount_fen: int, reason: str, due: datetime, seq: int = 0, what: str = ""
    ) -> Refund:
        """Owe `amount_fen` back out of a payment, from `due` on. The same (payment, reason, seq) is the same refund.

        `what` it is for, where `seq` may mean something else in a shop that was restored: the refund's number is made
        of the payment's, the reason and that, so that a shop which owes it anew after a restore is paid back once.

        Raises RefundTooMuch when less than that is left of the payment, TooManyParts when it was taken apart enough.
        """
        payment_id = payment if isinstance(payment, int) else payment.id
        known = await self._known(payment_id, reason, seq)
        if known is not None:
            return known
        left_fen, whole_only = await self._left(payment_id)
        if whole_only and 0 < amount_fen < left_fen:
            raise TooManyParts(most=MOST_PARTS, left_fen=left_fen)
        row = None
        if amount_fen > 0:
            reserved = await self.session.execute(
                update(Payment)
                .where(Payment.id == payment_id, within(amount_fen))
                .values(refund_reserved_fen=Payment.refund_reserved_fen + amount_fen)
                .returning(Payment.order_id, Payment.state, Payment.out_trade_no)
                .execution_options(synchronize_session=False)
            )
            row = reserved.first()
        if row is None:
            raise RefundTooMuch(amount_fen=amount_fen, left_fen=left_fen)
        number = "rf" + hashlib.sha256(f"{row.out_trade_no}|{reason}|{what or seq}".encode()).hexdigest()[:28]
        written = await self.session.execute(
            self.work.insert(Refund)
            .values(
                out_refund_no=number,
                payment_id=payment_id,
                order_id=row.order_id,
                amount_fen=amount_fen,
                reason=reason,
                seq=seq,
                state="due",
                tries=0,
                next_try=due,
                made=self.work.now,
                error="",
            )
            .on_conflict_do_nothing()
            .returning(Refund.id)
        )
        new = written.first()
        if new is None:  # somebody owes the very same at this moment
            raise Contended
        orphan = row.state == "orphan"
        await ledger.owed_back(self.work, int(new.id), payment_id, row.order_id, amount_fen, orphan=orphan)
        refund = await self.hold(number)
        assert refund is not None
        return refund

    async def _left(self, payment_id: int) -> tuple[int, bool]:
        """How much of a payment is not on its way back (fen), and whether it can only go back whole."""
        parts = select(func.count(Refund.id)).where(Refund.payment_id == Payment.id).scalar_subquery()
        left = (Payment.amount_fen - Payment.refund_reserved_fen).label("left")
        row = await self.work.one(select(left, parts.label("parts")).where(Payment.id == payment_id))
        return (int(row.left), int(row.parts) >= MOST_PARTS - 1) if row is not None else (0, False)

    async def _known(self, payment_id: int, reason: str, seq: int = 0) -> Refund | None:
        return await self._one(
            select(Refund).where(Refund.payment_id == payment_id, Refund.reason == reason, Refund.seq == seq)
        )

    async def owe_back(
        self, order_id: int, amount_fen: int, reason: str, due: datetime, seq: int = 0, what: str = ""
    ) -> list[Refund]:
        """Owe `amount_fen` back of what an order was paid with: the oldest payment first, of none more than it was.

        The same (order, reason, seq) is the same refunds. Raises RefundTooMuch when less than that is left of all,
        TooManyParts when it could only go back whole.
        """
        await Orders(self.work).hold_id(order_id)  # two who owe the same take turns
        known = await self._known_of(order_id, reason, seq)
        if known:
            return known
        shares: list[tuple[Payment, int]] = []
        missing_fen = amount_fen
        for payment in await Payments(self.work).credited_to(order_id):
            left_fen, whole_only = await self._left(payment.id)
            fen = min(missing_fen, left_fen)
            if fen > 0 and not (whole_only and fen < left_fen):
                shares.append((payment, fen))
                missing_fen -= fen
        if missing_fen or not shares:
            left_fen = await self.left_of(order_id)
            if 0 < amount_fen < left_fen:
                raise TooManyParts(most=MOST_PARTS, left_fen=left_fen)
            raise RefundTooMuch(amount_fen=amount_fen, left_fen=left_fen)
        return [await self.owe(payment, fen, reason, due, seq, what) for payment, fen in shares]

    async def owe_all(self, order_id: int, reason: str, due: datetime) -> list[Refund]:
        """Owe back what is left of an order's payments; [] when nothing was paid or nothing is left."""
        await Orders(self.work).hold_id(order_id)
        known = await self._known_of(order_id, reason)
        if known:
            return known
        left_fen = await self.left_of(order_id)
        return await self.owe_back(order_id, left_fen, reason, due) if left_fen else []

    async def left_of(self, order_id: int) -> int:
        """How much of what an order was paid with is not on its way back, in fen."""
        paid = await Payments(self.work).credited_to(order_id)
        return sum(payment.amount_fen - payment.refund_reserved_fen for payment in paid)

    async def _known_of(self, order_id: int, reason: str, seq: int = 0) -> list[Refund]:
        found = await self.session.execute(
            select(Refund)
            .join(Payment, Payment.id == Refund.payment_id)
            .where(Refund.order_id == order_id, Refund.reason == reason, Refund.seq == seq, Payment.state == "credited")
            .order_by(Refund.payment_id)
        )
        return list(found.scalars())

    async def order_of(self, out_refund_no: str) -> int | None:
        """The id of the order that a refund belongs to; None for a number that is not ours."""
        row = await self.work.one(select(Refund.order_id).where(Refund.out_refund_no == out_refund_no))
        return int(row.order_id) if row is not None else None

    async def hold(self, out_refund_no: str) -> Refund | None:
        return await self._one(select(Refund).where(Refund.out_refund_no == out_refund_no), hold=True)

    async def trade_of(self, refund: Refund) -> tuple[str, int]:
        """(out_trade_no, its whole amount in fen) of the payment that a refund comes out of."""
        row = await self.work.one(
            select(Payment.out_trade_no, Payment.amount_fen).where(Payment.id == refund.payment_id)
        )
        assert row is not None
        return row.out_trade_no, row.amount_fen

    async def try_again(self, refund: Refund) -> None:
        """Note that the cashier is asked (once more); Contended when somebody has just done so."""
        wait = TRY_MINUTES[min(refund.tries, len(TRY_MINUTES) - 1)]
        done = await self.session.execute(
            update(Refund)
            .where(Refund.id == refund.id, Refund.tries == refund.tries, Refund.state.not_in(["done", "failed"]))
            .values(tries=refund.tries + 1, next_try=self.work.now + timedelta(minutes=wait))
            .returning(Refund.id)
            .execution_options(synchronize_session=False)
        )
        if done.first() is None:
            raise Contended


_sums = (
    select(Refund.payment_id.label("payment_id"), func.sum(Refund.amount_fen).label("fen"))
    .group_by(Refund.payment_id)
    .subquery()
)

INVARIANTS = (
    Invariant(
        "refund_within_payment",
        "never more goes back than came in",
        select(Payment.id).join(_sums, _sums.c.payment_id == Payment.id).where(_sums.c.fen > Payment.amount_fen),
    ),
    Invariant(
        "refund_at_most_fifty",
        "a payment goes back in fifty parts at most: the cashier takes no more",
        select(Refund.payment_id).group_by(Refund.payment_id).having(func.count() > 50),
    ),
    Invariant(
        "refund_of_its_order",
        "a refund is of the order whose payment it comes out of",
        select(Refund.id).join(Payment, Payment.id == Refund.payment_id).where(Refund.order_id != Payment.order_id),
    ),
    Invariant(
        "refund_done_dated",
        "a refund says when it went back, exactly when it did",
        select(Refund.id).where((Refund.state == "done") != Refund.done_at.is_not(None)),
    ),
    Invariant(
        "refund_sums_to_reserved",
        "a payment's refunds are what it counts as going back",
        select(Payment.id)
        .outerjoin(_sums, _sums.c.payment_id == Payment.id)
        .where(Payment.refund_reserved_fen != func.coalesce(_sums.c.fen, 0), Payment.cause != "elsewhere"),
    ),
    Invariant(
        "refund_in_hand",
        "a refund that is due is being asked for",
        select(Refund.id).where(
            Refund.state.in_(["due", "asked", "unknown"]), Refund.next_try < bindparam("late", type_=Moment())
        ),
        grace_minutes=15,
    ),
)
