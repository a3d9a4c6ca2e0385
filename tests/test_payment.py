"""Money is credited once, what cannot be credited goes back, and nothing goes back twice: on both databases."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from sqlalchemy import func, select, true
from sqlalchemy.exc import IntegrityError

from models import product, refund, settlement, tables
from models.address import Label
from models.base import Contended, Work
from models.checkout import Item, place
from models.figures import Figures
from models.follower import Followers
from models.hold import Hold
from models.order import NoSuchOrder, Order, Orders
from models.payment import Attempt, Attempts, Payment, PayOver, Trade, ask_next
from models.product import Products, Sku, SoldOut
from models.refund import MOST_PARTS, NO_CASHIER, Refund, Refunds, RefundTooMuch, TooManyParts
from models.refundglance import RefundGlance
from models.seal import Keys, Sealed
from models.settlement import settle_refund, settle_trade
from models.store import Store

NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
FIGURES = Figures()
HOME = Label("张三", "13800138000", "浙江省杭州市西湖区", "文三路1号")
T = TypeVar("T")
Step = Callable[[Work], Awaitable[T]]


class Shop:
    """A store and the steps on it, each in its own transaction, tried again as the desk does."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def step(self, step: Step[T], now: datetime = NOON, tries: int = 3) -> T:
        for attempt in range(tries):
            try:
                async with self.store.session() as session, session.begin():
                    work = Work(session, now)
                    done = await step(work)
                    await session.flush()
                    self.news = work.take_news()
                    return done
            except Contended:
                if attempt == tries - 1:
                    raise
        raise AssertionError

    async def order(self, who: str = "o1", many: int = 1, label: str = "200g 罐装") -> Order:
        async def one(work: Work) -> Order:
            follower = await Followers(work).meet("wechat", "gh_x", who, work.now)
            products = Products(work)
            found = await products.get("A2")
            sku = next(s for s in await products.skus(found.id) if s.label == label)
            item = Item(*await products.sku(sku.id), many)
            return (await place(work, follower.id, [item], to=HOME, terms=None, play="", figures=FIGURES))[0]

        return await self.step(one)

    async def attempt(self, order: Order, now: datetime = NOON) -> Attempt:
        async def one(work: Work) -> Attempt:
            held = await Orders(work).hold_id(order.id)
            return await Attempts(work).start(held, "native")

        return await self.step(one, now)

    async def settle(self, trade: Trade, now: datetime = NOON) -> str:
        async def one(work: Work) -> str:
            return (await settle_trade(work, trade, FIGURES)).outcome

        return await self.step(one, now)

    async def count(self, statement: Any) -> int:
        row = await self.store.reader.one(statement)
        assert row is not None
        return int(row[0] or 0)

    async def state(self, order: Order) -> str:
        row = await self.store.reader.one(select(Order.state).where(Order.id == order.id))
        assert row is not None
        return str(row.state)

    async def whole(self) -> None:
        """Every invariant holds."""
        late = NOON - timedelta(days=1)
        found = [i for _, i in tables.invariants()] + list(settlement.INVARIANTS)
        for invariant in found:
            binds = {b.key: late for b in invariant.statement.compile().binds.values() if b.key in ("now", "late")}
            rows = await self.store.reader.all(invariant.statement.params(**binds))
            assert not rows, invariant.sentence


@pytest.fixture
async def shop(database: str) -> AsyncIterator[Shop]:
    Sealed.keys = Keys("k" * 32)
    store = Store(database)
    yield Shop(store)
    await store.close()


def paid(attempt: Attempt, number: str = "4200001", **other: Any) -> Trade:
    given = {
        "out_trade_no": attempt.out_trade_no, "state": "SUCCESS", "transaction_id": number,
        "amount_fen": attempt.amount_fen, "currency": "CNY", "payer": "oPayer", "at": NOON, "source": "callback",
    }  # fmt: skip
    return Trade(**(given | other))


async def test_the_same_money_heard_many_times_at_once_is_credited_once(shop: Shop) -> None:
    order = await shop.order(many=2)
    attempt = await shop.attempt(order)
    outcomes = await asyncio.gather(*(shop.settle(paid(attempt)) for _ in range(8)))
    assert sorted(outcomes) == ["again"] * 7 + ["credited"]
    assert await shop.count(select(func.count(Payment.id))) == 1
    sku = await shop.store.reader.one(select(Sku.on_hand, Sku.held).join(Hold, Hold.thing == Sku.id))
    assert sku is not None
    assert tuple(sku) == (1, 0), "what was held has left the shelf, once"
    await shop.whole()


