"""Who may do what: every intent by every role, every address by every caller, in two tables that deny by default.

An intent or a route that is in no table fails the test: nothing opens a door without saying for whom.
"""

import dataclasses
import itertools
import re
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from conftest import NOON
from lived import copied
from pydantic import SecretStr
from servers import Postgres
from sqlalchemy import delete, func, insert, select, update
from town import Blank

from bot.app import House
from bot.clock import Clock
from bot.simulator.stage import listener, port_of, settings_of
from bot.slow import Runner
from bot.step import providable
from handlers.asking import VERBS, Coded, Intent, unpack
from handlers.routing import Told, load, shop
from models.audit import Audit
from models.follower import Follower
from models.order import Order
from models.outbox import Outbox
from models.paytoken import friend_mark
from models.staff import Role, Staff
from models.talk import Talk

load(providable)

ANYONE, SUPPORT, CLERK, MANAGER, OWNER, HOUSE = Role
PEOPLE = (ANYONE, SUPPORT, CLERK, MANAGER, OWNER)

# Intent → who may (a higher role may as well), and words that mean it; "" where it cannot be said: it is the answer
# to a question, a line of a list, what 确认 carries out, an event, or what the world has done.
INTENTS: dict[str, tuple[Role, str]] = {
    # coming and going
    "Arrive": (ANYONE, ""),
    "Scan": (ANYONE, ""),
    "Leave": (ANYONE, ""),
    "Silent": (ANYONE, ""),
    "Help": (ANYONE, "帮助"),
    "NotUnderstood": (ANYONE, ""),
    "BeyondList": (ANYONE, ""),
    "ListGone": (ANYONE, ""),
    "StrangeThing": (ANYONE, ""),
    "DropCommand": (ANYONE, ""),
    "CancelQuestion": (ANYONE, "算了"),
    "Simple": (ANYONE, "简单点"),
    "WelcomeNews": (ANYONE, ""),
    "Wanted": (ANYONE, ""),
    # looking around
    "Browse": (ANYONE, "商品"),
    "ShowProduct": (ANYONE, "看 A1"),
    "Search": (ANYONE, "搜 龙井"),
    "More": (ANYONE, "更多"),
    "Back": (ANYONE, "返回"),
    # everyday questions
    "MyParcel": (ANYONE, ""),
    "LateParcel": (ANYONE, ""),
    "MyPayment": (ANYONE, ""),
    "SaysPaid": (ANYONE, ""),
    "MyRefund": (ANYONE, ""),
    "ChangeOrder": (ANYONE, ""),
    "Care": (ANYONE, ""),
    "SomethingWrong": (ANYONE, ""),
    "Freight": (ANYONE, ""),
    "Discounts": (ANYONE, "coupons"),
    "ProductFacts": (ANYONE, ""),
    "AboutShop": (ANYONE, ""),
    "Health": (ANYONE, ""),
    "SmallTalk": (ANYONE, ""),
    "Anger": (ANYONE, ""),
    "Person": (ANYONE, "人工"),
    "NotOffered": (ANYONE, "抽奖"),
    "Forget": (ANYONE, "注销"),
    "ForgetNow": (ANYONE, "注销确认"),
    # the cart
    "ShowCart": (ANYONE, "购物车"),
    "AddToCart": (ANYONE, "加 A1"),
    "EditLine": (ANYONE, ""),
    "ChangeCart": (ANYONE, "改 1 x2"),
    "DropFromCart": (ANYONE, "删 1"),
    "ClearCart": (ANYONE, "清空"),
    "Checkout": (ANYONE, "结算"),
    # where it goes
    "ShowAddress": (ANYONE, "地址"),
    "SetAddress": (ANYONE, "地址 张三 13800138000 浙江省杭州市西湖区文三路1号"),
    "PrivateWords": (ANYONE, ""),
    "MeanAddress": (ANYONE, ""),
    "SendTo": (ANYONE, "寄 公司"),
    "DropAddress": (ANYONE, "删地址 公司"),
    # buying
    "Buy": (ANYONE, "买 A1"),
    "BuyLines": (ANYONE, ""),
    "BuyAgain": (ANYONE, "再来一单"),
    "ShowPay": (ANYONE, ""),
    "StartPay": (ANYONE, ""),
    "ListOrders": (ANYONE, "订单"),
    "ShowOrder": (ANYONE, "订单 K7M2P9QA"),
    "OrderInWords": (ANYONE, ""),
    "PayOrder": (ANYONE, "付款"),
    "PayByToken": (ANYONE, "付款 K7M2P9QA-T7X"),
    "PayElsewhere": (ANYONE, "微信付 K7M2P9QA"),
    "PayForMe": (ANYONE, "代付 K7M2P9QA"),
    "CancelOrder": (ANYONE, "取消 K7M2P9QA"),
    "TrackOrder": (ANYONE, "物流"),
    "ReceiveOrder": (ANYONE, "收货"),
    # after-sale
    "RefundOrder": (ANYONE, "退款"),
    "AskBack": (ANYONE, "退款 K7M2P9QA 坏了"),
    "ListCases": (ANYONE, "售后"),
    "ReopenCase": (ANYONE, "再申请"),
    "ShowCase": (ANYONE, "售后 K7M2P9QA"),
    "WithdrawCase": (ANYONE, "撤回 K7M2P9QA"),
    "TakeOffer": (ANYONE, "接受"),
    "SendBack": (ANYONE, "寄回 K7M2P9QA SF1234567890"),
    "WayOfReturn": (ANYONE, "寄到哪里"),
    "ShowPicture": (ANYONE, ""),
    "SayAbout": (ANYONE, "聊 K7M2P9QA 明天到"),
    # second thoughts
    "ChangeAddress": (ANYONE, "改地址 K7M2P9QA 张三 13800138000 浙江省杭州市西湖区文三路1号"),
    "ChangePart": (ANYONE, ""),
    "ChangeSpec": (ANYONE, "换规格 K7M2P9QA 500g"),
    "PickUp": (ANYONE, "自提 K7M2P9QA"),
    "PaySupplement": (ANYONE, "补差价 K7M2P9QA"),
    "DropSupplement": (ANYONE, "不换了 K7M2P9QA"),
    "NoteOrder": (ANYONE, "备注 K7M2P9QA 少放糖"),
    # group-buys and cards
    "ShowGroup": (ANYONE, "看 G7K2"),
    "JoinGroup": (ANYONE, "参团 G7K2"),
    "Groups": (ANYONE, "团"),
    "OpenGroup": (ANYONE, "开团 A6"),
    "MyGroups": (ANYONE, "我的团"),
    "LeaveGroup": (ANYONE, "退团 G7K2"),
    "InviteCard": (ANYONE, "邀请卡"),
    "OpenCard": (ANYONE, ""),
    # what may be pushed
    "Subscribe": (ANYONE, "订阅 龙井"),
    "SubscribeNews": (ANYONE, ""),
    "Unsubscribe": (ANYONE, "退订"),
    "MySubscriptions": (ANYONE, "我的订阅"),
    "PausePushes": (ANYONE, "暂停"),
    "ResumePushes": (ANYONE, "恢复"),
    "QuietHours": (ANYONE, "免打扰 22-8"),
    "WeeklyCap": (ANYONE, "每周2条"),
    # staff
    "BindStaff": (ANYONE, "绑定 123456"),
    "Confirm": (SUPPORT, "确认 1234"),
    "Undo": (SUPPORT, "撤销"),
    "ListToShip": (CLERK, "待发货"),
    "Ship": (CLERK, "发货 K7M2P9QA SF1234567890"),
    "ShowLabel": (CLERK, "面单 K7M2P9QA"),
    "PickList": (CLERK, "拣货"),
    "LookAtOrder": (SUPPORT, ""),
    "SendElsewhere": (CLERK, ""),
    "ShipSomehow": (CLERK, ""),
    "KeepAsIs": (CLERK, "不改 K7M2P9QA 已经封箱"),
    "HandOut": (CLERK, "核销 K7M2PQ"),
    "AgreeCase": (MANAGER, "同意 K7M2P9QA"),
    "AgreeNow": (MANAGER, ""),
    "RefuseCase": (MANAGER, "拒绝 K7M2P9QA 拆封了"),
    "GivePart": (MANAGER, "退 K7M2P9QA 10"),
    "GivePartNow": (MANAGER, ""),
    "Resend": (MANAGER, "补发 K7M2P9QA"),
    "ResendNow": (MANAGER, ""),
    "SetReturns": (MANAGER, "七天无理由 A1 不支持"),
    "SellerCancel": (MANAGER, "取消 K7M2P9QA 缺货"),
    "SellerCancelNow": (MANAGER, ""),
    "TakeMoney": (MANAGER, "收款 K7M2P9QA 46"),
    "TakeMoneyNow": (MANAGER, ""),
    "GiveBack": (MANAGER, "已退 K7M2P9QA"),
    "GiveBackNow": (MANAGER, ""),
    "TakeRest": (MANAGER, "打烊 到3月10日"),
    "TakeRestNow": (MANAGER, ""),
    "OpenAgain": (MANAGER, "营业"),
    "StopSelling": (MANAGER, "停售 全店"),
    "SellAgain": (MANAGER, "开售 全店"),
    "SellAgainNow": (MANAGER, ""),
    "SetPromise": (MANAGER, "发货承诺 48小时 16:00前当天发"),
    "SetDiscount": (MANAGER, "限时 A1 9折 3天"),
    "PutDiscount": (MANAGER, ""),
    "StopDiscount": (MANAGER, "停限时 A1"),
    "ShowFreight": (MANAGER, "运费表"),
    "SetFreight": (MANAGER, "设运费 首1件6元 续1件1元"),
    "PutFreight": (MANAGER, ""),
    "Publish": (MANAGER, "上架 新茶 88 库存5"),
    "PublishNow": (MANAGER, ""),
    "PutOn": (MANAGER, "上架 A1"),
    "PutOnNow": (MANAGER, ""),
    "TakeOff": (MANAGER, "下架 A1"),
    "SetPrice": (MANAGER, "改价 A1-1 30"),
    "SetPriceNow": (MANAGER, ""),
    "SetStock": (MANAGER, "库存 A1-1 +5"),
    "SetStockNow": (MANAGER, ""),
    "Today": (MANAGER, "今日"),
    "SetOffer": (MANAGER, "设团 A1 3人 19.9 24小时"),
    "SetOfferSomehow": (MANAGER, "设团"),
    "PutOffer": (MANAGER, ""),
    "StopOffer": (MANAGER, "停团 A6"),
    "PlanPush": (MANAGER, "推送 #龙井 明天10:00 到了"),
    "SchedulePush": (MANAGER, ""),
    "ListPushes": (MANAGER, "推送列表"),
    "ShowPush": (MANAGER, ""),
    "CancelPush": (MANAGER, "取消推送 P7K2"),
    "NotYet": (MANAGER, "后台"),
    "ListStaff": (OWNER, "员工"),
    "GrantRole": (OWNER, "授权 店员"),
    "Dismiss": (OWNER, "撤权 1"),
    "DismissNow": (OWNER, ""),
    "ShowTrail": (OWNER, "日志"),
    # what the world has done
    "PrepayMade": (HOUSE, ""),
    "PrepayRefused": (HOUSE, ""),
    "TradeSeen": (HOUSE, ""),
    "RefundSeen": (HOUSE, ""),
    "AskAgain": (HOUSE, ""),
    "CloseOverdue": (HOUSE, ""),
    "EndSupplement": (HOUSE, ""),
    "RemindRefused": (HOUSE, ""),
    "PayBackAgain": (HOUSE, ""),
    "RemindOwed": (HOUSE, ""),
    "JudgeGroup": (HOUSE, ""),
    "RightLost": (HOUSE, ""),
    "ReleasePush": (HOUSE, ""),
    "WarnPromise": (HOUSE, ""),
    "BreakPromise": (HOUSE, ""),
    "ReceiveByItself": (HOUSE, ""),
    "CaseDue": (HOUSE, ""),
    "PictureFetched": (HOUSE, ""),
    "SealLedger": (HOUSE, ""),
    "CardDrawn": (HOUSE, ""),
}
STAFF = {name: (role, said) for name, (role, said) in INTENTS.items() if ANYONE < role < HOUSE}
NOT_YOURS = "这件事现在轮不到您来做了，请找店主。"

