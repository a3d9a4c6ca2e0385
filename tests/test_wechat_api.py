"""WeChat and Weibo as channels, against a real server that plays the platform."""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web
from knocking import AT, OPENID, clock, wechat, weibo

from bot.channel import Channel, SendFailed
from bot.clock import Clock
from bot.face import Answer, Article
from bot.outward import ANSWER, redacted
from bot.shared import InProcess
from bot.wechat.api import WeChat
from bot.wechat.tokens import Token, TokensHere, TokensShared
from bot.weibo.api import Weibo

SECRET = "s3cret-of-wechat-0123456789"


@dataclass
class Platform:
    """The platform's end: hands out tokens, knows which one is alive, answers what it is told to answer."""

    now: Clock
    base: str = ""
    alive: str = "T1"
    issued: str = "T1"
    fetched: int = 0
    forced: int = 0
    refused: int = 0
    calls: list[tuple[str, dict[str, str], bytes, str]] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def token(self, request: web.Request) -> web.Response:
        told = await request.json()
        self.fetched += 1
        self.asked.set()
        if told["force_refresh"]:
            self.forced += 1
            self.alive = self.issued = f"{self.alive}+"
        if self.gate is not None:
            await self.gate.wait()
        if "token" in self.answers:
            return web.json_response(self.answers["token"])
        assert told["secret"] == SECRET
        return web.json_response({"access_token": self.issued, "expires_in": 7200})

    async def call(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        path = request.path
        self.calls.append((path, dict(request.query), body, request.headers.get("Content-Type", "")))
        if path.startswith("/cgi-bin/") and request.query.get("access_token") != self.alive:
            self.refused += 1
            words = f"invalid credential, access_token is {request.query.get('access_token')} rid: 6-1-2"
            return web.json_response({"errcode": 40001, "errmsg": words}, content_type="text/plain")
        told = self.answers.get(path, {"errcode": 0, "errmsg": "ok"})
        if callable(told):
            made = told(request)
            return await made if asyncio.iscoroutine(made) else made
        # WeChat says text/plain, and lets control characters through.
        return web.Response(text=json.dumps(told, ensure_ascii=False), content_type="text/plain")

    def sent(self, path: str) -> Any:
        return json.loads(next(body for called, _, body, _ in self.calls if called == path))


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    playing = Platform(clock())
    app = web.Application(client_max_size=4 * 1024 * 1024)
    app.router.add_post("/cgi-bin/stable_token", playing.token)
    app.router.add_route("*", "/{rest:.*}", playing.call)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    playing.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield playing
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def shop(platform: Platform, http: aiohttp.ClientSession) -> WeChat:
    return WeChat(wechat(api_base=platform.base), http, platform.now.now)


@pytest.fixture
def fans(platform: Platform, http: aiohttp.ClientSession) -> Weibo:
    return Weibo(weibo(api_base=platform.base, upload_base=platform.base), http)


def test_both_are_channels(shop: WeChat, fans: Weibo) -> None:
    channels: list[Channel] = [shop, fans]
    assert [(c.name, c.signed, c.tappable, c.room, c.unit) for c in channels] == [
        ("wechat", True, True, 2048, "bytes"),
        ("weibo", False, False, 280, "characters"),
    ]


# -- the token ----------------------------------------------------------------------------------------------


async def test_fifty_calls_after_the_token_died_make_one_renewal(platform: Platform, shop: WeChat) -> None:
    await shop.say(OPENID, Answer("先"), key="0")
    assert platform.fetched == 1
    platform.alive = platform.issued = "T2"
    await asyncio.gather(*(shop.say(OPENID, Answer(f"第{n}条"), key=str(n)) for n in range(50)))
    assert platform.fetched == 2
    assert platform.forced == 0
    said = [
        json.loads(body)["text"]["content"] for path, query, body, _ in platform.calls if query["access_token"] == "T2"
    ]
    assert sorted(said) == sorted(f"第{n}条" for n in range(50)), "each once"
    assert platform.refused <= 50


async def test_fifty_first_calls_make_one_request_for_a_token(platform: Platform, shop: WeChat) -> None:
    await asyncio.gather(*(shop.client.token() for _ in range(50)))
    assert platform.fetched == 1


async def test_a_refused_token_is_tried_again_once_and_no_more(platform: Platform, shop: WeChat) -> None:
    platform.answers["/cgi-bin/message/custom/send"] = {"errcode": 42001, "errmsg": "access_token expired"}
    with pytest.raises(SendFailed) as failed:
        await shop.say(OPENID, Answer("好"), key="1")
    assert (failed.value.reason, failed.value.code) == ("tokens", 42001)
    assert len(platform.calls) == 2


async def test_a_stable_token_that_is_refused_is_forced_anew_but_not_twice_in_ten_minutes(
    platform: Platform, shop: WeChat
) -> None:
    await shop.client.token()
    platform.alive = "another"  # the platform still hands out T1, and refuses it
    platform.issued = "T1"
    await shop.say(OPENID, Answer("好"), key="1")
    assert platform.forced == 1
    platform.alive = "yet another"
    with pytest.raises(SendFailed, match="tokens"):
        await shop.say(OPENID, Answer("好"), key="2")
    assert platform.forced == 1
    platform.now.move(timedelta(minutes=11))
    await shop.say(OPENID, Answer("好"), key="3")
    assert platform.forced == 2


async def test_a_token_is_renewed_five_minutes_before_its_end(platform: Platform, shop: WeChat) -> None:
    await shop.client.token()
    platform.now.move(timedelta(seconds=7200 - 301))
    await shop.client.token()
    assert platform.fetched == 1
    platform.now.move(timedelta(seconds=2))
    await shop.client.token()
    assert platform.fetched == 2


async def test_one_who_gives_up_waiting_does_not_take_the_others_along(platform: Platform, shop: WeChat) -> None:
    platform.gate = asyncio.Event()
    first = asyncio.create_task(shop.client.token())
    await platform.asked.wait()
    others = [asyncio.create_task(shop.client.token()) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    others[0].cancel()
    await asyncio.gather(first, others[0], return_exceptions=True)
    platform.gate.set()
    assert await asyncio.gather(*others[1:]) == ["T1"] * 4
    assert first.cancelled()
    assert others[0].cancelled()
    assert platform.fetched == 2, "one of the others began anew"


async def test_a_renewal_that_fails_fails_for_all_who_wait_and_is_not_remembered(
    platform: Platform, shop: WeChat
) -> None:
    platform.answers["token"] = {"errcode": 40164, "errmsg": "invalid ip 1.2.3.4, not in whitelist"}
    platform.gate = asyncio.Event()
    waiting = [asyncio.create_task(shop.client.token()) for _ in range(20)]
    await platform.asked.wait()
    platform.gate.set()
    failed = await asyncio.gather(*waiting, return_exceptions=True)
    assert {(error.reason, error.code) for error in failed if isinstance(error, SendFailed)} == {("tokens", 40164)}
    assert len(failed) == 20
    assert platform.fetched == 1
    assert "1.2.3.4" in str(failed[0]), "doctor shows our address"
    del platform.answers["token"]
    assert await shop.client.token() == "T1"


async def test_processes_that_share_the_token_ask_for_it_once(platform: Platform, http: aiohttp.ClientSession) -> None:
    shared = InProcess(platform.now.now)
    account = wechat(api_base=platform.base)
    both = [
        WeChat(account, http, platform.now.now, TokensShared(shared, account.app_id, platform.now.now))
        for _ in range(2)
    ]
    await asyncio.gather(*(shop.say(OPENID, Answer("好"), key="1") for shop in both))
    assert platform.fetched == 1
    kept = await TokensShared(shared, account.app_id, platform.now.now).read()
    assert kept == Token("T1", platform.now.now() + timedelta(seconds=7200 - 300))


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"access_token": ""},
        {"access_token": 7, "expires_in": 7200},
        {"access_token": "T", "expires_in": "x"},
    ],
)
async def test_an_answer_without_a_token_is_no_token(platform: Platform, shop: WeChat, answer: dict[str, Any]) -> None:
    platform.answers["token"] = answer
    with pytest.raises(SendFailed) as failed:
        await shop.client.token()
    assert failed.value.reason == "later"


