"""The money path as one machine: whatever is done in whatever order, no invariant breaks, and all comes to its end."""

import asyncio
import shutil
import sqlite3
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import aiosqlite
import pytest
from backroom import HOME, NOON, Backroom, Crash, inline
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select, text
from town import Blank

from bot.pay.told import RefundState, Trade, refund_of, trade_of
from bot.simulator.cashier_books import Order as Sold
from bot.simulator.stage import make_owner
from handlers.intents import BuyLines, CancelOrder, LeaveGroup, ReceiveOrder, SellerCancelNow
from models import tables
from models.groupbuy import Group
from models.ledger import Entry
from models.offer import Offer
from models.order import UNPAID, Order, Orders
from models.outbox import Outbox
from models.payment import Payment
from models.product import Sku
from models.refund import Refund, Refunds
from models.verify import offenders

PEOPLE = ("oA", "oB", "oC", "oD")
BOSS = "oBoss"
STOCK = 12
WANTED = (
    "pay",
    "pay late",
    "pay wrong",
    "by hand",
    "call back",
    "cancel",
    "ship",
    "refund all",
    "refund part",
    "crashed",
)
POINTS = (
    "desk.message.commit",
    "desk.message.committed",
    "desk.page.commit",
    "desk.page.committed",
    "desk.fact.begin",
    "desk.fact.commit",
    "desk.fact.committed",
    "desk.tick.commit",
    "desk.tick.committed",
    "courier.claim.commit",
    "courier.claim.committed",
    "courier.performed",
    "till.prepay.asked",
    "till.query.asked",
    "till.close.asked",
    "till.refund.asked",
)