KINDS: dict[str, type[Intent]] = {kind.__name__: kind for kind in VERBS.values()}


def test_every_intent_stands_in_the_table_with_its_role() -> None:
    assert {name: kind.role for name, kind in KINDS.items()} == {name: role for name, (role, _) in INTENTS.items()}


def test_every_intent_that_can_be_said_is_said_in_the_table() -> None:
    silent = {name for name, kind in KINDS.items() if shop.said.get(kind) and not INTENTS[name][1]}
    assert not silent


def test_what_only_the_world_does_can_be_said_by_nobody() -> None:
    for name, kind in KINDS.items():
        if INTENTS[name][0] is HOUSE:
            assert kind not in shop.said, name
            assert unpack(kind.verb) is None, f"{name}: a code from outside would do"
            assert not kind.page


def test_no_page_shows_what_staff_see() -> None:
    """Whoever opens /h/<code> is nobody: there is no login yet."""
    assert not [name for name, kind in KINDS.items() if kind.page and kind.role > ANYONE]


def test_no_code_from_a_menu_a_scan_or_a_tap_changes_the_shop() -> None:
    coded = {name for name, kind in KINDS.items() if issubclass(kind, Coded) and kind.role > ANYONE and kind.changes}
    assert not coded


# -- through the desk ------------------------------------------------------------------------------------