# -- saying something ---------------------------------------------------------------------------------------


async def test_words_go_out_with_real_characters(platform: Platform, shop: WeChat) -> None:
    await shop.say(OPENID, Answer("您的订单已发货 📦\n\x00\ud800"), key="1")
    path, _, body, kind = platform.calls[0]
    assert path == "/cgi-bin/message/custom/send"
    assert "您的订单已发货 📦".encode() in body
    assert kind.startswith("application/json")
    sent = {"touser": OPENID, "msgtype": "text", "text": {"content": "您的订单已发货 📦\n"}}
    assert json.loads(body) == sent


async def test_long_words_are_cut_to_what_wechat_takes(platform: Platform, shop: WeChat) -> None:
    await shop.say(OPENID, Answer("茶" * 1000), key="1")
    assert platform.sent("/cgi-bin/message/custom/send")["text"]["content"] == "茶" * 682


async def test_a_picture_goes_by_its_media_id(platform: Platform, shop: WeChat) -> None:
    await shop.say(OPENID, Answer("看", media_id="M1"), key="1")
    sent = {"touser": OPENID, "msgtype": "image", "image": {"media_id": "M1"}}
    assert platform.sent("/cgi-bin/message/custom/send") == sent


async def test_an_article_goes_alone(platform: Platform, shop: WeChat) -> None:
    article = Article("明前龙井", "¥128", "https://s.example.com/p.jpg", "https://s.example.com")
    await shop.say(OPENID, Answer(article=article), key="1")
    assert platform.sent("/cgi-bin/message/custom/send")["news"] == {
        "articles": [{"title": "明前龙井", "description": "¥128", "url": article.url, "picurl": article.picture}]
    }


