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
from conftest import LONG
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select, text
from sqlalchemy.orm import aliased
from town import Blank

from bot.pay.told import RefundState, Trade, refund_of, trade_of
from bot.simulator.cashier_books import Order as Sold
from bot.simulator.stage import make_owner
from handlers.intents import (
    AgreeNow,
    AskBack,
    BuyLines,
    CancelOrder,
    ChangeSpec,
    DropSupplement,
    GiveBackNow,
    GivePartNow,
    LeaveGroup,
    ReceiveOrder,
    RefuseCase,
    ResendNow,
    SellerCancelNow,
    SendBack,
    TakeMoneyNow,
    TakeOffer,
    WithdrawCase,
)
from models import tables
from models.aftersale import OPEN, WAITING, Case, CaseMove
from models.base import Work
from models.freight import PIECE, Freights, Tariff, Zone
from models.groupbuy import Group
from models.hand import BY_HAND, HandGlance
from models.ledger import Entry
from models.offer import Offer
from models.order import PAID, UNPAID, Order, OrderLine, OrderMove
from models.outbox import Outbox
from models.parcel import Parcel
from models.payment import Payment
from models.product import Sku
from models.refund import Refund
from models.supplement import Supplement
from models.verify import offenders

PEOPLE = ("oA", "oB", "oC", "oD")
BOSS = "oBoss"
DAY = 24 * 60  # minutes
WALKS = 10 if LONG else 1
STOCK = 40  # so that a run's last steps still buy something
TICKS = ("payment", "groupbuy", "supplement", "casenews")  # the others have no money in them
PLACES = (
    "李四 13900139000 上海市浦东新区世纪大道100号",
    f"{HOME}2",
    "李四 13900139000 新疆维吾尔自治区喀什市人民路1号",
)
ZONES = (Zone(("上海市",), 1, 500), Zone(("新疆维吾尔自治区",), 1, 2000), Zone((), 1, 900))
WANTED = (
    "pay",
    "pay late",
    "pay wrong",
    "by hand",
    "call back",
    "cancel",
    "ship",
    "refund all",
    "crashed",
)
COME_OF_IT = (  # what has become of all that; the tales see to it that the small size meets it, too
    "an address changed",
    "a spec changed",
    "left in parts",
    "paid for on its own",
    "taken by hand",
    "given back by hand",
    "a group filled",
    "a group failed",
    "went back alone",
    "a line went back",
    "a part went back",
    "sent back and paid",
    "sent again",
    "refused",
    "withdrawn",
    "silence agreed",
)
ANSWERS = ("agree", "agree", "refuse", "part", "resend", "send back", "take it", "no", "withdraw", "silence")
COMPLAINTS = {
    "never left": ("all", ["agree"]),
    "sent back": ("all", ["agree", "send back", "agree"]),
    "sent again": ("resend", ["agree"]),
    "a part": ("part", ["agree"]),
    "something else": ("all", ["part", "take it"]),
    "refused": ("all", ["refuse"]),
    "withdrawn": ("all", ["withdraw"]),
    "silence": ("all", ["silence"]),
}
MISHAPS = ("wrong sum", "given back elsewhere", "too late")
TALES = ("a group", "dearer", "cheaper", *MISHAPS, *COMPLAINTS)
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
    labels: list[str]  # of all specs
    turns: dict[str, tuple[int, str]]  # a spec, and the label of a dearer one, of a cheaper one
    empty: list[str] = field(default_factory=list)  # tables that had nothing in them
    steps: int = 0
    runs: int = 0
    fired: Counter[str] = field(default_factory=Counter)

    def run(self, act: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(act)

    def back(self) -> None:
        """Everything as it was."""
        room = self.room
        self.run(room.reborn())
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
        self.runs += 1
        if self.runs % 5 == 0:  # or every question walks over the rows of all runs before
            self.run(self._vacuumed())

    async def _vacuumed(self) -> None:
        async with self.room.store.engine.connect() as connection:
            aside = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await aside.exec_driver_sql("VACUUM")

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
        self.codes: list[str] = []  # of all pay pages
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
            self.p.run(self.room.reborn())
            return None
        finally:
            broken = self.p.run(self.room.invariants.broken(self.room.clock.now()))
            assert not broken, broken

    async def _look(self) -> None:
        """Which orders there are."""
        rows = await self.room.store.reader.all(select(Order.no, Order.pay_code, Order.follower_id).order_by(Order.id))
        whose = {row[0]: row[1] for row in await self.room.store.reader.all(text("SELECT id, who FROM follower"))}  # type: ignore[arg-type]
        self.orders = [(row.no, row.pay_code, whose[row.follower_id]) for row in rows]
        self.codes = [row.pay_code for row in rows]
        self.codes += await self.room.rows(select(Supplement.pay_code).order_by(Supplement.id))

    def pick(self, n: int) -> tuple[str, str, str]:
        return self.orders[-1 - n % min(len(self.orders), 6)]

    def sold(self, *states: str) -> list[Sold]:
        return [order for order in self.room.books.orders.values() if order.state in states]

    # -- buyers

    @rule(who=st.sampled_from(PEOPLE), spec=st.integers(0, 1), many=st.integers(1, 3), two=st.sampled_from((0, 1, 2)))
    def place(self, who: str, spec: int, many: int, two: int) -> None:
        """One line, twice the same, or two."""
        line = (self.p.plain[spec], many)
        lines = (line, (self.p.plain[(spec + two - 1) % 2], 1)) if two else (line,)
        self.act("place", self.room.wishes(who, BuyLines(lines)))
        self.p.run(self._look())

    @rule(
        who=st.sampled_from(PEOPLE),
        spec=st.integers(0, 1),
        off=st.sampled_from((0, 0, 0, 1, -1)),
        then=st.sampled_from(("on its way", "heard", "another spec", "a parcel")),
        which=st.integers(0, 5),
    )
    def buy(self, who: str, spec: int, off: int, then: str, which: int) -> None:
        """All the way to the money, whose callback is heard or on its way; at times it is the wrong sum."""
        self.place(who, spec, 1, spec + 1)
        if self._pays(who, "pay" if not off else "pay wrong", off) and then != "on its way":
            self._call_back(self.notices[-1], 1, False)
            if then == "another spec":
                self.think_again(0, "spec", which)
            elif then == "a parcel":
                self.serve(0, "part", which)

    def _pays(self, who: str, name: str, off: int = 0) -> bool:
        """The order that was just placed is paid for; whether it was."""
        if not self.orders or self.orders[-1][2] != who:
            return False
        self.act("press", self.room.presses(self.orders[-1][1]))
        waiting = self.sold("NOTPAY")
        if waiting:
            self._paid(name, waiting[-1], off)
        return bool(waiting)

    @rule(who=st.sampled_from(PEOPLE), n=st.integers(0, 3))
    def join(self, who: str, n: int) -> None:
        """Opens a group or takes a seat in one, and pays."""

        async def one() -> None:
            codes = await self.room.rows(select(Group.code).where(Group.state == "forming").order_by(Group.id))
            play = f"group:{codes[n % len(codes)]}" if codes and n else "group:new"
            await self.room.wishes(who, BuyLines(((self.p.offered, 1),), play))

        self.act("join", one())
        self.p.run(self._look())
        if n < 3:
            self._pays(who, "pay")

    @rule(who=st.sampled_from(PEOPLE), tale=st.sampled_from(TALES), fen=st.integers(1, 500))
    def tell(self, who: str, tale: str, fen: int) -> None:
        """What chance alone would seldom bring, step by step to its end."""
        if tale == "a group":
            first = PEOPLE.index(who)
            for n in range(3):
                self.join(PEOPLE[(first + n) % len(PEOPLE)], -1 if n else 0)
                if self.notices:
                    self._call_back(self.notices[-1], 1, False)
            return
        spec, label = self.p.turns.get(tale, (self.p.plain[0], ""))
        self.act("place", self.room.wishes(who, BuyLines(((spec, 1),))))
        self.p.run(self._look())
        if tale in MISHAPS:
            self._goes_wrong(who, tale)
            return
        if not self._pays(who, "pay"):
            return
        self._call_back(self.notices[-1], 1, False)
        if label:
            self.act("spec", self.room.wishes(who, ChangeSpec(self.orders[-1][0], label)))
            self.p.run(self._look())
            self.act("press", self.room.presses(self.codes[-1]))  # of what is to be paid for on its own, if anything is
            if waiting := self.sold("NOTPAY"):
                self._paid("pay", waiting[-1], 0)
                self._call_back(self.notices[-1], 1, False)
            return
        if tale != "never left":
            self.serve(0, "ship", fen)
        how, answers = COMPLAINTS[tale]
        self.complain(0, 1, how, "wrong", fen, answers)
        if how == "resend":
            self.serve(0, "ship", fen)

    def _goes_wrong(self, who: str, how: str) -> None:
        """The order just placed is paid, and not as it should be."""
        if how == "wrong sum":
            self._pays(who, "pay wrong", 1)
        elif how == "given back elsewhere":
            if self._pays(who, "pay"):
                self.p.run(self._by_hand())
        elif self.orders and self.orders[-1][2] == who:
            self.act("press", self.room.presses(self.orders[-1][1]))
            waiting = self.sold("NOTPAY")
            self.later(31)
            if waiting:
                self._paid("pay late", waiting[-1], 0)

    @precondition(lambda self: self.orders)
    @rule(n=st.integers(0, 5), inside=st.booleans())
    def press(self, n: int, inside: bool) -> None:
        """A pay page's button, inside WeChat or at a desk."""
        code = self.codes[-1 - n % min(len(self.codes), 6)]
        self.act("press", self.room.presses(code, *(("jsapi", "oPayer") if inside else ())))

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

    @precondition(lambda self: self.orders)
    @rule(n=st.integers(0, 5), what=st.sampled_from(("address", "spec", "keep", "note")), which=st.integers(0, 20))
    def think_again(self, n: int, what: str, which: int) -> None:
        """Elsewhere, something else, or a word to the merchant."""
        no, _, who = self.pick(n)
        if what == "spec":
            label = self.p.labels[which % len(self.p.labels)]
            self.act("spec", self.room.wishes(who, ChangeSpec(no, label, line=1 + which % 2)))
        elif what == "keep":
            self.act("keep", self.room.wishes(who, DropSupplement(no)))
        else:
            words = f"改地址 {no} {PLACES[which % 3]}" if what == "address" else f"备注 {no} 轻放"
            self.act(what, self.room.says(who, words))
        self.p.run(self._look())  # what is dearer is to be paid on a page of its own

    @precondition(lambda self: self.orders)
    @rule(
        n=st.integers(0, 5),
        line=st.integers(1, 2),
        how=st.sampled_from(("all", "part", "resend")),
        reason=st.sampled_from(("broken", "wrong", "mind")),
        fen=st.integers(1, 3000),
        answers=st.lists(st.sampled_from(ANSWERS), max_size=3),
    )
    def complain(self, n: int, line: int, how: str, reason: str, fen: int, answers: list[str]) -> None:
        """About a line that was paid, gone or not; then perhaps one or the other says something about it."""
        no, _, who = self.pick(n)
        asked = AskBack(no, line, reason, pieces=1 + fen % 2, how=how, fen=fen, words=f"第{fen}次")
        self.act("apply", self.room.wishes(who, asked))
        for what in answers:
            self.answer(n, what, line, fen)

    @precondition(lambda self: self.orders)
    @rule(n=st.integers(0, 5), what=st.sampled_from(ANSWERS), line=st.integers(1, 2), fen=st.integers(1, 3000))
    def answer(self, n: int, what: str, line: int, fen: int) -> None:
        """The shop's yes, no or something else; the buyer's; or nobody's."""
        no, _, who = self.pick(n)
        number = f"SF{1000000000 + self.p.steps}"
        if what == "agree":
            self.act(what, self._agree(no))
        elif what == "silence":
            self.act(what, self.room.later(*TICKS, hours=49 if fen % 2 else 170))
        elif what in ("refuse", "part", "resend"):
            said = {
                "refuse": RefuseCase(no, line, "看不清"),
                "part": GivePartNow(no, line, fen, "赔"),
                "resend": ResendNow(no, line, 1 + fen % 2),
            }
            self.act(what, self.room.wishes(BOSS, said[what]))
        else:
            wish = {
                "send back": SendBack(no, tracking=number, line=line),
                "take it": TakeOffer(no, line, "yes"),
                "no": TakeOffer(no, line, "no"),
                "withdraw": WithdrawCase(no, line),
            }
            self.act(what, self.room.wishes(who, wish[what]))

    async def _agree(self, no: str) -> None:
        """As it was read back: which cases, and how far they were."""
        asked = select(Case.id, Case.steps).join(Order, Order.id == Case.order_id)
        mine = (Order.no == no, Case.state.in_(WAITING), (Case.kind != "resend") | (Case.state == "applied"))
        found = await self.room.store.reader.all(asked.where(*mine))
        if found:
            ids = tuple(row.id for row in found)
            await self.room.wishes(BOSS, AgreeNow(no, ids, sum(row.steps for row in found)))

    # -- the merchant

    @precondition(lambda self: self.orders)
    @rule(n=st.integers(0, 5), what=st.sampled_from(("take", "take and void", "give back")))
    def by_hand(self, n: int, what: str) -> None:
        """Takes an order's money past the cashier, may find that it has none, or has given back what is owed so."""
        no = self.pick(n)[0]

        async def take() -> None:
            fen = await self.room.one(select(Order.total_fen).where(Order.no == no))
            await self.room.wishes(BOSS, TakeMoneyNow(no, fen))
            await self.room.house.tasks.settle(5)

        self.act(what, self._give_back() if what == "give back" else take())
        if what == "take and void":
            self.act("void", self.room.wishes(BOSS, SellerCancelNow(no, "没货")))

    async def _give_back(self) -> None:
        for owed in await HandGlance(self.room.store.reader).owed():
            await self.room.wishes(BOSS, GiveBackNow(owed.no, owed.amount_fen))

    @precondition(lambda self: self.orders)
    @rule(
        n=st.integers(0, 5),
        what=st.sampled_from(("ship", "ship", "part", "part", "pack", "refund all")),
        fen=st.integers(1, 3000),
    )
    def serve(self, n: int, what: str, fen: int) -> None:
        no = self.pick(n)[0]
        if what == "ship":
            self.act(what, self.room.says(BOSS, f"发货 {no} 顺丰 SF{1000000000 + self.p.steps}"))
        elif what == "part":
            self.act(what, self.room.says(BOSS, f"发货 {no} 顺丰 SF{1000000000 + self.p.steps} 行 {1 + fen % 2}"))
        elif what == "pack":
            self.act(what, self.room.says(BOSS, f"面单 {no}"))
        else:
            self.act(what, self.room.wishes(BOSS, SellerCancelNow(no, "没货")))

    # -- the cashier and the clock

    @precondition(lambda self: self.orders)
    @rule(minutes=st.sampled_from((1, 1, 2, 2, 6, 6, 11, 11, 31, 61, 1500)))
    def later(self, minutes: int) -> None:
        self.act("later", self.room.later(*TICKS, minutes=minutes))

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
                said = {
                    "out_refund_no": f"HAND{len(self.room.books.refunds)}",
                    "out_trade_no": order.out_trade_no,
                    "amount": amount,
                }
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
            self.p.run(self.room.reborn())

    async def _ends(self) -> None:
        """The bad days are over: all comes to its end by itself, and both books say the same."""
        room = self.room
        await room.reborn()
        room.counter.moods.clear()
        room.books.not_enough = False
        for told in self.notices:
            await room.hears_of(told)
        for minutes in (2, 6, 31, 61, 11 * DAY, 11 * DAY, 2, 6, 61, 0):  # silence speaks, and then what came of it
            await room.later(*(TICKS if minutes else ()), minutes=minutes)
            for no in await room.rows(self._to_send_again()) if minutes == 11 * DAY else ():
                await room.says(BOSS, f"面单 {no}")  # its buyer may want it sent elsewhere: that is looked at first
                await room.says(BOSS, f"发货 {no} 顺丰 SF{2000000000 + self.p.steps}")  # what is left of it, or again
                await room.says(BOSS, f"发货 {no} 顺丰 SF{3000000000 + self.p.steps}")
            for refund in room.books.refunds.values():
                if refund.state == "PROCESSING":
                    refund.state, refund.settled = "SUCCESS", room.clock.now()
        await self._give_back()
        found = await offenders(room.store, room.clock.now())
        broken = [(i.name, ids) for module, i, ids in found if module != "models.inbox"]
        assert not broken
        assert await room.rows(select(Order.no).where(Order.state.in_(UNPAID))) == []
        assert await room.rows(select(Sku.id).where(Sku.held != 0)) == []
        under_way = select(Outbox.name).where(Outbox.kind.in_(["errand", "event"]), Outbox.state != "done")
        assert await room.rows(under_way) == []
        paid = {o.transaction_id: o.total for o in self.sold("SUCCESS", "REFUND")}
        cashiers = Payment.source != BY_HAND
        kept = await room.store.reader.all(select(Payment.transaction_id, Payment.amount_fen).where(cashiers))
        assert {row.transaction_id: row.amount_fen for row in kept} == paid, "the cashier's money and ours"
        back = {r.out_refund_no: r.amount for r in room.books.refunds.values() if r.state == "SUCCESS"}
        back = {number: amount for number, amount in back.items() if not number.startswith("HAND")}
        paid_back = select(Refund.out_refund_no, Refund.amount_fen).join(Payment, Payment.id == Refund.payment_id)
        done = await room.store.reader.all(paid_back.where(Refund.state == "done", cashiers))
        assert {row.out_refund_no: row.amount_fen for row in done} == back, "the cashier's refunds and ours"
        assert await self._lies("cash") == sum(paid.values()) - sum(back.values()) - self.elsewhere
        taken = await room.rows(select(Payment.amount_fen).where(~cashiers))
        given = [row.amount_fen for row in await room.store.reader.all(paid_back.where(~cashiers))]
        assert await self._lies("hand") == sum(taken) - sum(given)
        forced = {r.out_refund_no for r in room.books.refunds.values() if r.state in ("ABNORMAL", "CLOSED")}
        failed = await room.rows(select(Refund.out_refund_no).where(Refund.state != "done"))
        assert set(failed) <= forced, "a refund that the cashier would have made has not been made"
        await self._shelf()
        await self._cases(set(failed))
        self.p.fired["taken by hand"] += len(taken)
        self.p.fired["given back by hand"] += len(given)
        self.p.fired["went back alone"] += len(done)
        for cause, name in (("address", "an address changed"), ("spec", "a spec changed")):
            self.p.fired[name] += await room.one(select(func.count()).where(OrderMove.cause.startswith(cause)))
        paid_for = select(func.count()).where(Supplement.state == "paid")
        self.p.fired["paid for on its own"] += await room.one(paid_for)
        split = select(Parcel.order_id).group_by(Parcel.order_id).having(func.count() > 1)
        self.p.fired["left in parts"] += len(await room.rows(split))
        came = select(Case.kind, Case.state, Case.amount_fen)
        for row in await room.store.reader.all(came):
            gone = {"refund": "a line went back", "part": "a part went back", "return": "sent back and paid"}
            if row.state != "done":
                self.p.fired[row.state] += 1
            elif row.kind == "resend" or row.amount_fen:
                self.p.fired[gone.get(row.kind, "sent again")] += 1
        silent = select(func.count()).where(CaseMove.cause == "silent", CaseMove.after == "agreed")
        self.p.fired["silence agreed"] += await room.one(silent)
        for state in ("filled", "failed"):
            self.p.fired[f"a group {state}"] += await room.one(select(func.count()).where(Group.state == state))

    @staticmethod
    def _to_send_again() -> Any:
        waiting = (Case.kind == "resend", Case.state == "agreed")
        return select(Order.no).join(Case, Case.order_id == Order.id).where(*waiting).distinct()

    async def _shelf(self) -> None:
        """What is not on the shelf is in the hands, or on the way to them, of those who have paid, piece by piece."""
        reader = self.room.store.reader
        gone: Counter[int] = Counter()
        here = (OrderLine.back_at.is_(None), Order.state.in_(PAID))
        mine = select(OrderLine.sku_id, OrderLine.quantity).join(Order, Order.id == OrderLine.order_id).where(*here)
        again = select(OrderLine.sku_id, Case.pieces).join(OrderLine, OrderLine.id == Case.line_id)
        again = again.where(Case.kind == "resend", Case.state.in_(["agreed", "done"]))
        for sku_id, pieces in [*await reader.all(mine), *await reader.all(again)]:
            gone[sku_id] += pieces
        left = {row.id: row.on_hand for row in await reader.all(select(Sku.id, Sku.on_hand))}
        assert left == {sku_id: STOCK - gone[sku_id] for sku_id in left}

    async def _cases(self, failed: set[str]) -> None:
        """Every case has come to its end; of no line and no order more went back than was paid for it."""
        reader = self.room.store.reader
        stuck = select(Refund.seq).where(Refund.reason == "aftersale", Refund.out_refund_no.in_(failed))
        waits = select(Case.id, Case.state).where(Case.state.in_(OPEN), Case.id.not_in(await self.room.rows(stuck)))
        assert await reader.all(waits) == []
        worth, back = Counter[int](), Counter[int]()
        for row in await reader.all(select(OrderLine.id, OrderLine.amount_fen)):
            worth[row.id] = row.amount_fen
        for row in await reader.all(select(Case.line_id, Case.amount_fen).where(Case.state == "done")):
            back[row.line_id] += row.amount_fen
        assert back <= worth, back - worth
        paid, went = Counter[int](), Counter[int]()
        for table, sums in ((Payment, paid), (Refund, went)):
            for order_id, fen in await reader.all(select(table.order_id, table.amount_fen)):
                sums[order_id] += fen
        assert went <= paid, went - paid

    async def _lies(self, account: str) -> int:
        booked = func.coalesce(func.sum(Entry.amount_fen), 0)
        return int(await self.room.one(select(booked).where(Entry.account == account)))


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
        labels = await room.rows(
            select(Sku.label)
            .where(Sku.product_id.in_(select(Sku.product_id).where(Sku.id.in_(plain))))
            .order_by(Sku.id)
        )
        other, turns = aliased(Sku), {}
        for turn, costs in (("dearer", other.price_fen > Sku.price_fen), ("cheaper", other.price_fen < Sku.price_fen)):
            pairs = select(Sku.id, other.label).join(other, (other.product_id == Sku.product_id) & costs)
            row = (await room.store.reader.all(pairs.where(Sku.id.in_(plain)).order_by(Sku.id, other.id)))[0]
            turns[turn] = (row.id, row.label)

        async def tariff(work: Work) -> None:
            await Freights(work).put_up(Tariff(PIECE, ZONES))

        await room.does(tariff)
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
        return Prepared(room, loop, file, plain, offered, labels, turns, list(dict.fromkeys(empty)))

    made = loop.run_until_complete(open_it())
    yield made
    loop.run_until_complete(made.room.close())
    loop.close()


@pytest.mark.parametrize("walk", range(WALKS))
def test_whatever_is_done_no_fen_is_lost_and_all_comes_to_its_end(prepared: Prepared, walk: int, long: bool) -> None:
    """2,000 steps; by --long ten walks of 10,000, each another one every time, so that several cores share them."""
    Money.prepared = prepared
    wanted, rules = (10_000, 200) if long else (2_000, 165)  # to come to its end is dear: few runs, and long ones
    while prepared.steps < wanted:
        before = prepared.steps
        run_state_machine_as_test(
            Money,
            settings=settings(
                max_examples=10,
                stateful_step_count=rules,
                deadline=None,
                derandomize=not long,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate, Phase.shrink] if long else [Phase.generate],  # to shrink takes minutes
            ),
        )
        assert prepared.steps > before, "nothing was done"
    assert not [name for name in WANTED + COME_OF_IT if not prepared.fired[name]], prepared.fired