class Door:
    """The desk of a stocked shop, and people of every role who have never said anything."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._people: dict[tuple[str, Role], list[tuple[int, str]]] = {}
        self._keys = itertools.count(1)

    async def fill(self, channel: str, role: Role, count: int) -> None:
        """So many new followers of a role, each with an empty talk."""
        account, whos = self._account(channel), [f"{channel}-{role.name}-{n}" for n in range(count)]
        same = {"channel": channel, "account": account, "since": NOON, "following": True, "name": ""}
        async with self.house.store.session() as session, session.begin():
            made = await session.execute(insert(Follower).returning(Follower.id), [same | {"who": who} for who in whos])
            ids = list(made.scalars())
            talk = {"number": 0, "state": {}, "missed": 0}
            await session.execute(insert(Talk), [talk | {"follower_id": one} for one in ids])
            if role > ANYONE:
                row = {"role": int(role), "since": NOON}
                await session.execute(insert(Staff), [row | {"follower_id": one} for one in ids])
        self._people[channel, role] = list(zip(ids, whos, strict=True))

    def someone(self, role: Role = ANYONE, channel: str = "wechat") -> tuple[int, str]:
        """(row id, who) of somebody of this role who has not said anything yet."""
        return self._people[channel, role].pop()

    def _account(self, channel: str) -> str:
        section: Any = getattr(self.house.settings, channel)
        return str(section.account)

    async def hears(self, someone: tuple[int, str], words: str, channel: str = "wechat", **more: Any) -> str:
        """What one is answered, through the door or, where that is not private, by a message."""
        key = f"k{next(self._keys)}"
        told = Told(channel, self._account(channel), someone[1], key, text=words, **more)
        answer = await self.house.desk.hear(told)
        sent = await self.house.store.reader.all(
            select(Outbox.payload).where(Outbox.kind == "answer", Outbox.follower_id == someone[0]).order_by(Outbox.id)
        )
        return "\n".join(filter(None, (answer.text, answer.media_id, *(row.payload["text"] for row in sent))))

    async def acts(self) -> int:
        """How many acts of staff are in the log."""
        row = await self.house.store.reader.one(select(func.count()).select_from(Audit))
        return int(row[0]) if row else 0

    async def plant(self, talks: Mapping[int, Mapping[str, Any]]) -> None:
        """Write into the talks of these people, all at once."""
        async with self.house.store.session() as session, session.begin():
            for one, state in talks.items():
                await session.execute(update(Talk).where(Talk.follower_id == one).values(state=dict(state)))


@pytest.fixture(scope="module")
async def door(blank: Blank, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    """A shop without any network: nobody is told anything but through the desk."""
    house = await quiet_house(blank, postgres, tmp_path_factory.mktemp("roles"))
    made = Door(house)
    for role in PEOPLE:
        await made.fill("wechat", role, 16 * len(STAFF) if role is ANYONE else 4 * len(STAFF))
        await made.fill("weibo", role, len(STAFF) + 2)
    yield made
    await house.stop()


async def quiet_house(blank: Blank, postgres: Postgres, folder: Path, port: int = 1, **server: Any) -> House:
    """A stocked shop on SQLite behind whose API classes nobody listens; `server` changes that section."""
    shutil.copytree(blank.folder / "cashier", folder / "cashier")
    clock = Clock()
    clock.freeze(NOON)
    url = await copied(f"sqlite:///{blank.file}", folder, postgres)
    settings = settings_of(folder, port, 2, 3, database=url)
    house = House(settings.model_copy(update={"server": settings.server.model_copy(update=server)}), clock)
    await house.open()
    return house


@pytest.mark.parametrize("name", [name for name, (_, said) in STAFF.items() if said])
async def test_a_staff_command_exists_for_its_role_and_above_and_for_nobody_else(door: Door, name: str) -> None:
    """Below it, the very words are answered as a customer's are: nothing tells that there is such a command."""
    least, said = STAFF[name]
    customers = await door.hears(door.someone(), said)
    answers = {role: await door.hears(door.someone(role), said) for role in PEOPLE}
    assert {role: answer == customers for role, answer in answers.items()} == {role: role < least for role in PEOPLE}