async def test_nothing_to_say_is_not_sent(platform: Platform, shop: WeChat, fans: Weibo) -> None:
    await shop.say(OPENID, Answer("\x00"), key="1")
    await fans.say("2400000002", Answer(), key="1")
    assert platform.calls == []


REASONS = [
    (45015, "closed"),
    (45047, "used_up"),
    (43004, "gone"),
    (50005, "gone"),
    (46004, "gone"),
    (48002, "muted"),
    (-1, "later"),
    ("-1", "later"),
    (45011, "later"),
    (45009, "later"),
    (48001, "no_right"),
    (48004, "no_right"),
    (40003, "bad"),
    (40007, "bad"),
    (45002, "bad"),
    (99999, "bad"),
    (40125, "tokens"),
    (40164, "tokens"),
]


@pytest.mark.parametrize(("code", "reason"), REASONS)
async def test_what_wechat_says_is_named_in_our_words(
    platform: Platform, shop: WeChat, code: int | str, reason: str
) -> None:
    platform.answers["/cgi-bin/message/custom/send"] = {"errcode": code, "errmsg": "words rid: 1\x01"}
    with pytest.raises(SendFailed) as failed:
        await shop.say(OPENID, Answer("好"), key="1")
    assert (failed.value.reason, failed.value.code) == (reason, int(code))
    assert len(platform.calls) == 1, "not tried again"


async def test_over_a_rate_says_when_to_come_again(platform: Platform, shop: WeChat) -> None:
    for code, seconds in ((45011, 60.0), (45009, 17 * 3600 + 46 * 60 + 40.0), (-1, None)):
        platform.answers["/cgi-bin/message/custom/send"] = {"errcode": code, "errmsg": ""}
        with pytest.raises(SendFailed) as failed:
            await shop.say(OPENID, Answer("好"), key="1")
        assert failed.value.retry_after == seconds  # 45009: midnight in Beijing, from 06:13:20


async def broken(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


WIRES: list[tuple[Callable[[web.Request], Any], str, str]] = [
    (broken, "unknown", "later"),
    (lambda _: web.Response(status=502, text="<html>"), "unknown", "later"),
    (lambda _: web.Response(status=503), "later", "later"),
    (lambda _: web.Response(status=429), "later", "later"),
    (lambda _: web.Response(text="<html>"), "unknown", "later"),
    (lambda _: web.Response(text="[]"), "unknown", "later"),
    (lambda _: web.Response(text="[" * 100_000), "unknown", "later"),
    (lambda _: web.Response(body=b"x" * (ANSWER + 1)), "unknown", "later"),
    (lambda _: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}), "unknown", "later"),
]


