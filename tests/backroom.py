"""A shop without doors: the real house, rules and database; the fake cashier's books stand where the network was."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import String, cast, event, literal_column, select
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import BindParameter

from bot import points
from bot.app import House
from bot.clock import Clock
from bot.face import Answer
from bot.pay.notify import Notice
from bot.pay.told import Bill, PayRefused, PayUnknown, RefundState, Trade, refund_of, trade_of
from bot.simulator.cashier_books import Books, No, china
from bot.simulator.stage import settings_of
from handlers.asking import Intent, remembered
from handlers.intents import StartPay
from handlers.replies import Reply
from handlers.routing import Told, shop
from models import tables
from models.base import Contended, Invariant, Refusal, Work
from models.store import Store

NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
T = TypeVar("T")
ELSEWHERE = ("models.inbox",)  # kept by what runs beside the doors
HOME = "张三 13800138000 浙江省杭州市西湖区文三路1号"


class Crash(BaseException):
    """The process dies here; what was not committed is gone, and nobody tidies up."""


class Dial(Clock):
    """A clock that a test turns; leases end by it too, so that nobody waits a minute for a dead process."""

    def wall_ms(self) -> int:
        return int(self.now().timestamp() * 1000)


class Counter:
    """The cashier's counter without the wire (`WxPay`'s methods over the fake cashier's books).

    `moods` are what becomes of the next requests: "" nothing, "before" (lost on the way), "after" (done, and its
    answer lost), or an error code.
    """

    def __init__(self, books: Books) -> None:
        self.books, self.merchant = books, Who(books.appid, books.mchid)
        self.moods: list[str] = []
        self.asked: list[tuple[str, str]] = []

    async def native(self, bill: Bill) -> str:
        return self._prepay("native", bill)["code_url"]

    async def jsapi(self, bill: Bill, openid: str) -> str:
        return self._prepay("jsapi", bill, payer={"openid": openid})["prepay_id"]

    def _prepay(self, kind: str, bill: Bill, **more: Any) -> dict[str, str]:
        said = more | {
            "appid": self.books.appid,
            "mchid": self.books.mchid,
            "description": bill.description,
            "out_trade_no": bill.out_trade_no,
            "time_expire": china(bill.expires),
            "notify_url": bill.notify_url.replace("http://", "https://"),
            "amount": {"total": bill.total_fen, "currency": "CNY"},
        }
        made: dict[str, str] = self._do("prepay", bill.out_trade_no, lambda: self.books.prepay(kind, said))
        return made

    async def query(self, out_trade_no: str) -> Trade:
        found = self._do("query", out_trade_no, lambda: self.books.query(out_trade_no, self.books.mchid))
        return trade_of(found)

    async def close(self, out_trade_no: str) -> None:
        try:
            self._do("close", out_trade_no, lambda: self.books.close(out_trade_no, {"mchid": self.books.mchid}))
        except PayRefused as no:
            if no.means != "closed":
                raise

    async def refund(self, *, out_refund_no: str, refund_fen: int, total_fen: int, **said: Any) -> RefundState:
        amount = {"refund": refund_fen, "total": total_fen, "currency": "CNY"}
        asked = said | {"out_refund_no": out_refund_no, "amount": amount}
        return refund_of(self._do("refund", out_refund_no, lambda: self.books.refund(asked)))

    async def query_refund(self, out_refund_no: str) -> RefundState:
        return refund_of(self._do("refund_query", out_refund_no, lambda: self.books.query_refund(out_refund_no)))

    def _do(self, name: str, number: str, act: Callable[[], Any]) -> Any:
        self.asked.append((name, number))
        mood = self.moods.pop(0) if self.moods else ""
        if mood == "before":
            raise PayUnknown("ConnectionReset")
        if mood not in ("", "after"):
            raise PayRefused(mood, "", 429 if mood == "FREQUENCY_LIMITED" else 400)
        try:
            done = act()
        except No as no:
            raise PayRefused(no.code, no.message, no.status) from None
        if mood == "after":
            raise PayUnknown("TimeoutError")
        return done


@dataclass
class Who:
    """Who we are at the counter."""

    appid: str
    mchid: str


class Mouth:
    """A channel that keeps what was said."""

    def __init__(self, name: str, account: str) -> None:
        self.name, self.account, self.signed = name, account, True
        self.said: list[tuple[str, Answer]] = []

    async def say(self, who: str, answer: Answer, *, key: str) -> None:
        self.said.append((who, answer))


class Backroom:
    """A house whose steps a test takes one by one."""

    def __init__(self, folder: Path, database: str) -> None:
        self.clock = Dial()
        self.clock.freeze(NOON)
        self.settings = settings_of(folder, 1, 2, 3, database=database)
        self.house = House(self.settings, self.clock, movable=True)
        if self.house.store.sqlite:
            event.listen(self.house.store.engine.sync_engine, "connect", _hasty)
        wechat = self.settings.wechat
        assert wechat is not None
        assert self.settings.wechat_pay is not None
        self.account = wechat.account
        self.books = Books(self.settings.wechat_pay.mch_id, wechat.app_id, self.clock)
        self.counter = Counter(self.books)
        self.mouth = Mouth("wechat", self.account)
        self.invariants = Invariants(self.house.store)
        self.keys = 0
        shop.kinds["wish"] = lambda told: remembered(json.loads(told.data["wish"]))  # type: ignore[assignment, return-value]

    async def open(self) -> None:
        await self.house.open()
        self.house.till.pay = self.counter  # type: ignore[assignment]
        self.house.courier.channels = {"wechat": self.mouth}  # type: ignore[dict-item]

    async def close(self) -> None:
        shop.kinds.pop("wish", None)
        if self.house.store.sqlite:
            event.remove(self.house.store.engine.sync_engine, "connect", _hasty)  # the engine is lent to others, too
        await self.house.stop()

    @property
    def store(self) -> Store:
        return self.house.store

    async def one(self, statement: Any) -> Any:
        row = await self.store.reader.one(statement)
        return row[0] if row is not None else None

    async def rows(self, statement: Any) -> list[Any]:
        return [row[0] for row in await self.store.reader.all(statement)]

    # -- what people do

    async def says(self, who: str, text: str) -> Answer:
        self.keys += 1
        return await self.house.desk.hear(Told("wechat", self.account, who, f"k{self.keys}", text=text, at=NOON))

    async def wishes(self, who: str, intent: Intent) -> Answer:
        """Wants something without looking for the words."""
        self.keys += 1
        data = {"wish": json.dumps(intent.to_json())}
        return await self.house.desk.hear(Told("wechat", self.account, who, f"k{self.keys}", "wish", data=data))

    async def presses(self, pay_code: str, way: str = "native", payer: str = "") -> Reply:
        """The pay page's button."""
        return await self.house.desk.visit(StartPay(pay_code, way, payer))

    async def hears_of(self, about: Trade | RefundState) -> None:
        """A callback that was signed as it should be."""
        kind = "TRANSACTION.SUCCESS" if isinstance(about, Trade) else "REFUND.SUCCESS"
        await self.house._paid(Notice("n", kind, self.clock.now(), about))

    async def does(self, step: Callable[[Work], Awaitable[T]]) -> T | None:
        """For what no intent says yet: one transaction, tried again as the desk does; None for a refusal."""
        for _ in range(3):
            try:
                async with self.house.desk._work("fact") as work:
                    done = await step(work)
                    await work.session.flush()
                return done
            except (Contended, StaleDataError):
                continue
            except Refusal:
                break
        return None

    # -- what time brings

    async def looks(self, *names: str) -> None:
        """Every tick of these features looks, and what is promised is done."""
        for one in self.house.shop.ticks:
            if not names or any(f".{name}." in one.name for name in names):
                await self.house.desk.look(one)
        await self.house.courier.drain()

    async def later(self, *names: str, **span: float) -> None:
        self.clock.move(timedelta(**span))
        await self.looks(*names)

    def dies_at(self, name: str, n: int = 1) -> None:
        """The n-th passing of this point is the last thing that happens."""
        left = n

        def hook(passed: str) -> None:
            nonlocal left
            if passed == name:
                left -= 1
                if not left:
                    points.install(None)
                    raise Crash(name)

        points.install(hook)

    async def reborn(self) -> None:
        """A new process on the same rows: nothing that lay in memory is there, and nobody who was at work."""
        points.install(None)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        desk = self.house.desk
        desk._turns.clear()
        desk._running.clear()
        desk._heard.clear()
        shared = type(self.house.shared)(self.clock.now)  # type: ignore[call-arg]
        self.house.shared = desk.shared = self.house.courier.shared = shared