@pytest.mark.parametrize("channel", ["wechat", "weibo"])
async def test_where_anybody_could_have_written_the_words_there_are_no_staff(door: Door, channel: str) -> None:
    """Weibo signs no body, nor does WeChat in plain mode: an owner who is bound is a customer there."""
    for name, (_, said) in STAFF.items():
        if said:
            customers = await door.hears(door.someone(channel=channel), said, channel, signed=False)
            assert await door.hears(door.someone(OWNER, channel), said, channel, signed=False) == customers, name


@pytest.mark.parametrize("said", ["售后", "售后 23456789", "聊 23456789 您好", "帮助"])
async def test_what_both_sides_say_is_a_customer_s_word_where_anybody_could_have_written_it(
    door: Door, said: str
) -> None:
    customers = await door.hears(door.someone(), said, signed=False)
    assert await door.hears(door.someone(OWNER), said, signed=False) == customers
    assert await door.hears(door.someone(OWNER), "售后") != await door.hears(door.someone(), "售后")


@pytest.mark.parametrize("channel", ["wechat", "weibo"])
async def test_where_anybody_could_have_written_the_words_nobody_is_bound(door: Door, channel: str) -> None:
    assert "没听懂" in await door.hears(door.someone(channel=channel), "绑定 123456", channel, signed=False)
    assert "没听懂" not in await door.hears(door.someone(), "绑定 123456")


