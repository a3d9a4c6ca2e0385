"""An order moves along its listed edges, and along no others."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import carrier
from models.base import Contended
from models.order import EDGES, WORDS, NotNow, Order, OrderPaid, OrderReady, OrderShipped

NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
STEPS: dict[str, Callable[[Order], object]] = {
    "paid": lambda o: o.pay(NOON),
    "closed": lambda o: o.close("buyer", NOON),
    "closing": lambda o: o.begin_closing("buyer", NOON),
    "forming": lambda o: o.form(1, NOON),
    "filled": lambda o: o.fill(NOON),
    "shipped": lambda o: o.ship("顺丰", "SF123", NOON),
    "completed": lambda o: o.receive(NOON),
    "changed": lambda o: o.amend("note", NOON),
    "packed": lambda o: o.pack(NOON),
    "parted": lambda o: o.part_ship("顺丰", "SF1", NOON),
    "handed over": lambda o: o.deliver(NOON),
    "late": lambda o: o.break_promise(NOON, NOON),
}


def new(state: str = "pending") -> Order:
    return Order(
        id=1, no="7K2M9P4Q", pay_code="X" * 10, follower_id=1, state=state, goods_fen=1900, discount_fen=0,
        freight_fen=800, total_fen=2700, refunded_fen=0, play="", group_id=None, promise_hours=48, carrier="",
        tracking="", closed_cause="", ships=False, promise_warned=False,
        made=NOON, pay_until=NOON + timedelta(minutes=30), version=1,
    )  # fmt: skip


@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=12))
def test_whatever_is_tried_an_order_keeps_to_its_edges(steps: list[str]) -> None:
    order = new()
    for name in steps:
        before = order.state
        try:
            STEPS[name](order)
        except NotNow:
            assert order.state == before
        else:
            assert order.state == before or (before, order.state) in EDGES
        assert order.state in WORDS
        assert (order.paid_at is not None) or order.state in ("pending", "closing", "closed")


def test_every_state_can_be_left_but_the_last_ones() -> None:
    ends = {state for state in WORDS if not any(a == state != b for a, b in EDGES)}
    assert ends == {"closed", "completed"}


def test_a_closed_order_is_never_paid() -> None:
    order = new()
    order.close("timeout", NOON)
    with pytest.raises(NotNow):
        order.pay(NOON)
    assert order.state == "closed"


def test_only_a_forming_order_is_released_by_its_group_and_only_an_unpaid_one_by_money() -> None:
    order = new()
    with pytest.raises(NotNow):
        order.fill(NOON)
    order.pay(NOON)
    order.form(1, NOON)
    with pytest.raises(NotNow):
        order.pay(NOON)
    assert order.state == "forming"


def test_the_promise_begins_when_the_goods_may_leave() -> None:
    order = new()
    order.pay(NOON)
    assert order.promised_at == NOON + timedelta(hours=48)
    order.form(1, NOON)
    assert order.promised_at is None
    later = NOON + timedelta(hours=5)
    order.fill(later)
    assert order.promised_at == later + timedelta(hours=48)
    assert [type(event) for event in order.take_news()] == [OrderPaid, OrderReady]


def test_the_same_parcel_number_again_changes_nothing_and_another_one_puts_it_right() -> None:
    order = new()
    order.pay(NOON)
    order.take_news()
    assert order.ship("顺丰", "SF123", NOON)
    assert not order.ship("顺丰", "SF123", NOON + timedelta(minutes=5))
    assert order.ship("顺丰", "SF124", NOON + timedelta(minutes=5))
    assert order.shipped_at == NOON
    assert [event.tracking for event in order.take_news() if isinstance(event, OrderShipped)] == ["SF123", "SF124"]


def test_more_than_was_paid_never_goes_back() -> None:
    order = new("paid")
    order.paid_back(2000)
    with pytest.raises(Contended):
        order.paid_back(701)
    order.paid_back(700)
    assert order.refunded_fen == 2700


@pytest.mark.parametrize(
    ("tracking", "names"), [("SF1234567890", ["顺丰"]), ("JT0012345678901", ["极兔"]), ("EA123456789CN", ["邮政"])]
)
def test_a_parcel_number_names_its_carrier(tracking: str, names: list[str]) -> None:
    assert carrier.of_number(tracking) == names


def test_a_carrier_is_known_by_its_other_names() -> None:
    assert carrier.named("顺丰速运") == "顺丰"
    assert carrier.named("EMS") == "邮政"
    assert carrier.named("飞鸽") == ""


def test_what_is_packed_has_no_second_thoughts() -> None:
    order = new()
    order.amend("address", NOON)
    order.pay(NOON)
    order.amend("note", NOON)
    order.pack(NOON)
    with pytest.raises(NotNow):
        order.amend("note", NOON)
    assert not order.changeable


def test_only_what_does_not_travel_is_delivered_by_itself() -> None:
    order = new()
    order.pay(NOON)
    order.ships = True
    with pytest.raises(NotNow):
        order.deliver(NOON)
    order.ships = False
    order.deliver(NOON)
    assert order.state == "completed"


def test_an_order_that_waits_for_its_group_does_not_begin_to_wait_again() -> None:
    order = new()
    order.pay(NOON)
    order.form(1, NOON)
    with pytest.raises(NotNow):
        order.form(2, NOON)
    assert order.group_id == 1


def test_the_promise_waits_for_the_end_of_a_rest_and_keeps_the_same_day_hour() -> None:
    resting, early, late = new(), new(), new()
    resting.promise_after = NOON + timedelta(days=3)
    resting.pay(NOON)
    assert resting.promised_at == NOON + timedelta(days=3, hours=48)
    for order in (early, late):
        order.cutoff_at, order.cutoff_due = NOON + timedelta(hours=4), NOON + timedelta(hours=12)
    early.pay(NOON + timedelta(hours=4))
    late.pay(NOON + timedelta(hours=4, seconds=1))
    assert early.promised_at == NOON + timedelta(hours=12)
    assert late.promised_at == NOON + timedelta(hours=52, seconds=1)