@pytest.mark.parametrize(("wire", "said", "asked"), WIRES, ids=range(len(WIRES)))
async def test_what_may_have_arrived_is_unknown_and_never_success(
    platform: Platform, shop: WeChat, fans: Weibo, wire: Any, said: str, asked: str
) -> None:
    for path in ("/cgi-bin/message/custom/send", "/2/messages/reply.json", "/cgi-bin/qrcode/create"):
        platform.answers[path] = wire
    with pytest.raises(SendFailed) as failed:
        await shop.say(OPENID, Answer("好"), key="1")
    assert failed.value.reason == said
    with pytest.raises(SendFailed) as failed:
        await fans.say("2400000002", Answer("好"), key="1")
    assert failed.value.reason == said
    with pytest.raises(SendFailed) as failed:
        await shop.scene_url("join:G7K2", 60)
    assert failed.value.reason == asked


async def test_a_platform_that_does_not_listen_is_later(http: aiohttp.ClientSession) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # taken, but nobody listens
        base = f"http://127.0.0.1:{held.getsockname()[1]}"
        tokens = TokensHere()
        await tokens.keep(Token("T1", clock(AT + 3600).now()))
        for channel in (
            WeChat(wechat(api_base=base), http, clock().now, tokens),
            Weibo(weibo(api_base=base), http),
        ):
            with pytest.raises(SendFailed) as failed:
                await channel.say("2400000002", Answer("好"), key="1")
            assert failed.value.reason == "later"