async def test_a_code_gives_nobody_what_their_words_would_not(door: Door) -> None:
    for name, kind in KINDS.items():
        least, _ = INTENTS[name]
        if not issubclass(kind, Coded) or least is ANYONE:
            continue
        code = kind.verb
        customers = await door.hears(door.someone(), "", code=code, tapped=True)
        for role in (role for role in PEOPLE if ANYONE < role < least):
            assert await door.hears(door.someone(role), "", code=code, tapped=True) == customers, (name, role)
        forged = [await door.hears(door.someone(r), "", code=code, tapped=True, signed=False) for r in (OWNER, ANYONE)]
        assert forged[0] == forged[1], name


# -- what is remembered from a higher role ---------------------------------------------------------------

AT = NOON.timestamp()
# Everything the talk may hold beside words: what was said with a role stays there when the role is gone.
HELD: dict[str, tuple[Callable[..., dict[str, Any]], str]] = {
    "a line of a list": (lambda intent, *field: {"offered": [intent], "offered_at": AT}, "1"),
    "a stale list": (lambda intent, *field: {"offered": [intent], "offered_at": AT - 3600, "listing": intent}, "1"),
    "more of a list": (lambda intent, *field: {"more": intent}, "更多"),
    "the list to go back to": (lambda intent, *field: {"listing": intent}, "返回"),
    "an answer to a question": (lambda intent, field: {"question": _question(intent, field)}, "1"),
    "what waits for 确认": (
        lambda intent, *field: {"pending": {"intent": intent, "code": "", "until": AT + 60}},
        "确认",
    ),
}


def _question(intent: dict[str, Any], field: str) -> dict[str, Any]:
    return {"intent": intent, "field": field, "options": ["1", "2"], "labels": ["甲", "乙"], "at": AT}


@pytest.mark.parametrize("held", list(HELD))
async def test_who_was_dismissed_gets_nothing_out_of_what_was_on_screen(door: Door, held: str) -> None:
    """A dismissed clerk once read the next page of addresses by 更多, and shipped by answering "1" to a question."""
    make, said = HELD[held]
    talks, people = {}, {}
    for name in STAFF:
        kind = KINDS[name]
        fields = [f.name for f in dataclasses.fields(kind)]
        if fields or "question" not in held:
            people[name] = door.someone()
            talks[people[name][0]] = make({"verb": kind.verb}, *fields[:1])
    await door.plant(talks)
    acts = await door.acts()
    nothing = await door.hears(door.someone(), said)
    for name, who in people.items():
        heard = await door.hears(who, said)
        assert heard in (nothing, NOT_YOURS) or re.search("没听懂|清单过期了", heard), f"{name}: {heard}"
    assert await door.acts() == acts