@dataclass
class Prepared:
    """A shop with its people in it, to which every run of the machine returns."""

    room: Backroom
    loop: asyncio.AbstractEventLoop
    file: Path | None
    plain: list[int]  # specs
    offered: int
    empty: list[str] = field(default_factory=list)  # tables that had nothing in them
    steps: int = 0
    fired: Counter[str] = field(default_factory=Counter)

    def run(self, act: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(act)

    def back(self) -> None:
        """Everything as it was."""
        room = self.room
        room.reborn()
        room.clock.freeze(NOON)
        room.books.orders.clear()
        room.books.refunds.clear()
        room.books.not_enough = False
        room.counter.moods.clear()
        room.counter.asked.clear()
        room.mouth.said.clear()
        if self.file is not None:
            with sqlite3.connect(self.file) as kept, sqlite3.connect(room.store.path) as now:
                kept.backup(now)
            return
        self.run(self._emptied())

    async def _emptied(self) -> None:
        async with self.room.store.engine.begin() as connection:
            # As a replica's, so that neither foreign keys nor append-only triggers stand in the way.
            await connection.execute(text("SET LOCAL session_replication_role = replica"))
            for name in {*self.empty, "tick"}:
                await connection.execute(text(f'DELETE FROM "{name}"'))
            await connection.execute(text("UPDATE talk SET missed = 0"))
            await connection.execute(text(f"UPDATE sku SET on_hand = {STOCK}, held = 0"))


class Money(RuleBasedStateMachine):
    """Buyers, a merchant, a cashier and their bad days."""

    prepared: ClassVar[Prepared]

    def __init__(self) -> None:
        super().__init__()
        self.p, self.room = self.prepared, self.prepared.room
        self.orders: list[tuple[str, str, str]] = []  # number, pay code, whose
        self.notices: list[Trade | RefundState] = []
        self.elsewhere = 0
        self.p.back()

    # -- how a step is taken

    def act(self, name: str, act: Coroutine[Any, Any, Any]) -> Any:
        """One step, after which everything holds; the process may die in it, and then there is another one."""
        self.p.steps += 1
        self.p.fired[name] += 1
        try:
            return self.p.run(act)
        except Crash:
            self.p.fired["crashed"] += 1
            self.room.reborn()
            return None
        finally:
            broken = self.p.run(self.room.invariants.broken(self.room.clock.now()))
            assert not broken, broken

    async def _look(self) -> None:
        """Which orders there are."""
        rows = await self.room.store.reader.all(select(Order.no, Order.pay_code, Order.follower_id).order_by(Order.id))
        whose = {row[0]: row[1] for row in await self.room.store.reader.all(text("SELECT id, who FROM follower"))}  # type: ignore[arg-type]
        self.orders = [(row.no, row.pay_code, whose[row.follower_id]) for row in rows]

    def pick(self, n: int) -> tuple[str, str, str]:
        return self.orders[-1 - n % min(len(self.orders), 6)]

    def sold(self, *states: str) -> list[Sold]:
        return [order for order in self.room.books.orders.values() if order.state in states]

    # -- buyers

    @rule(who=st.sampled_from(PEOPLE), spec=st.integers(0, 1), many=st.integers(1, 3), twice=st.booleans())
    def place(self, who: str, spec: int, many: int, twice: bool) -> None:
        line = (self.p.plain[spec], many)
        lines = (line, (self.p.plain[spec], 1)) if twice else (line,)
        self.act("place", self.room.wishes(who, BuyLines(lines)))
        self.p.run(self._look())

    @rule(who=st.sampled_from(PEOPLE), spec=st.integers(0, 1), off=st.sampled_from((0, 0, 0, 1, -1)))
    def buy(self, who: str, spec: int, off: int) -> None:
        """All the way to the money, whose callback is on its way; at times it is the wrong sum."""
        self.place(who, spec, 1, False)
        if self.orders and self.orders[-1][2] == who:
            self.press(0)
            if waiting := self.sold("NOTPAY"):
                self._paid("pay" if not off else "pay wrong", waiting[-1], off)

    @rule(who=st.sampled_from(PEOPLE), n=st.integers(0, 3))
    def join(self, who: str, n: int) -> None:
        """Opens a group or takes a seat in one, and pays."""

        async def one() -> None:
            codes = await self.room.rows(select(Group.code).where(Group.state == "forming").order_by(Group.id))
            play = f"group:{codes[n % len(codes)]}" if codes and n else "group:new"
            await self.room.wishes(who, BuyLines(((self.p.offered, 1),), play))

        self.act("join", one())
        self.p.run(self._look())
        if self.orders and self.orders[-1][2] == who and n < 3:
            self.press(0)
            if waiting := self.sold("NOTPAY"):
                self._paid("pay", waiting[-1], 0)

    @precondition(lambda self: self.orders)
    @rule(n=st.integers(0, 5))
    def press(self, n: int) -> None:
        """The pay page's button."""
        self.act("press", self.room.presses(self.pick(n)[1]))

    @precondition(lambda self: self.sold("NOTPAY", "CLOSED"))
    @rule(n=st.integers(0, 5), late=st.booleans())
    def pay(self, n: int, late: bool) -> None:
        """Money for whatever can be paid; `late`: or could be, by somebody who was typing the password."""
        waiting = self.sold("NOTPAY", "CLOSED") if late else self.sold("NOTPAY")
        if waiting:
            order = waiting[-1 - n % len(waiting)]
            over = order.state == "CLOSED" or self.room.clock.now() >= order.expires
            if late or not over:
                self._paid("pay late" if over else "pay", order, 0)

    def _paid(self, name: str, order: Sold, off: int) -> None:
        order.state, order.expires = "NOTPAY", max(order.expires, self.room.clock.now() + timedelta(minutes=1))
        order.codes[order.code] = order.expires
        order.total = max(1, order.total + off)
        self.room.books.pay(order.code, "oPayer", 0)
        self.notices.append(trade_of(self.room.books.trade(order)))
        self.p.fired[name] += 1

    @precondition(lambda self: self.notices)
    @rule(n=st.integers(0, 30), times=st.sampled_from((1, 2, 3)), keep=st.booleans())
    def call_back(self, n: int, times: int, keep: bool) -> None:
        """Any of the callbacks, in any order, more than once, and perhaps again later."""
        self._call_back(self.notices[n % len(self.notices)], times, keep)

    @precondition(lambda self: len(self.notices) > 1)
    @rule(mixed=st.randoms(use_true_random=False))
    def call_back_all(self, mixed: Random) -> None:
        for told in mixed.sample(self.notices, len(self.notices))[:6]:
            self._call_back(told, 1, False)

    def _call_back(self, told: Trade | RefundState, times: int, keep: bool) -> None:
        async def one() -> bool:
            for _ in range(times):
                await self.room.hears_of(told)
            return True

        if self.act("call back", one()) and not keep:  # one that nobody acknowledged comes again
            self.notices.remove(told)

    @precondition(lambda self: self.orders)
    @rule(n=st.integers(0, 5))
    def cancel(self, n: int) -> None:
        no, _, who = self.pick(n)

        async def one() -> None:
            await self.room.wishes(who, CancelOrder(no))
            await self.room.house.tasks.settle(5)

        self.act("cancel", one())

    @precondition(lambda self: self.orders)
    @rule(n=st.integers(0, 5), leave=st.booleans())
    def receive(self, n: int, leave: bool) -> None:
        """Has it; or leaves a group that has not filled."""
        no, _, who = self.pick(n)

        async def one() -> None:
            codes = await self.room.rows(select(Group.code).where(Group.state == "forming").order_by(Group.id))
            if codes:
                await self.room.wishes(who, LeaveGroup(codes[0]))
                await self.room.wishes(who, LeaveGroup(codes[0], "yes"))

        self.act("leave" if leave else "receive", one() if leave else self.room.wishes(who, ReceiveOrder(no)))

    # -- the merchant

    @precondition(lambda self: self.orders)
    @rule(n=st.integers(0, 5), what=st.sampled_from(("ship", "refund all", "refund part")), fen=st.integers(1, 3000))
    def serve(self, n: int, what: str, fen: int) -> None:
        no = self.pick(n)[0]

        async def part(work: Any) -> None:
            order = await Orders(work).hold_any(no)
            await Refunds(work).owe_back(order.id, fen, "part", work.now, seq=self.p.steps)

        if what == "ship":
            self.act(what, self.room.says(BOSS, f"发货 {no} 顺丰 SF{1000000000 + self.p.steps}"))
        elif what == "refund all":
            self.act(what, self.room.wishes(BOSS, SellerCancelNow(no, "没货")))
        else:
            self.act(what, self.room.does(part))

    # -- the cashier and the clock

    @precondition(lambda self: self.orders)
    @rule(minutes=st.sampled_from((1, 1, 2, 2, 6, 6, 11, 11, 31, 61, 1500)))
    def later(self, minutes: int) -> None:
        self.act("later", self.room.later("payment", "groupbuy", minutes=minutes))

    @precondition(lambda self: any(r.state == "PROCESSING" for r in self.room.books.refunds.values()))
    @rule(state=st.sampled_from(("SUCCESS", "SUCCESS", "SUCCESS", "ABNORMAL", "CLOSED")))
    def end_refunds(self, state: str) -> None:
        for refund in self.room.books.refunds.values():
            if refund.state == "PROCESSING":
                refund.state, refund.settled = state, self.room.clock.now()
                self.notices.append(refund_of(self.room.books.refunded(refund)))
                self.p.fired[f"refund {state}"] += 1

    @rule(what=st.sampled_from(("mood", "purse", "die", "die", "closed", "by hand")), data=st.data())
    def trouble(self, what: str, data: st.DataObject) -> None:
        room = self.room
        if what == "mood":
            one = st.sampled_from(("before", "after", "FREQUENCY_LIMITED", "NO_AUTH"))
            room.counter.moods = data.draw(st.lists(one, min_size=1, max_size=3))
        elif what == "purse":
            room.books.not_enough = not room.books.not_enough
        elif what == "die":
            room.dies_at(data.draw(st.sampled_from(POINTS)), data.draw(st.integers(1, 3)))
        elif what == "closed" and (waiting := self.sold("NOTPAY")):  # the cashier, of its own accord
            waiting[-1].state = "CLOSED"
        elif what == "by hand":
            self.p.run(self._by_hand())

    async def _by_hand(self) -> None:
        """Somebody pays back at the cashier's own desk what the shop has not heard of yet."""
        for order in self.sold("SUCCESS"):
            known = select(func.count()).select_from(Payment).where(Payment.transaction_id == order.transaction_id)
            if not await self.room.one(known):
                amount = {"refund": order.total, "total": order.total, "currency": "CNY"}
                said = {"out_refund_no": f"HAND{self.p.steps}", "out_trade_no": order.out_trade_no, "amount": amount}
                poor, self.room.books.not_enough = self.room.books.not_enough, False
                self.room.books.refund(said)
                self.room.books.not_enough = poor
                self.room.books.refunds[str(said["out_refund_no"])].state = "SUCCESS"  # of which nobody tells the shop
                self.elsewhere += order.total
                told = [n for n in self.notices if isinstance(n, Trade) and n.out_trade_no == order.out_trade_no]
                self.notices = [n for n in self.notices if n not in told] + [trade_of(self.room.books.trade(order))]
                self.p.fired["by hand"] += 1
                return

    # -- how it ends

    def teardown(self) -> None:
        try:
            self.p.run(self._ends())
        finally:
            self.room.reborn()

    async def _ends(self) -> None:
        """The bad days are over: all comes to its end by itself, and both books say the same."""
        room = self.room
        room.reborn()
        room.counter.moods.clear()
        room.books.not_enough = False
        for told in self.notices:
            await room.hears_of(told)
        for minutes in (2, 6, 11, 31, 61, 1500, 11, 61, 0):
            await room.later(*(("payment", "groupbuy") if minutes else ()), minutes=minutes)
            for refund in room.books.refunds.values():
                if refund.state == "PROCESSING":
                    refund.state, refund.settled = "SUCCESS", room.clock.now()
        found = await offenders(room.store, room.clock.now())
        broken = [(i.name, ids) for module, i, ids in found if module != "models.inbox"]
        assert not broken
        assert await room.rows(select(Order.no).where(Order.state.in_(UNPAID))) == []
        assert await room.rows(select(Sku.id).where(Sku.held != 0)) == []
        under_way = select(Outbox.name).where(Outbox.kind.in_(["errand", "event"]), Outbox.state != "done")
        assert await room.rows(under_way) == []
        paid = {o.transaction_id: o.total for o in self.sold("SUCCESS", "REFUND")}
        kept = await room.store.reader.all(select(Payment.transaction_id, Payment.amount_fen))
        assert {row.transaction_id: row.amount_fen for row in kept} == paid, "the cashier's money and ours"
        back = {r.out_refund_no: r.amount for r in room.books.refunds.values() if r.state == "SUCCESS"}
        back = {number: amount for number, amount in back.items() if not number.startswith("HAND")}
        done = await room.store.reader.all(
            select(Refund.out_refund_no, Refund.amount_fen).where(Refund.state == "done")
        )
        assert {row.out_refund_no: row.amount_fen for row in done} == back, "the cashier's refunds and ours"
        cash = await room.one(select(func.coalesce(func.sum(Entry.amount_fen), 0)).where(Entry.account == "cash"))
        assert cash == sum(paid.values()) - sum(back.values()) - self.elsewhere
        forced = {r.out_refund_no for r in room.books.refunds.values() if r.state in ("ABNORMAL", "CLOSED")}
        failed = await room.rows(select(Refund.out_refund_no).where(Refund.state != "done"))
        assert set(failed) <= forced, "a refund that the cashier would have made has not been made"
        goods = await room.one(select(func.sum(Sku.on_hand)).where(Sku.id.in_([*self.p.plain, self.p.offered])))
        sold = await room.store.reader.all(
            text("SELECT SUM(quantity) FROM hold WHERE kind = 'stock' AND state = 'taken'")
        )  # type: ignore[arg-type]
        assert goods + int(sold[0][0] or 0) == STOCK * 3


@pytest.fixture
def prepared(database: str, blank: Blank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Prepared]:
    """A shop whose people have said where they live, on either database."""
    monkeypatch.setattr(aiosqlite.Connection, "_execute", inline)
    shutil.copytree(blank.folder / "cashier", tmp_path / "cashier")
    loop = asyncio.new_event_loop()

    async def open_it() -> Prepared:
        room = Backroom(tmp_path, database)
        await room.open()
        for who in PEOPLE:
            await room.says(who, f"地址 {HOME}")
        await room.says(BOSS, f"绑定 {await make_owner(room.house)}")
        offered = await room.one(select(Offer.sku_id).order_by(Offer.id))
        plain = await room.rows(select(Sku.id).where(Sku.id != offered).order_by(Sku.id).limit(2))
        async with room.store.engine.begin() as connection:
            await connection.execute(text("UPDATE sku SET held = 0, on_hand = 0"))
            await connection.execute(text(f"UPDATE sku SET on_hand = {STOCK}"))
            full = [
                t.name for t in tables.metadata.sorted_tables if (await connection.execute(t.select().limit(1))).first()
            ]
        file = None
        if room.store.sqlite:
            file = tmp_path / "prepared.db"
            with sqlite3.connect(room.store.path) as now, sqlite3.connect(file) as kept:
                now.backup(kept)
        empty = [t.name for t in tables.metadata.sorted_tables if t.name not in full] + ["speech"]
        return Prepared(room, loop, file, plain, offered, list(dict.fromkeys(empty)))

    made = loop.run_until_complete(open_it())
    yield made
    loop.run_until_complete(made.room.close())
    loop.close()


def test_whatever_is_done_no_fen_is_lost_and_all_comes_to_its_end(prepared: Prepared, long: bool) -> None:
    Money.prepared = prepared
    runs, steps = (1200, 120) if long else (28, 110)
    run_state_machine_as_test(
        Money,
        settings=settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            derandomize=not long,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink] if long else [Phase.generate],  # to shrink takes minutes
        ),
    )
    assert prepared.steps >= (100_000 if long else 2_000)
    assert not [name for name in WANTED if not prepared.fired[name]]
