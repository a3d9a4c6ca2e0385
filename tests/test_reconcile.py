"""A day's money beside the platform's bill: every difference is reported, and nothing that is none."""

import asyncio
import gzip
import json
import random
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from town import Town
from wechatpayv3 import WeChatPay as Peer
from wechatpayv3 import WeChatPayType

from bot.clock import Clock
from bot.pay.bills import BillOdd, entries, fen, trade_bill, unpacked
from bot.pay.told import PayRefused, PayUnknown
from bot.pay.wxpay import Merchant, WxPay
from bot.reconcile import day_said, reconcile
from bot.settings import WeChatPay
from bot.simulator.cashier import Cashier, Order, make_merchant
from bot.simulator.cashier_bills import HEADERS, Row, Spoiled, written
from bot.simulator.stage import Stage
from bot.terminal import NOT_NOW, Unfit
from models.audit import Audit
from models.base import Work
from models.payment import Payment
from models.reconcile import CHINA, Entry, compare
from models.refund import Refunds

DAY = date(2026, 3, 2)
APPID, MCHID = "wxdemo0000000001", "1900000001"
WHERE = "张三 13800138000 浙江省杭州市西湖区文三路1号"
KINDS = ("missing_here", "missing_there", "amount", "number", "state", "twice")
SEEDED = 200

Capture = pytest.CaptureFixture[str]


def yuan(amount_fen: int) -> str:
    return f"{amount_fen // 100}.{amount_fen % 100:02d}"


def row(entry: Entry, **changed: str) -> Row:
    """An entry as its bill writes it."""
    common = {
        "公众账号ID": APPID,
        "商户号": MCHID,
        "商户订单号": entry.trade,
        "货币种类": "CNY",
        "商品名称": "茶, 两罐",
    }
    if entry.what == "payment":
        special = {"微信订单号": entry.number, "交易状态": entry.state, "订单金额": yuan(entry.amount_fen)}
    else:
        special = {"商户退款单号": entry.number, "交易状态": "REFUND", "退款状态": entry.state}
        special |= {"申请退款金额": yuan(entry.amount_fen), "订单金额": "0.00"}
    return common | special | changed


def a_day(rows: int, chance: random.Random) -> list[tuple[Entry, Entry]]:
    """(ours, the bill's) of a day on which all agrees."""
    pairs = []
    for n in range(rows):
        trade, amount_fen = f"tp{n:08d}", chance.randrange(1, 2_000_000)
        if chance.random() < 0.7:
            mine = Entry("payment", f"4200{n:024d}", trade, amount_fen, chance.choice(["credited", "orphan"]))
            pairs.append((mine, replace(mine, state="SUCCESS")))
        else:
            mine = Entry("refund", f"rf{n:08d}", trade, amount_fen, chance.choice(["done", "done", "asked", "failed"]))
            theirs = {"done": ["SUCCESS", "PROCESSING"], "asked": ["PROCESSING"], "failed": ["PROCESSING", "FAIL"]}
            pairs.append((mine, replace(mine, state=chance.choice(theirs[mine.state]))))
    return pairs


def read(theirs: list[Entry]) -> list[Entry]:
    """The entries as they come back out of the two files that the platform would write."""
    back: list[Entry] = []
    for what, kind in (("payment", "SUCCESS"), ("refund", "REFUND")):
        plain = written(kind, [row(e) for e in theirs if e.what == what])
        found, others = entries(unpacked(gzip.compress(plain)), APPID, MCHID)
        assert not others
        back += found
    return back