async def test_a_lower_role_confirms_nothing_that_a_higher_one_has_begun(door: Door) -> None:
    talks, people = {}, {}
    for name, (least, _) in STAFF.items():
        for role in (role for role in PEOPLE if SUPPORT <= role < least):
            people[name, role] = door.someone(role)
            talks[people[name, role][0]] = HELD["what waits for 确认"][0]({"verb": KINDS[name].verb})
    await door.plant(talks)
    acts = await door.acts()
    for (name, role), who in people.items():
        assert await door.hears(who, "确认") == NOT_YOURS, (name, role)
    assert await door.acts() == acts


async def test_who_was_dismissed_is_a_customer_with_the_next_word(door: Door) -> None:
    for name, (role, said) in STAFF.items():
        if not said:
            continue
        one = door.someone(role)
        customers = await door.hears(door.someone(), said)
        async with door.house.store.session() as session, session.begin():
            await session.execute(delete(Staff).where(Staff.follower_id == one[0]))
        assert await door.hears(one, said) == customers, name


# -- every address by every caller -----------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """What an address answers: on this machine, from the network, to another site's page, and with a token."""

    example: str
    local: int
    network: int
    foreign: int
    token: int | None = None  # None: no token opens it


def open_to_all(example: str, status: int = 200) -> Row:
    return Row(example, status, status, status)


PAY = "/pay/{code}"  # an order that waits for its payment
ROUTES: dict[tuple[str, str], Row] = {
    # the doors: who cannot sign gets nothing, wherever from
    ("GET", "/wechat"): open_to_all("/wechat?echostr=1", 403),
    ("POST", "/wechat"): open_to_all("/wechat", 403),
    ("GET", "/weibo"): open_to_all("/weibo?echostr=1", 403),
    ("POST", "/weibo"): open_to_all("/weibo", 403),
    ("POST", "/pay/wechat/notify"): open_to_all("/pay/wechat/notify", 401),
    ("POST", "/pay/wechat/refund-notify"): open_to_all("/pay/wechat/refund-notify", 401),
    # pages: looking is free, a button takes the page's own token
    ("GET", "/"): open_to_all("/"),
    ("GET", "/h/{code}"): open_to_all("/h/browse"),
    ("POST", "/h/{code}"): open_to_all("/h/browse", 404),  # it changes nothing: there is no button
    ("GET", "/pay/{code}"): open_to_all(PAY),
    ("POST", "/pay/{code}"): Row(PAY, 403, 403, 403, token=200),
    ("GET", "/pay/{code}/state"): open_to_all(f"{PAY}/state"),
    ("GET", "/pay/{code}/{friend}"): open_to_all(f"{PAY}/{{mark}}"),
    ("POST", "/pay/{code}/{friend}"): Row(f"{PAY}/{{mark}}", 403, 403, 403, token=200),
    ("GET", "/oauth/wechat"): open_to_all("/oauth/wechat?state=0&code=0", 403),
    ("GET", "/pic/{sha}{small}.jpg"): open_to_all(f"/pic/{'0' * 64}.jpg", 404),
    ("GET", "/about/{name}"): open_to_all("/about/privacy"),
    ("GET", "/MP_verify_{name}.txt"): open_to_all("/MP_verify_x.txt", 404),
    ("GET", "/static"): open_to_all("/static/{version}/shop.css"),
    # operation: this machine, or a token; a proxy in front is the network
    ("GET", "/healthz"): open_to_all("/healthz"),
    ("GET", "/readyz"): Row("/readyz", 200, 404, 200, token=200),
    ("GET", "/metrics"): Row("/metrics", 200, 404, 200, token=200),
}
METRICS_TOKEN = "metrics-token-of-the-roles-test"


def named(route: web.AbstractRoute) -> tuple[str, str]:
    """(method, path) as the table has it, without what the static files' address and the patterns add."""
    path = route.resource.canonical if route.resource is not None else ""
    return route.method, re.sub(r"^/static/.*", "/static", path)


