"""What only shows when orders, holds, seats, attempts, groups and staff are read together; nothing is changed here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, bindparam, exists, func, or_, select

from models.audit import Audit
from models.base import Invariant, Moment
from models.groupbuy import PLAY, Group, Seat
from models.hold import Hold
from models.order import PAID, UNPAID, Order, OrderMove
from models.outbox import Outbox
from models.payment import OPEN, Attempt, Payment
from models.refund import Refund
from models.staff import Staff
from models.talk import Talk

_late = bindparam("late", type_=Moment())


def _moves() -> Any:
    """Each step of an order with the state that the step before it led to."""
    before = func.lag(OrderMove.after).over(partition_by=OrderMove.order_id, order_by=OrderMove.id)
    return select(OrderMove.order_id, OrderMove.before, before.label("came")).subquery()


def _unconnected() -> Any:
    moves = _moves()
    return select(moves.c.order_id).where(moves.c.before != func.coalesce(moves.c.came, "pending"))


def _elsewhere() -> Any:
    latest = (
        select(OrderMove.after)
        .where(OrderMove.order_id == Order.id)
        .order_by(OrderMove.id.desc())
        .limit(1)
        .correlate(Order)
        .scalar_subquery()
    )
    return select(Order.id).where(Order.state != func.coalesce(latest, "pending"))


def _holds(*states: str) -> Any:
    """Whether an order has a hold in one of these states."""
    return exists().where(Hold.order_id == Order.id, Hold.state.in_(states)).correlate(Order)


def _seated(*states: str) -> Any:
    """Whether an order has a seat of its group in one of these states."""
    mine = (Seat.order_id == Order.id, Seat.group_id == Order.group_id, Seat.state.in_(states))
    return exists().where(*mine).correlate(Order)


def _strangers() -> Any:
    foreign = or_(Order.id.is_(None), Order.follower_id != Seat.follower_id)
    other = or_(Order.group_id.is_(None), Order.group_id != Seat.group_id)
    return select(Seat.id).outerjoin(Order, Order.id == Seat.order_id).where(or_(foreign, other))


def _seats_apart() -> Any:
    # In a group that has ended a paid seat stays on record, whatever becomes of its order.
    paid_for_nothing = and_(
        Seat.state == "taken",
        or_(Order.state.in_(UNPAID), and_(Order.state == "closed", Group.state == "forming")),
    )
    joined = select(Seat.id).join(Order, Order.id == Seat.order_id).join(Group, Group.id == Seat.group_id)
    return joined.where(or_(paid_for_nothing, and_(Seat.state == "held", Order.state.not_in(UNPAID))))


def _headless() -> Any:
    sits = exists().where(Seat.group_id == Group.id, Seat.follower_id == Group.head_id, Seat.state == "taken")
    return select(Group.id).where(Group.state == "forming", Group.paid_seats > 0, ~sits.correlate(Group))


def _left_waiting() -> Any:
    waits = or_(
        and_(Group.state == "failed", Order.state.in_(PAID)), and_(Group.state == "filled", Order.state == "forming")
    )
    return select(Order.id).join(Group, Group.id == Order.group_id).where(waits, Group.ended < _late)


def _leaving_alone() -> Any:
    full = exists().where(Group.id == Order.group_id, Group.state == "filled").correlate(Order)
    may_leave = (Order.play.startswith(PLAY, autoescape=True), Order.state.in_(["paid", "shipped", "completed"]))
    return select(Order.id).where(*may_leave, ~full, Order.paid_at < _late)


def _spare() -> Any:
    changes = (Refund.order_id == Order.id, Refund.reason == "change")
    owed = select(func.coalesce(func.sum(Refund.amount_fen), 0)).where(*changes).correlate(Order).scalar_subquery()
    return select(Order.id).where(Order.spare_fen != owed)


def _unasked() -> Any:
    missed = (
        select(func.count(Outbox.id))
        .where(Outbox.follower_id == Talk.follower_id, Outbox.state == "missed")
        .correlate(Talk)
        .scalar_subquery()
    )
    return select(Talk.follower_id).where(Talk.missed != missed)


INVARIANTS = (
    Invariant("order_moves_connected", "each step of an order begins where the last one ended", _unconnected()),
    Invariant("order_at_its_last_move", "an order stands where its last step led", _elsewhere()),
    Invariant(
        "hold_kept_while_payable",
        "who may still pay finds everything held",
        select(Order.id).where(Order.state.in_(UNPAID), _holds("taken", "freed")),
    ),
    Invariant(
        "hold_freed_if_closed",
        "a closed order keeps nothing from others",
        select(Order.id).where(Order.state == "closed", _holds("taken")),
    ),
    Invariant(
        "hold_ends",
        "nothing is held long after its time",
        select(Hold.id).where(Hold.state == "held", Hold.until < _late),
        grace_minutes=20,
    ),
    Invariant(
        "hold_outlives_attempt",
        "what is held is held for as long as it can be paid",
        select(Hold.id)
        .join(Attempt, Attempt.order_id == Hold.order_id)
        .where(Hold.state == "held", Attempt.state.in_(OPEN), Attempt.expires > Hold.until),
    ),
    Invariant("seat_has_order", "every seat belongs to an order of the one who sits there", _strangers()),
    Invariant("seat_follows_order", "a seat is paid exactly as its order is", _seats_apart()),
    Invariant(
        "seat_paid_in_time",
        "nobody sits who paid after the group had ended",
        select(Seat.id)
        .join(Order, Order.id == Seat.order_id)
        .join(Group, Group.id == Seat.group_id)
        .where(Seat.state == "taken", Order.paid_at > Group.ended),
    ),
    Invariant(
        "order_forming_seated",
        "who waits for a group sits in it",
        select(Order.id).where(Order.state == "forming", ~_seated("taken")),
    ),
    Invariant(
        "group_ended_dated",
        "a group says when it ended, exactly when it has",
        select(Group.id).where((Group.state == "forming") != Group.ended.is_(None)),
    ),
    Invariant("group_head_sits", "the head of a group has paid for a seat", _headless()),
    Invariant("group_ends_for_all", "a group that has ended lets every order go, or pays it back", _left_waiting(), 20),
    Invariant(
        "group_refund_true",
        "money goes back for a failed group only when the group has failed",
        select(Refund.id)
        .join(Order, Order.id == Refund.order_id)
        .outerjoin(Group, Group.id == Order.group_id)
        .where(Refund.reason == "group_failed", func.coalesce(Group.state, "") != "failed"),
    ),
    Invariant(
        "group_order_leaves_when_full", "nothing leaves at a group's price but from a full group", _leaving_alone(), 20
    ),
    Invariant("order_spare_goes_back", "what a change made spare of a paid order is owed back, to the fen", _spare()),
    Invariant(
        "refund_for_what_came",
        "what came too late goes back as that, and nothing else does",
        select(Refund.id)
        .join(Payment, Payment.id == Refund.payment_id)
        .where((Refund.reason == "late") != (Payment.state == "orphan")),
    ),
    Invariant(
        "refund_of_all_ends_the_order",
        "who has the whole of it paid back has no order any more",
        select(Refund.id)
        .join(Order, Order.id == Refund.order_id)
        .where(Refund.reason.in_(["seller", "left_group", "group_failed"]), Order.state != "closed"),
    ),
    Invariant("talk_counts_missed", "what could not be sent is waiting to be shown", _unasked()),
    Invariant(
        "staff_bound",
        "who works here has bound a code, and that was written down",
        select(Staff.id).where(~exists().where(Audit.follower_id == Staff.follower_id, Audit.act == "bind")),
    ),
)