@pytest.mark.parametrize("kinds", [*((k,) for k in KINDS), KINDS], ids=[*KINDS, "all at once"])
def test_of_200_seeded_differences_of_each_kind_all_are_reported_and_nothing_else(kinds: tuple[str, ...]) -> None:
    chance = random.Random(f"seed {kinds}")
    pairs = a_day(len(kinds) * SEEDED + 1000, chance)
    assert compare([ours for ours, _ in pairs], read([bill for _, bill in pairs])) == []
    chance.shuffle(pairs)
    seeded: set[tuple[str, str]] = set()
    ours: list[Entry] = []
    theirs: list[Entry] = []
    for n, (mine, bill) in enumerate(pairs):
        kind = kinds[n // SEEDED] if n < len(kinds) * SEEDED else ""
        if kind:
            seeded.add((kind, mine.number))
        if kind == "amount":
            bill = replace(bill, amount_fen=bill.amount_fen + chance.choice([-1, 1, 100]) or 2)
        elif kind == "number":
            bill = replace(bill, trade=bill.trade + "x")
        elif kind == "state":
            wrong = {"credited": ["REVOKED"], "orphan": ["REVOKED"], "failed": ["SUCCESS"]}
            wrong |= {"asked": ["SUCCESS", "FAIL"], "done": ["FAIL", "CHANGE"]}
            bill = replace(bill, state=chance.choice(wrong[mine.state]))
        ours += [mine] if kind != "missing_here" else []
        theirs += [bill] * {"missing_there": 0, "twice": 2}.get(kind, 1)
    chance.shuffle(theirs)
    found = compare(ours, read(theirs))
    assert {(d.kind, d.number) for d in found} == seeded
    assert len(found) == len(seeded) == len(kinds) * SEEDED
    assert all(d.number in d.sentence and "\n" not in d.sentence for d in found)


def test_without_looking_at_the_amount_the_seeded_differences_are_missed() -> None:
    """The control twin: a comparison by number alone sees a bill of the same numbers as the same bill."""
    pairs = a_day(300, random.Random(7))
    wrong = [replace(bill, amount_fen=bill.amount_fen + 1) for _, bill in pairs]
    assert len(compare([ours for ours, _ in pairs], wrong)) == 300
    blind = [replace(e, amount_fen=0) for e in wrong]
    assert compare([replace(ours, amount_fen=0) for ours, _ in pairs], blind) == []


@given(st.integers(0, 10**12 - 1))
def test_every_amount_of_a_bill_comes_back_to_the_fen(amount_fen: int) -> None:
    assert fen(yuan(amount_fen)) == amount_fen
    assert fen(yuan(amount_fen) + "000") == amount_fen
    if amount_fen % 100 == 0:
        assert fen(str(amount_fen // 100)) == amount_fen


@pytest.mark.parametrize(
    "said",
    ["", "-1.00", "+1", "1e2", "1.005", "1,000.00", "1.", ".5", "NaN", "０.01", " 1.00", "1.00\n", "99999999999"],
)
def test_what_is_no_amount_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match="no amount"):
        fen(said)


LETTERS = st.characters(blacklist_characters="\n\r\ufeff", blacklist_categories=["Cs", "Cc"])
NAMES = st.text(st.one_of(LETTERS, st.sampled_from(",`\"'")), max_size=20)
ENTRIES = st.builds(
    Entry,
    st.sampled_from(["payment", "refund"]),
    st.text("abc0123456789", min_size=1, max_size=6),
    st.text("tp0123456789", min_size=1, max_size=6),
    st.integers(1, 10**9),
    st.just("SUCCESS"),
)


@settings(max_examples=150)
@given(st.lists(st.tuples(ENTRIES, NAMES), max_size=12))
def test_whatever_a_product_is_called_a_bill_is_read_as_it_was_written(rows: list[tuple[Entry, str]]) -> None:
    plain = written("ALL", [row(entry, 商品名称=name) for entry, name in rows])
    assert entries(plain, APPID, MCHID) == ([entry for entry, _ in rows], 0)


@settings(max_examples=150)
@given(st.lists(ENTRIES, max_size=10, unique_by=lambda e: (e.what, e.number)), st.data())
def test_two_sides_agree_exactly_when_there_is_no_difference(theirs: list[Entry], data: st.DataObject) -> None:
    ours = [replace(e, state="done" if e.what == "refund" else "credited") for e in theirs]
    order = data.draw(st.permutations(theirs))
    assert compare(ours, order) == []
    if theirs:
        gone = data.draw(st.integers(0, len(theirs) - 1))
        assert [d.kind for d in compare(ours[:gone] + ours[gone + 1 :], order)] == ["missing_here"]
        assert [d.kind for d in compare(ours, theirs[:gone] + theirs[gone + 1 :])] == ["missing_there"]


def test_a_bill_that_cannot_be_read_whole_is_not_compared_at_all() -> None:
    entry = Entry("payment", "42001", "tp000001", 1234, "SUCCESS")
    plain = written("SUCCESS", [row(entry)])
    assert entries(plain, APPID, MCHID)[0] == [entry]
    lines = plain.split(b"\r\n")
    cut = [b"\r\n".join(lines[:2]), b"\r\n".join(lines[:3]), b"", plain.replace("商品名称,".encode(), b"")]
    cut += [plain.replace(b",`", b",", 1), plain + b"\xff", plain.replace(b"12.34", b"12.345")]
    cut += [plain.replace(MCHID.encode(), b"1900000002"), plain.replace(b"CNY", b"USD"), plain + b"`one more line"]
    for bad in cut:
        with pytest.raises(BillOdd):
            entries(bad, APPID, MCHID)
    with pytest.raises(BillOdd):
        unpacked(gzip.compress(plain)[:-9])


def test_older_bills_name_their_columns_otherwise() -> None:
    header = [{"订单金额": "总金额"}.get(name, name) for name in HEADERS["SUCCESS"] if name != "应结订单金额"]
    cells = row(Entry("payment", "42001", "tp000001", 1, "SUCCESS"), 总金额="0.01")
    lines = [
        ",".join(header),
        ",".join("`" + cells.get(name, "") for name in header),
        "总交易单数,总交易额",
        "`1,`0.01",
    ]
    assert entries("\n".join(lines).encode(), APPID, MCHID)[0][0].amount_fen == 1


def test_rows_of_another_account_of_the_same_merchant_are_counted_and_left_out() -> None:
    mine, other = (Entry("payment", n, f"tp{n}0000", 100, "SUCCESS") for n in ("1", "2"))
    plain = written("SUCCESS", [row(mine), row(other, 公众账号ID="wxsomebodyelse")])
    assert entries(plain, APPID, MCHID) == ([mine], 1)


def test_a_day_is_said_as_a_date_or_as_yesterday_and_must_be_over() -> None:
    today = date(2026, 3, 3)
    assert day_said("2026-03-02", today) == day_said("yesterday", today) == day_said("昨天", today) == DAY
    for said in ("2026-03-03", "2026-02-30", "02.03.2026", "../x"):
        with pytest.raises(Unfit):
            day_said(said, today)


# -- the whole way ---------------------------------------------------------------------------------------


async def buys(town: Town, name: str) -> str:
    """Somebody orders and pays; the order's number at the cashier."""
    one = town.wechat(name)
    await one.follows()
    heard = await one.says("买 A11")
    heard = await one.says("1") if "要哪种" in heard.text else heard
    heard = await one.says(WHERE) if "寄到哪里" in heard.text else heard
    await one.pays(heard)
    await town.settles()
    return next(o.out_trade_no for o in town.stage.cashier.books.orders.values() if o.payer == one.person.who)


async def compared(stage: Stage, capsys: Capture, day: str = "2026-03-02") -> tuple[int, str]:
    """(status, what was printed) of the command."""
    capsys.readouterr()
    status = await reconcile(stage.house.settings, day, stage.house.clock)
    return status, capsys.readouterr().out


async def owes(town: Town, out_trade_no: str) -> None:
    """The whole of a payment is owed back, now."""
    house = town.stage.house
    async with house.store.session() as session, session.begin():
        work = Work(session, house.clock.now())
        payment = await work.one(select(Payment.id, Payment.amount_fen).where(Payment.out_trade_no == out_trade_no))
        assert payment is not None
        await Refunds(work).owe(payment.id, payment.amount_fen // 2, "after-sale", work.now)


async def test_a_day_of_sales_and_refunds_agrees_with_its_bill(town: Town, capsys: Capture) -> None:
    stage = town.stage
    first = await buys(town, "小美")
    await buys(town, "阿强")
    changes = town.wechat("阿强")
    await changes.pays(await changes.says("换规格 100g 罐装"))  # the difference is a payment of its own
    await owes(town, first)
    await town.later(minutes=2)
    with pytest.raises(Unfit, match="not over"):
        await compared(stage, capsys)
    await town.later(hours=20)  # it is 08:02 of the next day
    with pytest.raises(Unfit, match="not made yet") as early:
        await compared(stage, capsys)
    assert early.value.status == NOT_NOW
    await town.later(hours=3)
    assert await compared(stage, capsys) == (0, "2026-03-02: 4 rows in the bill, 4 here, 0 differences\n")
    assert await compared(stage, capsys, "2026-03-01") == (0, "2026-03-01: 0 rows in the bill, 0 here, 0 differences\n")
    noted = await stage.house.store.reader.all(select(Audit.facts).where(Audit.act == "reconcile").order_by(Audit.id))
    assert [row.facts["day"] for row in noted] == ["2026-03-02", "2026-03-01"]
    assert noted[0].facts == {"day": "2026-03-02", "ours": 4, "theirs": 4, "differences": {}}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_what_the_bill_says_otherwise_is_printed_and_ends_with_status_1(town: Town, capsys: Capture) -> None:
    stage = town.stage
    first, second = await buys(town, "小美"), await buys(town, "阿强")
    await owes(town, first)
    await town.later(minutes=2)
    await town.later(hours=24)

    def altered(which: str, rows: list[Row]) -> list[Row]:
        if which == "REFUND":
            return [one | {"退款状态": "FAIL"} for one in rows]
        kept = [one for one in rows if one["商户订单号"] == first]
        lost = kept[0] | {"微信订单号": "4200lost", "商户订单号": "tplostwithtime"}
        return [kept[0] | {"订单金额": "26.99"}, lost, lost | {"微信订单号": "4200known", "商户订单号": second}]

    stage.cashier.bills.altered = altered
    status, said = await compared(stage, capsys)
    assert status == 1
    assert "5 differences" in said
    for words in ("amount ¥27 here, ¥26.99 in the bill", "state done here, FAIL in the bill", "not in the bill"):
        assert words in said, said
    assert "4200lost (tplostwithtime)" in said
    assert "its number is not ours" in said
    assert "its number is ours, paid" in said
    again = await compared(stage, capsys)
    assert again == (status, said), "it only looks: nothing was healed, nothing paid back"
    noted = await stage.house.store.reader.one(select(Audit.facts).where(Audit.act == "reconcile"))
    assert noted is not None
    assert sum(noted.facts["differences"].values()) == 5


async def test_a_refund_that_ended_the_day_after_is_looked_for_in_the_bill_of_its_beginning(
    town: Town, capsys: Capture
) -> None:
    stage = town.stage
    number = await buys(town, "小美")
    await town.later(hours=11, minutes=55)  # 23:55
    stage.cashier.refund_seconds = 600
    await owes(town, number)
    await town.later(minutes=1)
    await town.settles()
    assert [r.state for r in stage.cashier.books.refunds.values()] == ["PROCESSING"]
    await town.later(minutes=12)
    await town.later(hours=36)
    assert (await compared(stage, capsys, "2026-03-02"))[0] == 0
    assert (await compared(stage, capsys, "2026-03-03"))[0] == 0
    stage.cashier.bills.altered = lambda which, rows: [] if which == "REFUND" else rows
    status, said = await compared(stage, capsys, "2026-03-03")
    assert status == 1
    assert "¥13.5 done here, not in the bill" in said


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_money_that_staff_took_themselves_is_on_no_bill(town: Town, capsys: Capture) -> None:
    stage = town.stage
    await buys(town, "小美")
    await town.later(hours=24)
    stage.cashier.bills.altered = lambda which, rows: []
    assert (await compared(stage, capsys))[0] == 1
    async with stage.house.store.engine.begin() as connection:
        await connection.execute(text("UPDATE payment SET source = 'hand'"))
    assert (await compared(stage, capsys))[0] == 0


# -- the counter alone -----------------------------------------------------------------------------------


class Counter:
    """A fake cashier that took money the day before yesterday, and our client in front of it."""

    def __init__(self, folder: Path) -> None:
        self.cashier = Cashier(folder, APPID, Clock())
        self.merchant = self.cashier.merchant

    async def __aenter__(self) -> "Counter":
        self.server = TestServer(self.cashier.app())
        await self.server.start_server()
        self.base = str(self.server.make_url("")).rstrip("/")
        self.http = aiohttp.ClientSession()
        settings = WeChatPay(**self.merchant | {"api_base": self.base})
        self.pay = WxPay(Merchant.read(settings, APPID), self.http, Clock().now)
        paid = Clock().now() - timedelta(days=2)
        self.day = paid.astimezone(CHINA).date()
        said = {"description": "山野小铺, 订单 A", "attach": ""}
        order = Order("tp000001", "native", said, 1234, paid, paid, "SUCCESS", "42001", "oDemo", 1200, paid)
        self.cashier.books.orders[order.out_trade_no] = order
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()
        await self.server.close()


@pytest.fixture(scope="session")
def merchant_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("merchant")
    make_merchant(made)
    return made


async def test_a_bill_that_is_not_the_platforms_is_not_compared(merchant_folder: Path) -> None:
    async with Counter(merchant_folder) as counter:
        expected = [Entry("payment", "42001", "tp000001", 1234, "SUCCESS")]
        assert await trade_bill(counter.pay, counter.day, "SUCCESS") == (expected, 0)
        assert await trade_bill(counter.pay, counter.day, "REFUND") == ([], 0)
        spoiled: tuple[tuple[Spoiled, str], ...]
        spoiled = (("hash", "hash"), ("cut", "cut short"), ("elsewhere", "another machine"))
        for spoil, why in spoiled:
            counter.cashier.bills.spoil = spoil
            counter.cashier.calls.clear()
            with pytest.raises(BillOdd, match=why):
                await trade_bill(counter.pay, counter.day, "SUCCESS")
            fetched = [call.path for call in counter.cashier.calls if "billdownload" in call.path]
            assert len(fetched) == (0 if spoil == "elsewhere" else 1), "our signature goes nowhere else"
        counter.cashier.bills.spoil = ""
        counter.cashier.fail_next("/v3/billdownload/file", status=502)
        with pytest.raises(PayUnknown):
            await trade_bill(counter.pay, counter.day, "SUCCESS")
        counter.cashier.fail_next("/v3/bill/tradebill", status=502)
        with pytest.raises(PayUnknown):
            await trade_bill(counter.pay, counter.day, "SUCCESS")
        with pytest.raises(PayRefused, match="三个月"):
            await trade_bill(counter.pay, counter.day - timedelta(days=120), "SUCCESS")


async def test_the_fake_cashiers_bills_are_read_by_an_independent_client_too(merchant_folder: Path) -> None:
    async with Counter(merchant_folder) as counter:
        given = counter.merchant
        peer = Peer(
            WeChatPayType.NATIVE,
            mchid=given["mch_id"],
            private_key=(merchant_folder / "merchant_key.pem").read_text(),
            cert_serial_no=given["serial_no"],
            apiv3_key=given["api_v3_key"],
            appid=APPID,
            notify_url="https://example.com/",
            public_key=(merchant_folder / "platform_public.pem").read_text(),
            public_key_id=given["public_key_id"],
        )
        peer._core._gate_way = counter.base
        code, told = await asyncio.to_thread(peer.trade_bill, counter.day.isoformat(), "SUCCESS")
        assert code == 200, told
        said = json.loads(told)
        code, _ = await asyncio.to_thread(peer.download_bill, said["download_url"])
        assert code == 200
        async with counter.http.get(said["download_url"]) as unsigned:
            assert unsigned.status == 401