@dataclass(frozen=True)
class Site:
    """A shop with every door, asked from this machine and, by another one of it, from behind a proxy."""

    local: str
    network: str
    code: str
    version: str
    http: aiohttp.ClientSession
    routes: frozenset[tuple[str, str]]
    marks: Mapping[str, str]  # of a friend's pay link, by site

    async def ask(self, method: str, base: str, path: str, **headers: str) -> int:
        path = path.replace("{code}", self.code).replace("{version}", self.version).replace("{mark}", self.marks[base])
        async with self.http.request(method, base + path, headers=headers, allow_redirects=False) as response:
            return response.status

    async def press(self, path: str) -> int:
        """The button of a page, with the cookie and the token that the page gave."""
        url = self.local + path.replace("{code}", self.code).replace("{mark}", self.marks[self.local])
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            async with browser.get(url) as page:
                token = re.search(r'name="token" value="([^"]+)"', await page.text())
            assert token
            form, origin = {"token": token[1]}, {"Origin": self.local}
            async with browser.post(url, data=form, headers={"Origin": "https://evil.example"}) as foreign:
                assert foreign.status == 403, "a token alone, from another site's page"
            async with browser.post(url, data={"token": token[1][::-1]}, headers=origin) as wrong:
                assert wrong.status == 403, "another token, from our own page"
            async with browser.post(url, data=form, headers=origin) as response:
                return response.status


@pytest.fixture(scope="module")
async def site(blank: Blank, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    houses, runners, bases = [], [], []
    for proxies in ((), ("127.0.0.1",)):
        at = listener()
        url = f"http://127.0.0.1:{port_of(at)}"
        secret = SecretStr(METRICS_TOKEN)
        folder = tmp_path_factory.mktemp("site")
        house = await quiet_house(blank, postgres, folder, port_of(at), trusted_proxies=proxies, metrics_token=secret)
        await house.shared.put("worker", str(house.clock.timestamp()), 120)
        runner = Runner(house.application(), access_log=None, handle_signals=False)
        await runner.setup()
        await web.SockSite(runner, at).start()
        houses.append(house)
        runners.append(runner)
        bases.append(url)
    code = "PAYME23456"
    for house in houses:
        one = Door(house)
        await one.fill("wechat", ANYONE, 1)
        mei = one.someone()
        for words in ("地址 张三 13800138000 浙江省杭州市西湖区文三路1号", "买 A11", "1"):
            await one.hears(mei, words)
        async with house.store.session() as session, session.begin():
            await session.execute(update(Order).values(pay_code=code))
    routes = frozenset(named(r) for r in runners[0].app.router.routes() if r.method != "HEAD")
    version = next(r.resource.canonical for r in runners[0].app.router.routes() if "/static/" in r.resource.canonical)
    marks = {base: friend_mark(code, house.keys.derive("friend")) for base, house in zip(bases, houses, strict=True)}
    async with aiohttp.ClientSession() as http:
        yield Site(bases[0], bases[1], code, version.split("/")[2], http, routes, marks)
    for runner, house in zip(runners, houses, strict=True):
        await runner.cleanup()
        await house.stop()


async def test_every_route_stands_in_the_table(site: Site) -> None:
    """Outside the demo, that is: there is no way to the simulator."""
    assert site.routes == set(ROUTES)


@pytest.mark.parametrize(("method", "path"), list(ROUTES))
async def test_an_address_opens_to_whom_the_table_says(site: Site, method: str, path: str) -> None:
    row = ROUTES[method, path]
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    bearer = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    assert await site.ask(method, site.local, row.example) == row.local
    assert await site.ask(method, site.network, row.example) == row.network
    assert await site.ask(method, site.local, row.example, **foreign) == row.foreign
    if method == "POST" and row.token is not None:
        assert await site.press(row.example) == row.token
    else:
        assert await site.ask(method, site.network, row.example, **bearer) == (row.token or row.network)
    wrong = {"Authorization": f"Bearer {METRICS_TOKEN[::-1]}"}
    assert await site.ask(method, site.network, row.example, **wrong) == row.network
    assert await site.ask("DELETE", site.local, row.example) == 405


@pytest.mark.parametrize("path", ["/simulator", "/simulator/", "/simulator/state", "/admin", "/console", "/.env"])
async def test_what_is_in_no_table_is_not_there(site: Site, path: str) -> None:
    for method in ("GET", "POST"):
        assert await site.ask(method, site.local, path) == 404