async def test_no_secret_and_no_token_is_in_an_error_or_a_log(
    platform: Platform, shop: WeChat, fans: Weibo, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    platform.alive = platform.issued = "T0KEN-of-the-platform"
    say, ask = "/cgi-bin/message/custom/send", "/2/messages/reply.json"
    token = weibo().access_token.get_secret_value()
    leaky = f"bad T0KEN-of-the-platform {SECRET} {token} https://x/y?access_token=T0KEN-of-the-platform&z"
    for answer in ({"errcode": 40003, "errmsg": leaky, "error_code": 10001, "error": leaky}, broken):
        platform.answers[say] = platform.answers[ask] = answer
        for channel, who in ((shop, OPENID), (fans, "2400000002")):
            with pytest.raises(SendFailed) as failed:
                await channel.say(who, Answer("好"), key="1")
            told = repr(failed.value) + str(failed.value) + repr(failed.value.__cause__)
            told += caplog.text
            mine = ("T0KEN-of-the-platform", SECRET) if channel is shop else (token,)
            assert not any(secret in told for secret in mine)
            assert failed.value.__cause__ is None
    assert redacted("no token at https://x/y?a=1 here", {}) == "no token at https://x/y?… here"


# -- pictures, QR codes, the menu, what the account may do --------------------------------------------------


async def test_a_picture_is_uploaded_and_trusted_for_an_hour_less_than_three_days(
    platform: Platform, shop: WeChat
) -> None:
    platform.answers["/cgi-bin/media/upload"] = {"type": "image", "media_id": "M9", "created_at": AT}
    media = await shop.upload(b"\xff\xd8" + b"\x00" * 1000, "card.jpg")
    assert media.media_id == "M9"
    assert media.good_until == platform.now.now() + timedelta(days=3) - timedelta(hours=1)
    _, query, body, kind = platform.calls[0]
    assert query["type"] == "image"
    assert kind.startswith("multipart/form-data")
    assert b'name="media"; filename="card.jpg"' in body
    assert b"Content-Type: image/jpeg" in body
    assert b"\xff\xd8" in body


async def test_a_picture_is_sent_whole_again_after_the_token_died(platform: Platform, shop: WeChat) -> None:
    await shop.client.token()
    platform.alive = platform.issued = "T2"
    platform.answers["/cgi-bin/media/upload"] = {"type": "image", "media_id": "M9", "created_at": AT}
    await shop.upload(b"\xff\xd8" + b"\x00" * 1000, "card.jpg")
    bodies = [body for _, _, body, _ in platform.calls]
    assert len(bodies) == 2
    assert all(b"\x00" * 1000 in body for body in bodies)


async def test_too_large_a_picture_never_leaves(platform: Platform, shop: WeChat) -> None:
    with pytest.raises(SendFailed, match="bad"):
        await shop.upload(b"\x00" * (1024 * 1024 + 1), "card.jpg")
    assert platform.calls == []


async def test_a_scene_gets_its_url(platform: Platform, shop: WeChat) -> None:
    url = "http://weixin.qq.com/q/02abc"
    platform.answers["/cgi-bin/qrcode/create"] = {"ticket": "T", "expire_seconds": 60, "url": url}
    assert await shop.scene_url("join:G7K2", 10**9) == url
    assert platform.sent("/cgi-bin/qrcode/create") == {
        "expire_seconds": 2592000,
        "action_name": "QR_STR_SCENE",
        "action_info": {"scene": {"scene_str": "join:G7K2"}},
    }
    for scene in ("", "x" * 65):
        with pytest.raises(SendFailed, match="bad"):
            await shop.scene_url(scene, 60)


async def test_the_menu_is_replaced(platform: Platform, shop: WeChat) -> None:
    buttons = [{"type": "click", "name": "商品", "key": "goods"}]
    await shop.menu_push(buttons)
    assert platform.sent("/cgi-bin/menu/create") == {"button": buttons}
    assert "商品".encode() in platform.calls[0][2]


async def test_what_a_test_account_may_not_do_is_found_out(platform: Platform, shop: WeChat) -> None:
    platform.answers |= {
        "/cgi-bin/message/custom/send": {"errcode": 40003, "errmsg": "invalid openid"},
        "/cgi-bin/media/get": {"errcode": 40007, "errmsg": "invalid media_id"},
        "/cgi-bin/qrcode/create": {"errcode": 48001, "errmsg": "api unauthorized rid: 1"},
        "/cgi-bin/menu/get": {"errcode": 46003, "errmsg": "menu no exist"},
        "/sns/oauth2/access_token": {"errcode": 40029, "errmsg": "invalid code"},
    }
    rights = await shop.capabilities()
    assert {right.name: right.may for right in rights} == {
        "access token": True,
        "customer messages": True,
        "pictures": True,
        "QR codes with a parameter": False,
        "menu": True,
        "web login": True,
    }
    assert "48001" in next(right.why for right in rights if not right.may)


async def test_an_account_without_a_token_is_asked_no_further(platform: Platform, shop: WeChat) -> None:
    platform.answers["token"] = {"errcode": 40125, "errmsg": "invalid appsecret"}
    rights = await shop.capabilities()
    assert [(right.name, right.may, right.code) for right in rights] == [("access token", False, 40125)]
    assert platform.calls == []


async def test_what_could_not_be_asked_is_neither_yes_nor_no(platform: Platform, shop: WeChat) -> None:
    platform.answers["/cgi-bin/menu/get"] = {"errcode": -1, "errmsg": "system busy"}
    rights = {right.name: right.may for right in await shop.capabilities()}
    assert rights["menu"] is None


# -- Weibo --------------------------------------------------------------------------------------------------


async def test_weibo_words_are_encoded_once(platform: Platform, fans: Weibo) -> None:
    await fans.say("2400000002", Answer("已发货 📦 100%"), key="1")
    path, _, body, kind = platform.calls[0]
    assert path == "/2/messages/reply.json"
    assert kind.startswith("application/x-www-form-urlencoded")
    form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    assert form["receiver_id"] == "2400000002"
    assert form["type"] == "text"
    assert form["access_token"] == "2.00-token-of-weibo"
    assert json.loads(form["data"]) == {"text": "已发货 📦 100%"}


async def test_weibo_articles(platform: Platform, fans: Weibo) -> None:
    article = Article("邀请卡", "还差 1 人", "https://s.example.com/card.jpg", "https://s.example.com/h/x")
    await fans.say("2400000002", Answer(article=article), key="1")
    form = parse_qs(platform.calls[0][2].decode())
    assert form["type"] == ["articles"]
    assert json.loads(form["data"][0])["articles"][0]["image"] == "https://s.example.com/card.jpg"


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"error_code": 21327, "error": "expired_token"}, "tokens"),
        ({"error_code": "21332", "error": "invalid_access_token"}, "tokens"),
        ({"error_code": 10023, "error": "User requests out of rate limit!"}, "later"),
        ({"error_code": 10001, "error": "System error!"}, "later"),
        ({"error_code": 10014, "error": "Insufficient app permissions!"}, "no_right"),
        ({"error_code": 20012, "error": "Text too long!"}, "bad"),
        ({"errcode": 20003, "errmsg": "User does not exists!"}, "gone"),
        ({"error_code": 21999, "error": "not in the window"}, "closed"),
        ({"result": False}, "closed"),
    ],
)
async def test_what_weibo_says_is_named_in_our_words(
    platform: Platform, fans: Weibo, told: dict[str, Any], reason: str
) -> None:
    platform.answers["/2/messages/reply.json"] = told
    with pytest.raises(SendFailed) as failed:
        await fans.say("2400000002", Answer("好"), key="1")
    assert failed.value.reason == reason
    assert len(platform.calls) == 1