class Invariants:
    """Every invariant in one statement, compiled once, for a look after each step."""

    def __init__(self, store: Store) -> None:
        self.store = store
        found = [(i, self._part(i)) for module, i in tables.invariants() if module not in ELSEWHERE]
        self.always = " UNION ALL ".join(part for _, part in found if "@" not in part)
        self.soon = " UNION ALL ".join(part for _, part in found if "@" in part)
        self.graces = {i.grace_minutes or 0 for i, _ in found}

    def _part(self, one: Invariant) -> str:
        def bound(element: Any, **_: Any) -> Any:
            if isinstance(element, BindParameter) and element.key in ("late", "now"):
                return literal_column(f"@{one.grace_minutes or 0 if element.key == 'late' else 0}@")
            return None

        found = visitors.replacement_traverse(one.statement, {}, bound).subquery()
        name, first = literal_column(f"'{one.name}'"), next(iter(found.c))
        part = select(name.label("name"), cast(first, String).label("id")).select_from(found)
        return str(part.compile(self.store.engine, compile_kwargs={"literal_binds": True}))

    async def broken(self, now: datetime, *, late: bool = False) -> list[tuple[str, str]]:
        """(invariant, id) of what does not hold; `late`: also what is only due soon."""
        words = f"{self.always} UNION ALL {self.soon}" if late else self.always
        for minutes in self.graces if late else ():
            at = now - timedelta(minutes=minutes)
            moment = str(int(at.timestamp() * 1_000_000)) if self.store.sqlite else f"timestamptz '{at.isoformat()}'"
            words = words.replace(f"@{minutes}@", moment)
        async with self.store.engine.connect() as connection:
            rows = (await connection.exec_driver_sql(words)).all()
            await connection.rollback()
        return [(row.name, row.id) for row in rows]


def _hasty(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=OFF")  # the disk is not what is tested here
    cursor.close()


async def inline(self: Any, act: Callable[..., Any], *given: Any, **more: Any) -> Any:
    """For `aiosqlite.Connection._execute`: without a thread, a short statement takes a third of the time."""
    return act(*given, **more)