async def test_without_the_guard_the_unique_key_still_stops_a_second_credit(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control twin: the second hearing gets past the guard, and is no longer told from new money."""
    attempt = await shop.attempt(await shop.order())
    assert await shop.settle(paid(attempt)) == "credited"

    async def never(work: Work, transaction_id: str) -> bool:
        return False

    monkeypatch.setattr(settlement, "known", never)
    with pytest.raises(Contended):
        await shop.settle(paid(attempt))
    assert await shop.count(select(func.count(Payment.id))) == 1


async def test_a_second_payment_for_a_paid_order_goes_back(shop: Shop) -> None:
    order = await shop.order()
    attempt = await shop.attempt(order)
    await shop.settle(paid(attempt))
    assert await shop.settle(paid(attempt, "4200002")) == "orphan"
    owed = await shop.store.reader.one(select(Refund.amount_fen, Refund.next_try, Refund.state))
    assert owed is not None
    assert tuple(owed) == (attempt.amount_fen, NOON + timedelta(minutes=10), "due")
    assert await shop.state(order) == "paid"
    await shop.whole()


async def test_what_else_it_could_be_paid_by_is_closed_at_once_when_money_comes_another_way(shop: Shop) -> None:
    """Its first number was closed, and money came by it all the same: by the second it would be paid twice."""
    order = await shop.order()
    first = await shop.attempt(order)
    assert await shop.settle(paid(first, state="CLOSED")) == "closed"
    second = await shop.attempt(order)
    assert second.out_trade_no != first.out_trade_no
    later = NOON + timedelta(seconds=20)
    assert second.ask_next > later
    assert await shop.settle(paid(first), later) == "credited"
    asked = await shop.count(
        select(func.count(Attempt.id)).where(Attempt.out_trade_no == second.out_trade_no, Attempt.ask_next == later)
    )
    assert asked == 1
    await shop.whole()


@pytest.mark.parametrize("wrong", [{"amount_fen": 1}, {"currency": "USD"}])
async def test_wrong_money_pays_nothing_and_is_owed_back(shop: Shop, wrong: dict[str, Any]) -> None:
    order = await shop.order()
    attempt = await shop.attempt(order)
    assert await shop.settle(paid(attempt, **wrong)) == "orphan"
    assert await shop.state(order) == "pending"
    assert await shop.settle(paid(await shop.attempt(order), "4200002")) == "credited", "a new attempt may still pay"
    await shop.whole()


async def costs_otherwise(shop: Shop) -> tuple[Order, Attempt]:
    """An order that costs more since its number was closed: it goes to another place."""
    order = await shop.order()
    first = await shop.attempt(order)
    assert await shop.settle(paid(first, state="CLOSED")) == "closed"

    async def further(work: Work) -> None:
        held = await Orders(work).hold_id(order.id)
        held.freight_fen += 500
        held.recount()

    await shop.step(further)
    return order, first


async def test_money_under_a_closed_number_pays_nothing_where_the_order_has_come_to_cost_something_else(
    shop: Shop,
) -> None:
    order, first = await costs_otherwise(shop)
    assert await shop.settle(paid(first)) == "orphan"
    assert await shop.state(order) == "pending"
    assert await shop.count(select(Refund.amount_fen)) == first.amount_fen
    assert await shop.settle(paid(await shop.attempt(order), "4200002")) == "credited"
    await shop.whole()


async def test_without_the_guard_an_order_is_paid_by_what_it_cost_before(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control twin."""
    _, first = await costs_otherwise(shop)
    monkeypatch.setattr(settlement, "another_sum", lambda bill, trade: "")
    assert await shop.settle(paid(first)) == "credited"
    with pytest.raises(AssertionError, match="what is credited is what the order costs"):
        await shop.whole()


async def test_money_for_a_number_that_is_not_ours_touches_nothing(shop: Shop) -> None:
    attempt = await shop.attempt(await shop.order())
    assert await shop.settle(paid(attempt, out_trade_no="tp-somebody-elses")) == "foreign"
    assert await shop.count(select(func.count(Payment.id))) == 0


async def test_a_closing_order_waits_for_the_cashiers_word(shop: Shop) -> None:
    order = await shop.order(many=3)
    attempt = await shop.attempt(order)

    async def begin(work: Work) -> None:
        (await Orders(work).hold_id(order.id)).begin_closing("buyer", work.now)

    await shop.step(begin)
    with pytest.raises(SoldOut):
        await shop.order("o2")
    assert await shop.settle(paid(attempt, state="NOTPAY", transaction_id="")) == "waiting"
    assert await shop.state(order) == "closing"
    assert await shop.settle(paid(attempt, state="CLOSED", transaction_id="")) == "closed"
    assert await shop.state(order) == "closed"
    await shop.order("o2", 3)
    assert await shop.settle(paid(attempt)) == "orphan", "late money never revives an order"
    assert await shop.state(order) == "closed"
    await shop.whole()


async def test_a_closing_order_that_was_paid_after_all_is_paid(shop: Shop) -> None:
    order = await shop.order()
    attempt = await shop.attempt(order)

    async def begin(work: Work) -> None:
        (await Orders(work).hold_id(order.id)).begin_closing("timeout", work.now)

    await shop.step(begin)
    assert await shop.settle(paid(attempt, source="close")) == "credited"
    assert await shop.state(order) == "paid"
    await shop.whole()


async def test_an_order_has_one_open_attempt_and_none_after_its_time(shop: Shop) -> None:
    order = await shop.order()
    attempts = await asyncio.gather(*(shop.attempt(order) for _ in range(5)))
    assert len({a.out_trade_no for a in attempts}) == 1
    assert order.no not in attempts[0].out_trade_no
    assert len(attempts[0].out_trade_no) <= 32
    with pytest.raises(PayOver):
        await shop.attempt(order, NOON + timedelta(minutes=30))


async def test_of_many_buyers_exactly_as_many_get_a_piece_as_there_are(shop: Shop) -> None:
    async def one(n: int) -> bool:
        try:
            await shop.order(f"o{n}")
        except (SoldOut, Contended):
            return False
        return True

    got = await asyncio.gather(*(one(n) for n in range(12)))
    assert sum(got) == 3
    await shop.whole()


async def test_without_the_guard_of_the_stock_the_shelf_itself_has_to_stop_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control twin: with the guard off, a held piece too many gets as far as the table's own check."""
    monkeypatch.setattr(product, "room_for", lambda quantity: true())
    monkeypatch.setattr(Sku, "left", property(lambda sku: 99))
    with pytest.raises(IntegrityError):
        await shop.order(many=4)


async def test_refunds_never_exceed_what_came_in(shop: Shop) -> None:
    order = await shop.order()
    attempt = await shop.attempt(order)
    await shop.settle(paid(attempt))
    half = attempt.amount_fen // 2 + 1

    async def owe(n: int) -> bool:
        async def one(work: Work) -> None:
            payment = (await work.one(select(Payment.id))).id  # type: ignore[union-attr]
            await Refunds(work).owe(payment, half, "after-sale", work.now, seq=n)

        try:
            await shop.step(one)
        except RefundTooMuch:
            return False
        return True

    assert sum(await asyncio.gather(*(owe(n) for n in range(5)))) == 1
    await shop.whole()


async def test_without_the_guard_of_refunds_the_table_has_to_stop_them(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = await shop.attempt(await shop.order())
    await shop.settle(paid(attempt))
    monkeypatch.setattr(refund, "within", lambda amount_fen: true())

    async def one(work: Work) -> None:
        payment = (await work.one(select(Payment.id))).id  # type: ignore[union-attr]
        await Refunds(work).owe(payment, attempt.amount_fen + 1, "after-sale", work.now)

    with pytest.raises(IntegrityError):
        await shop.step(one)


async def test_a_refund_of_a_whole_order_gives_its_goods_back_once(shop: Shop) -> None:
    order = await shop.order(many=3)
    attempt = await shop.attempt(order)
    await shop.settle(paid(attempt))

    async def undo(work: Work) -> str:
        held = await Orders(work).hold_id(order.id)
        await Orders(work).undo(held, "refunded")
        owed = await Refunds(work).owe_all(order.id, "changed_mind", work.now)
        assert await Refunds(work).owe_all(order.id, "changed_mind", work.now) == owed
        (one,) = owed
        return one.out_refund_no

    number = await shop.step(undo)
    for state in ("PROCESSING", "SUCCESS", "SUCCESS", "PROCESSING"):

        async def seen(work: Work, state: str = state) -> str:
            return await settle_refund(work, number, state, "")

        await shop.step(seen)
    joined = select(Order.refunded_fen, Refund.state).join(Refund, Refund.order_id == Order.id)
    row = await shop.store.reader.one(joined)
    assert row is not None
    assert tuple(row) == (order.total_fen, "done")
    await shop.order("o2", 3)
    await shop.whole()


async def paid_for(shop: Shop) -> tuple[Order, int]:
    order = await shop.order()
    attempt = await shop.attempt(order)
    await shop.settle(paid(attempt))
    return order, attempt.amount_fen


async def test_the_fiftieth_part_is_all_that_is_left(shop: Shop) -> None:
    order, fen = await paid_for(shop)

    async def part(work: Work, amount: int, seq: int) -> int:
        (one,) = await Refunds(work).owe_back(order.id, amount, "part", work.now, seq)
        return one.amount_fen

    for n in range(MOST_PARTS - 1):
        await shop.step(lambda work, n=n: part(work, 1, n))
    with pytest.raises(TooManyParts):
        await shop.step(lambda work: part(work, 1, 99))
    with pytest.raises(RefundTooMuch):
        await shop.step(lambda work: part(work, fen, 99))
    assert await shop.step(lambda work: part(work, fen - MOST_PARTS + 1, 99)) == fen - MOST_PARTS + 1
    assert await shop.count(select(func.count(Refund.id))) == MOST_PARTS
    await shop.whole()


async def test_two_of_one_payment_are_asked_for_in_turn(shop: Shop) -> None:
    order, _ = await paid_for(shop)

    async def two(work: Work) -> list[str]:
        refunds = Refunds(work)
        return [(await refunds.owe_back(order.id, 100, "part", work.now, n))[0].out_refund_no for n in (1, 2)]

    first, second = await shop.step(two)
    glance = RefundGlance(shop.store.reader)
    assert await glance.due(NOON) == [first]

    async def asked(work: Work) -> None:
        refund = await Refunds(work).hold(first)
        assert refund is not None
        await Refunds(work).try_again(refund)

    await shop.step(asked)
    assert await glance.due(NOON + timedelta(seconds=59)) == [second]


async def test_what_is_owed_of_an_order_is_owed_once_whoever_asks(shop: Shop) -> None:
    order, fen = await paid_for(shop)

    async def owes(work: Work) -> list[str]:
        await Orders(work).hold_id(order.id)
        return [r.out_refund_no for r in await Refunds(work).owe_back(order.id, 500, "part", work.now, 7)]

    assert await shop.step(owes) == await shop.step(owes)
    assert await shop.count(select(Payment.refund_reserved_fen)) == 500

    async def rest(work: Work) -> int:
        return sum(one.amount_fen for one in await Refunds(work).owe_all(order.id, "rest", work.now))

    assert await shop.step(rest) == fen - 500
    assert await shop.step(rest) == fen - 500, "the same again, and no more of it"
    await shop.whole()


async def test_a_foreign_number_is_a_missing_number(shop: Shop) -> None:
    order = await shop.order()

    async def look(work: Work) -> None:
        await Orders(work).by_no(order.no, order.follower_id + 1)

    with pytest.raises(NoSuchOrder):
        await shop.step(look)


def test_a_refund_that_is_done_stays_done_whatever_comes_after() -> None:
    one = Refund(state="due", tries=0)
    assert one.said("SUCCESS", "", NOON)
    for late in ("PROCESSING", "CLOSED", "ABNORMAL", "UNKNOWN", "REFUSED"):
        assert not one.said(late, "", NOON)
    assert one.state == "done"


def test_a_refund_that_was_accepted_is_not_given_up_because_its_repetition_is_refused() -> None:
    accepted = Refund(state="due", tries=1, error="")
    assert accepted.said("PROCESSING", "", NOON)
    assert not accepted.said("REFUSED", "INVALID_REQUEST", NOON)
    assert (accepted.state, accepted.error) == ("asked", "")
    assert accepted.said("REFUSED", NO_CASHIER, NOON), "who gave up the cashier hears of no end of it"
    assert accepted.state == "due"


def test_what_the_cashier_gives_up_is_left_to_a_person_and_may_still_be_done() -> None:
    for gave_up in ("CLOSED", "ABNORMAL"):
        one = Refund(state="asked", tries=1)
        assert one.said(gave_up, "", NOON)
        assert (one.state, one.error, one.next_try) == ("failed", gave_up, NOON)
        assert not one.said("PROCESSING", "", NOON)
        assert one.said("SUCCESS", "", NOON)


def test_too_little_money_at_the_cashier_is_tried_again_and_a_definite_no_is_not() -> None:
    one = Refund(state="due", tries=0)
    one.said("REFUSED", "not_enough", NOON)
    assert one.state == "due"
    one.said("REFUSED", "INVALID_REQUEST", NOON)
    assert one.state == "failed"


def test_the_cashier_is_asked_after_a_minute_and_then_ever_more_seldom() -> None:
    waits = [ask_next(n, NOON) - NOON for n in range(8)]
    assert waits[0] == timedelta(minutes=1)
    assert waits == sorted(waits)
    assert waits[-1] == timedelta(minutes=10)