async def test_a_picture_of_a_message_is_fetched_by_its_id(platform: Platform, shop: WeChat, fans: Weibo) -> None:
    jpeg = b"\xff\xd8" + b"\x00" * (3 * 1024 * 1024)  # as large as a phone makes them
    give = lambda request: web.Response(body=jpeg, content_type="image/jpeg")  # noqa: E731
    platform.answers |= {"/cgi-bin/media/get": give, "/2/mss/msget": give}
    assert await shop.fetch("M1") == jpeg
    assert await fans.fetch("1234567") == jpeg
    path, query, *_ = platform.calls[-1]
    assert (path, query) == ("/2/mss/msget", {"access_token": "2.00-token-of-weibo", "fid": "1234567"})


@pytest.mark.parametrize("fid", ["", "1&access_token=x", "../menu", "1" * 129, "１"])
async def test_what_is_no_picture_s_id_is_not_asked_for(platform: Platform, fans: Weibo, fid: str) -> None:
    with pytest.raises(SendFailed, match="bad"):
        await fans.fetch(fid)
    assert platform.calls == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"error_code": 10014, "error": "Insufficient app permissions!"}, "no_right"),
        ({"error_code": "21332", "error": "invalid_access_token"}, "tokens"),
        ({"error_code": 28499, "error": "no such file"}, "bad"),
        ({"result": True}, "bad"),
    ],
)
async def test_a_picture_that_weibo_does_not_give(
    platform: Platform, fans: Weibo, said: dict[str, Any], reason: str
) -> None:
    platform.answers["/2/mss/msget"] = said
    with pytest.raises(SendFailed) as refused:
        await fans.fetch("1")
    assert refused.value.reason == reason
    assert "2.00-token-of-weibo" not in str(refused.value)


async def test_a_picture_without_end_is_let_go_and_not_asked_for_again(
    platform: Platform, shop: WeChat, fans: Weibo
) -> None:
    async def pours(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(11):
                await stream.write(b"\xff" * 1024 * 1024)
        return stream

    platform.answers |= {"/cgi-bin/media/get": pours, "/2/mss/msget": pours}
    for channel in (shop, fans):
        with pytest.raises(SendFailed) as refused:
            await channel.fetch("1")
        assert refused.value.reason == "bad"


async def test_weibo_scenes_are_numbers_temporary_or_lasting(platform: Platform, fans: Weibo) -> None:
    path = "/2/eps/qrcode/create.json"
    platform.answers[path] = {"ticket": "T/1", "expire_seconds": 1800, "url": "https://weibo.cn/qr/x"}
    assert await fans.scene_url("200000", 1800) == "https://weibo.cn/qr/x"
    assert platform.sent(path) == {
        "action_name": "QR_SCENE",
        "expire_seconds": 1800,
        "action_info": {"scene": {"scene_id": 200000}},
    }
    platform.calls.clear()
    platform.answers[path] = {"ticket": "T/1"}
    assert (await fans.scene_url("100000", 86400)).endswith("/2/eps/qrcode/show?ticket=T%2F1")
    assert platform.sent(path) == {
        "action_name": "QR_LIMIT_SCENE",
        "action_info": {"scene": {"scene_id": 100000}},
    }
    for scene, seconds in (("100001", 86400), ("0", 60), ("x", 60), ("１", 60), ("4294967296", 60), ("", 60)):
        with pytest.raises(SendFailed, match="bad"):
            await fans.scene_url(scene, seconds)
    with pytest.raises(SendFailed, match="no_right"):
        await fans.upload(b"", "x.jpg")
