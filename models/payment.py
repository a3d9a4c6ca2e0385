"""Payments and the attempts at them: an attempt is not an order, and money is written down once, whatever it is for."""

from __future__ import annotations

import secrets
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
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Contended, Glance, Invariant, Moment, Refusal, Shelf
from models.order import Order
from models.supplement import Bill, Supplement, both

OPEN = ("new", "live")
_OPEN = text("state IN ('new','live')")
_OPEN_OF_ORDER = text("state IN ('new','live') AND supplement_id IS NULL")
_CREDITED = text("state = 'credited'")
_CREDITED_TO_ORDER = text("state = 'credited' AND supplement_id IS NULL")
ASK_MINUTES = (
    1,
    1,
    2,
    3,
    5,
    10,
)  # between one question and the next, while no word has come; then the last, again and again
CODE_MINUTES = {"native": 115, "jsapi": 115, "h5": 4}
"""How long what the cashier gave can be used: 2 hours, 5 minutes for H5; a little less, for it is known late."""
LEAST_SECONDS = 90  # the cashier takes no order that ends within the minute (doc: Native payment, time_expire)
MISMATCH = ("amount", "currency")


class PayOver(Refusal):
    """The order, or its supplement, can no longer be paid. Facts: order, state, word."""


class Attempt(Base):
    """One number at the cashier under which an order, or a supplement of it, may be paid; never the order's own."""

    __tablename__ = "attempt"
    __table_args__ = (
        UniqueConstraint("out_trade_no"),
        Index(
            "uq_attempt_one_open",
            "order_id",
            unique=True,
            sqlite_where=_OPEN_OF_ORDER,
            postgresql_where=_OPEN_OF_ORDER,
        ),
        Index(
            "uq_attempt_one_open_supplement",
            "supplement_id",
            unique=True,
            sqlite_where=_OPEN,
            postgresql_where=_OPEN,
        ),
        CheckConstraint("state IN ('new','live','closed','paid','refused')", name="state_known"),
        CheckConstraint("amount_fen > 0", name="amount_positive"),
        Index(None, "order_id"),
        Index(None, "state", "ask_next"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    out_trade_no: Mapped[str]
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
    amount_fen: Mapped[int]
    way: Mapped[str]  # native, jsapi, h5
    state: Mapped[str] = mapped_column(default="new")  # new: asked for, no answer yet
    code_url: Mapped[str] = mapped_column(default="")  # code_url, prepay_id or h5_url: what the way pays by
    made: Mapped[datetime]
    expires: Mapped[datetime]
    asked: Mapped[int] = mapped_column(default=0)
    ask_next: Mapped[datetime]
    payer: Mapped[str | None]  # whom it is for: an openid (jsapi), an address on the net (h5)
    code_until: Mapped[datetime | None]  # the cashier takes the code no longer than this
    supplement_id: Mapped[int | None]  # pays what a change costs more; no foreign key: the column came later

    @property
    def open(self) -> bool:
        return self.state in OPEN

    def serves(self, way: str, payer: str, now: datetime) -> bool:
        """Whether it can be paid this way, by this payer, now; another way or payer is another attempt."""
        return serves(self.way, self.payer, self.code_until, way, payer, now)

    def offer(self, code: str, now: datetime) -> None:
        """The cashier has given what it can be paid by."""
        self.state, self.code_url = "live", code
        self.code_until = min(self.expires, now + timedelta(minutes=CODE_MINUTES[self.way]))


def serves(made_for: str, payer: str | None, until: datetime | None, way: str, who: str, now: datetime) -> bool:
    """The guard of "one way at a time": what was made for one way and payer is shown to no other."""
    return made_for == way and (payer or "") == who and (until is None or now < until)


class Payment(Base):
    """Money that came in. `credited` pays its order; `orphan` came too late, twice or wrong, and goes back."""

    __tablename__ = "payment"
    __table_args__ = (
        UniqueConstraint("transaction_id"),
        Index(
            "uq_payment_one_credited",
            "order_id",
            unique=True,
            sqlite_where=_CREDITED_TO_ORDER,
            postgresql_where=_CREDITED_TO_ORDER,
        ),
        Index(
            "uq_payment_one_credited_supplement",
            "supplement_id",
            unique=True,
            sqlite_where=_CREDITED,
            postgresql_where=_CREDITED,
        ),
        CheckConstraint("state IN ('credited','orphan')", name="state_known"),
        CheckConstraint("refund_reserved_fen >= 0 AND refund_reserved_fen <= amount_fen", name="refunds_within_amount"),
        Index(None, "order_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    transaction_id: Mapped[str]
    out_trade_no: Mapped[str]
    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempt.id"))
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
    amount_fen: Mapped[int]
    refund_reserved_fen: Mapped[int] = mapped_column(default=0)
    payer: Mapped[str] = mapped_column(default="")  # the openid that paid: recorded, never compared
    at: Mapped[datetime]
    seen: Mapped[datetime]
    source: Mapped[str] = mapped_column(default="")  # callback, query, close
    state: Mapped[str]
    cause: Mapped[str] = mapped_column(default="")
    supplement_id: Mapped[int | None]  # its attempt's


@dataclass(frozen=True)
class Trade:
    """What the cashier says of one attempt; amounts in fen. `state` is the cashier's own word (SUCCESS, NOTPAY …)."""

    out_trade_no: str
    state: str
    transaction_id: str
    amount_fen: int
    currency: str
    payer: str
    at: datetime
    source: str

    @property
    def was_paid(self) -> bool:
        return self.state in ("SUCCESS", "REFUND")

    @property
    def was_closed(self) -> bool:
        return self.state in ("CLOSED", "REVOKED")


def mismatch(attempt: Attempt, trade: Trade) -> str:
    """In what the money differs from what we asked for, or ""; who paid is not compared."""
    if trade.currency != "CNY":
        return "currency"
    return "amount" if trade.amount_fen != attempt.amount_fen else ""


def ask_next(asked: int, now: datetime) -> datetime:
    """When to ask the cashier again after `asked` questions without an end."""
    return now + timedelta(minutes=ASK_MINUTES[min(asked, len(ASK_MINUTES) - 1)])


class Attempts(Shelf[Attempt]):
    """Attempts, for the changing path. Lock the order first, then the attempt."""

    entity = Attempt

    async def open_of(self, order_id: int, supplement_id: int | None = None) -> Attempt | None:
        """The one attempt under which an order, or a supplement of it, may be paid now."""
        return await self._one(select(Attempt).where(*_open(order_id, supplement_id)), hold=True)

    async def open_for(self, bill: Bill) -> Attempt | None:
        """The same of a bill."""
        return await self.open_of(*both(bill))

    async def order_of(self, out_trade_no: str) -> tuple[int, int | None] | None:
        """The id of the order that a number at the cashier stands for, and of its group; None if it is not ours."""
        of_attempt = select(Attempt.order_id, Order.group_id).join(Order, Order.id == Attempt.order_id)
        row = await self.work.one(of_attempt.where(Attempt.out_trade_no == out_trade_no))
        return (row.order_id, row.group_id) if row is not None else None

    async def hold(self, out_trade_no: str) -> Attempt | None:
        return await self._one(select(Attempt).where(Attempt.out_trade_no == out_trade_no), hold=True)

    async def start(self, bill: Bill, way: str, payer: str = "") -> Attempt:
        """The attempt of a bill: the open one, whatever it `serves`, or a new one.

        Raises PayOver; Contended when doubled.
        """
        now = self.work.now
        if not bill.payable or bill.pay_until <= now:
            raise PayOver(order=bill.no, state=bill.state, word=bill.word)
        found = await self.open_for(bill)
        if found is not None:
            return found
        insert = self.work.insert
        order_id, supplement_id = both(bill)
        number = "tp" + secrets.token_hex(14)  # at most 32 characters (doc: out_trade_no); not the order's number
        expires = max(bill.pay_until, now + timedelta(seconds=LEAST_SECONDS)).replace(microsecond=0)
        written = await self.session.execute(
            insert(Attempt)
            .values(
                out_trade_no=number,
                order_id=order_id,
                supplement_id=supplement_id,
                amount_fen=bill.total_fen,
                way=way,
                payer=payer or None,
                state="new",
                code_url="",
                made=now,
                expires=expires,
                asked=0,
                ask_next=ask_next(0, now),
            )
            .on_conflict_do_nothing()
            .returning(Attempt.id)
        )
        if written.first() is None:
            raise Contended
        made = await self.hold(number)
        assert made is not None
        return made

    async def ask_again(self, attempt: Attempt) -> bool:
        """Note that the cashier is asked once more; False when somebody has just done so."""
        done = await self.session.execute(
            update(Attempt)
            .where(Attempt.id == attempt.id, Attempt.asked == attempt.asked, Attempt.state.in_(OPEN))
            .values(asked=attempt.asked + 1, ask_next=ask_next(attempt.asked + 1, self.work.now))
            .returning(Attempt.id)
            .execution_options(synchronize_session=False)
        )
        return done.first() is not None


class Payments(Shelf[Payment]):
    """Money that came in, for the changing path."""

    entity = Payment

    async def by_transaction(self, transaction_id: str) -> Payment | None:
        return await self._one(select(Payment).where(Payment.transaction_id == transaction_id))

    async def credited_to(self, order_id: int) -> list[Payment]:
        """The payments that paid an order, oldest first, read afresh."""
        found = await self.session.execute(
            select(Payment)
            .where(Payment.order_id == order_id, Payment.state == "credited")
            .order_by(Payment.id)
            .execution_options(populate_existing=True)
        )
        return list(found.scalars())

    async def keep(self, **values: Any) -> int:
        """Write money down under its unique transaction id; the row's id. Contended when it is there already."""
        insert = self.work.insert
        written = await self.session.execute(
            insert(Payment).values(refund_reserved_fen=0, **values).on_conflict_do_nothing().returning(Payment.id)
        )
        row = written.first()
        if row is None:
            raise Contended
        return int(row.id)


def _open(order_id: int, supplement_id: int | None) -> tuple[Any, ...]:
    """The attempt under which an order may be paid now, or a supplement of it."""
    mine = Attempt.supplement_id.is_(None) if supplement_id is None else Attempt.supplement_id == supplement_id
    return Attempt.order_id == order_id, mine, Attempt.state.in_(OPEN)


class AttemptGlance(Glance):
    """Attempts, read only."""

    async def open_of(self, order_id: int, supplement_id: int | None = None) -> tuple[str, str] | None:
        """(state, way) of the attempt under which an order, or a supplement of it, may be paid now."""
        row = await self.reader.one(select(Attempt.state, Attempt.way).where(*_open(order_id, supplement_id)))
        return (row.state, row.way) if row is not None else None

    async def code_of(self, order_id: int, supplement_id: int | None, way: str, payer: str, now: datetime) -> str:
        """What a bill can be paid by at this moment, this way and by this payer; "" where nothing is ready."""
        row = await self.reader.one(
            select(Attempt.way, Attempt.payer, Attempt.code_until, Attempt.code_url).where(
                *_open(order_id, supplement_id)
            )
        )
        fits = row is not None and serves(row.way, row.payer, row.code_until, way, payer, now)
        return row.code_url if row is not None and fits else ""

    async def to_ask(self, now: datetime, limit: int = 200) -> list[str]:
        """The numbers of which the cashier has said nothing final and is to be asked now."""
        rows = await self.reader.all(
            select(Attempt.out_trade_no)
            .where(Attempt.state.in_(OPEN), Attempt.ask_next <= now)
            .order_by(Attempt.ask_next, Attempt.id)
            .limit(limit)
        )
        return [row.out_trade_no for row in rows]


_late = bindparam("late", type_=Moment())
_more = (
    select(func.coalesce(func.sum(Supplement.total_fen), 0))
    .where(Supplement.order_id == Order.id, Supplement.state == "paid")
    .correlate(Order)
    .scalar_subquery()
)

INVARIANTS = (
    Invariant(
        "attempt_ends_with_order",
        "nobody can still pay for an order that is closed",
        select(Attempt.id)
        .join(Order, Order.id == Attempt.order_id)
        .where(Order.state == "closed", Attempt.supplement_id.is_(None), Attempt.state.in_(OPEN)),
    ),
    Invariant(
        "attempt_ends_when_paid",
        "nobody can pay long for an order that is paid",
        select(Attempt.id)
        .join(Order, Order.id == Attempt.order_id)
        .where(Order.paid_at < _late, Attempt.supplement_id.is_(None), Attempt.state.in_(OPEN)),
        grace_minutes=60,
    ),
    Invariant(
        "payment_matches_order",
        "what is credited is what the order costs without its supplements, or what the supplement costs",
        select(Payment.id)
        .join(Order, Order.id == Payment.order_id)
        .outerjoin(Supplement, Supplement.id == Payment.supplement_id)
        .where(
            Payment.state == "credited",
            Payment.amount_fen != func.coalesce(Supplement.total_fen, Order.total_fen - _more),
        ),
    ),
    Invariant(
        "attempt_one_open",
        "an order, or a supplement, can be paid under one number only",
        select(Attempt.order_id)
        .where(Attempt.state.in_(OPEN))
        .group_by(Attempt.order_id, Attempt.supplement_id)
        .having(func.count() > 1),
    ),
    Invariant(
        "attempt_has_its_payer",
        "an attempt inside WeChat is for one person, a QR code for anybody",
        select(Attempt.id).where(
            or_(
                (Attempt.way == "jsapi") & Attempt.payer.is_(None),
                (Attempt.way == "native") & Attempt.payer.is_not(None),
            )
        ),
    ),
    Invariant(
        "attempt_asked",
        "an attempt of which no word has come is being asked about",
        select(Attempt.id).where(Attempt.state.in_(OPEN), Attempt.ask_next < _late),
        grace_minutes=15,
    ),
    Invariant(
        "attempt_ends",
        "an attempt that can no longer be paid has its end",
        select(Attempt.id).where(Attempt.state.in_(OPEN), Attempt.expires < _late),
        grace_minutes=30,
    ),
    Invariant(
        "attempt_paid_in_money",
        "an attempt counts as paid when its money was written down",
        select(Attempt.id).where(
            Attempt.state == "paid", ~exists().where(Payment.attempt_id == Attempt.id).correlate(Attempt)
        ),
    ),
    Invariant(
        "payment_of_its_attempt",
        "money is written down under the number and for the order of its attempt",
        select(Payment.id)
        .join(Attempt, Attempt.id == Payment.attempt_id)
        .where(
            or_(
                Payment.out_trade_no != Attempt.out_trade_no,
                Payment.order_id != Attempt.order_id,
                Payment.supplement_id.is_distinct_from(Attempt.supplement_id),
                Attempt.state != "paid",
            )
        ),
    ),
)
