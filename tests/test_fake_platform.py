"""The fake platform keeps the real ones' rules: asked by wechatpy's own client and by bare requests."""

import asyncio
import io
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import aiohttp
import pytest
import requests
import zxingcpp
from aiohttp.test_utils import TestServer
from PIL import Image
from wechatpy import WeChatClient
from wechatpy.exceptions import WeChatClientException

from bot.clock import Clock
from bot.simulator.crowd import Crowd
from bot.simulator.platform import Platform
from bot.simulator.platform_web import PERSON_COOKIE

APP_ID, SECRET, TOKEN, UID = (
    "wxdemo0000000001",
    "an-app-secret-of-the-demo",
    "weibo-access-token",
    "1900000001",
)
MEI, LIN = "oXiaoMei", "2400000002"
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) + b"\r\n--x\r\n\xff\xd9"


class Town:
    """The platform on a port; `oracle` is wechatpy's client, which knows nothing of ours."""

    def __init__(self):
        self.clock = Clock()
        self.clock.freeze(datetime(2024, 1, 2, 4, 0, tzinfo=UTC))
        names = {"app_id": APP_ID, "app_secret": SECRET, "weibo_token": TOKEN, "weibo_account": UID}
        self.platform = Platform(self.clock, **names)
        self.seen = []
        self.platform.on_message.append(lambda *told: self.seen.append(told))

    async def __aenter__(self):
        self.server = TestServer(self.platform.app())
        await self.server.start_server()
        self.http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        self.base = str(self.server.make_url("")).rstrip("/")
        self.client = WeChatClient(APP_ID, SECRET, timeout=5, auto_retry=False)
        self.client.API_BASE_URL = self.base + "/cgi-bin/"
        self.client.fetch_access_token = self._fetch
        return self

    async def __aexit__(self, *_):
        self.client._http.close()
        await self.http.close()
        await self.server.close()

    def _fetch(self):
        """wechatpy writes the real host here; the same request, to ours."""
        asked = {"grant_type": "client_credential", "appid": APP_ID, "secret": SECRET}
        return self.client._fetch_access_token(url=self.base + "/cgi-bin/token", params=asked)

    async def oracle(self, call, *args, **named):
        """wechatpy's own word: the result, or the errcode; None when it got no reply."""

        def ask():
            group, _, name = call.rpartition(".")
            owner = getattr(self.client, group) if group else self.client
            return getattr(owner, name)(*args, **named)

        try:
            return await asyncio.to_thread(ask)
        except WeChatClientException as no:
            return no.errcode
        except requests.RequestException:
            return None

    async def get(self, path, **asked):
        async with self.http.get(self.base + path, params=asked, allow_redirects=False) as reply:
            raw = await reply.read()
            return json.loads(raw) if reply.content_type == "application/json" else (reply, raw)

    async def post(self, path, body, **asked):
        raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        async with self.http.post(self.base + path, params=asked, data=raw) as reply:
            return json.loads(await reply.read())

    async def stable(self, force=False):
        asked = {"grant_type": "client_credential", "appid": APP_ID, "secret": SECRET}
        return await self.post("/cgi-bin/stable_token", asked | {"force_refresh": force})

    async def weibo(self, call, **form):
        url = f"{self.base}/2/{call}.json"
        async with self.http.post(url, data={"access_token": TOKEN} | form) as reply:
            return json.loads(await reply.read())

    async def weibo_says(self, who=LIN, words="已发货"):
        data = json.dumps({"text": words}, ensure_ascii=False)
        return await self.weibo("messages/reply", type="text", data=data, receiver_id=who)

    def passes(self, **time):
        self.clock.move(timedelta(**time))


@pytest.fixture
async def town():
    async with Town() as made:
        yield made


def code(told):
    return told.get("errcode", 0) if isinstance(told, dict) else told


# Who may be told what, and how often


async def test_a_message_opens_five_answers_and_the_sixth_is_refused(town):
    town.platform.follow("wechat", MEI)
    town.platform.heard("wechat", MEI, "text")
    answers = [code(await town.oracle("message.send_text", MEI, f"{n}")) for n in range(6)]
    assert answers == [0, 0, 0, 0, 0, 45047]
    assert [body["text"]["content"] for _, _, body in town.seen] == ["0", "1", "2", "3", "4"]


async def test_a_new_message_opens_five_more_and_they_are_not_added_up(town):
    town.platform.follow("wechat", MEI)
    for _ in range(3):
        town.platform.heard("wechat", MEI, "text")
    for _ in range(5):
        await town.oracle("message.send_text", MEI, "1")
    assert await town.oracle("message.send_text", MEI, "1") == 45047
    town.platform.heard("wechat", MEI, "text")
    assert code(await town.oracle("message.send_text", MEI, "1")) == 0


@pytest.mark.parametrize("kind", ["click", "scan", "menu_tap", "follow"])
async def test_a_tap_a_scan_or_a_follow_opens_three_answers_for_a_minute(town, kind):
    town.platform.follow("wechat", MEI)
    town.passes(hours=1)
    town.platform.heard("wechat", MEI, kind)
    answers = [code(await town.oracle("message.send_text", MEI, "1")) for _ in range(4)]
    assert answers == [0, 0, 0, 45047]
    town.platform.heard("wechat", MEI, kind)
    town.passes(seconds=59)
    assert code(await town.oracle("message.send_text", MEI, "1")) == 0
    town.passes(seconds=1)
    assert await town.oracle("message.send_text", MEI, "1") == 45015


async def test_a_tap_after_a_message_adds_nothing_to_the_five(town):
    town.platform.follow("wechat", MEI)
    town.platform.heard("wechat", MEI, "text")
    town.platform.heard("wechat", MEI, "click")
    answers = [code(await town.oracle("message.send_text", MEI, "1")) for _ in range(6)]
    assert answers == [0, 0, 0, 0, 0, 45047]


async def test_a_view_opens_nothing_and_the_window_closes_after_48_hours(town):
    town.platform.follow("wechat", MEI)
    town.platform.heard("wechat", MEI, "text")
    town.passes(hours=47, minutes=59)
    assert code(await town.oracle("message.send_text", MEI, "1")) == 0
    town.passes(minutes=1)
    town.platform.heard("wechat", MEI, "VIEW")
    assert await town.oracle("message.send_text", MEI, "1") == 45015


async def test_who_left_a_stranger_and_who_is_muted_hear_nothing(town):
    town.platform.follow("wechat", MEI)
    town.platform.heard("wechat", MEI, "text")
    town.platform.know("wechat", MEI).muted = True
    assert await town.oracle("message.send_text", MEI, "1") == 48002
    town.platform.unfollow("wechat", MEI)
    assert await town.oracle("message.send_text", MEI, "1") == 43004
    assert await town.oracle("message.send_text", "oNobody", "1") == 40003
    assert town.seen == []
    town.platform.follow("wechat", MEI)  # back again: muted still, and the old five are gone
    town.platform.know("wechat", MEI).muted = False
    answers = [code(await town.oracle("message.send_text", MEI, "1")) for _ in range(4)]
    assert answers == [0, 0, 0, 45047]


# What a message may be


async def test_a_text_is_2048_bytes_at_most_and_never_empty(town):
    town.platform.follow("wechat", MEI)
    assert code(await town.oracle("message.send_text", MEI, "汉" * 682 + "ab")) == 0
    assert await town.oracle("message.send_text", MEI, "汉" * 683) == 45002
    assert await town.oracle("message.send_text", MEI, "") == 44004
    assert len(town.seen) == 1


async def test_a_picture_must_be_there_and_an_article_must_be_one(town):
    town.platform.follow("wechat", MEI)
    assert await town.oracle("message.send_image", MEI, "nothing") == 40007
    article = {"title": "春茶", "description": "", "url": "https://shop.example.com/a", "image": ""}
    assert await town.oracle("message.send_articles", MEI, [article, article]) == 45008
    assert code(await town.oracle("message.send_articles", MEI, [article])) == 0
    assert await town.oracle("message.send_voice", MEI, "m") == 40008


async def test_escaped_characters_and_bodies_that_are_no_json_are_refused(town):
    town.platform.follow("wechat", MEI)
    token = (await town.stable())["access_token"]
    send = "/cgi-bin/message/custom/send"
    escaped = json.dumps({"touser": MEI, "msgtype": "text", "text": {"content": "茶"}}).encode()
    assert (await town.post(send, escaped, access_token=token))["errcode"] == 40033
    plain = {"touser": MEI, "msgtype": "text", "text": {"content": r"C:\u8336"}}
    assert (await town.post(send, plain, access_token=token))["errcode"] == 0
    for rubbish in (b"", b"[]", b"\xff", b"{"):
        assert (await town.post(send, rubbish, access_token=token))["errcode"] == 47001


async def test_typing_is_shown_only_within_a_window_and_once(town):
    town.platform.follow("wechat", MEI)
    token = (await town.stable())["access_token"]
    show = {"touser": MEI, "command": "Typing"}
    typed = [(await town.post("/cgi-bin/message/custom/typing", show, access_token=token))["errcode"]]
    typed.append((await town.post("/cgi-bin/message/custom/typing", show, access_token=token))["errcode"])
    odd = show | {"command": "Sing"}
    typed.append((await town.post("/cgi-bin/message/custom/typing", odd, access_token=token))["errcode"])
    town.passes(minutes=2)
    typed.append((await town.post("/cgi-bin/message/custom/typing", show, access_token=token))["errcode"])
    assert typed == [0, 45081, 45072, 45080]


# Tokens


async def test_a_plain_token_lives_two_hours_and_five_minutes_after_the_next(town):
    first = (await town.oracle("fetch_access_token"))["access_token"]
    second = (await town.oracle("fetch_access_token"))["access_token"]
    asked = {"path": "/cgi-bin/getcallbackip"}
    assert "ip_list" in await town.get(asked["path"], access_token=first)
    town.passes(minutes=5)
    assert (await town.get(asked["path"], access_token=first))["errcode"] == 42001
    assert "ip_list" in await town.get(asked["path"], access_token=second)
    town.passes(minutes=115)
    assert (await town.get(asked["path"], access_token=second))["errcode"] == 42001
    assert (await town.get(asked["path"], access_token="made up"))["errcode"] == 40001
    assert (await town.get(asked["path"]))["errcode"] == 41001


async def test_the_stable_token_is_the_same_until_five_minutes_before_its_end(town):
    first = await town.stable()
    town.passes(minutes=60)
    again = await town.stable()
    assert (again["access_token"], again["expires_in"]) == (first["access_token"], 3600)
    town.passes(minutes=55)
    fresh = await town.stable()
    assert fresh["access_token"] != first["access_token"]
    for token in (first, fresh):  # old and new overlap
        assert "ip_list" in await town.get("/cgi-bin/getcallbackip", access_token=token["access_token"])


async def test_plain_and_stable_tokens_leave_each_other_alone(town):
    stable = (await town.stable())["access_token"]
    for _ in range(3):
        await town.oracle("fetch_access_token")
    town.passes(minutes=6)
    assert "ip_list" in await town.get("/cgi-bin/getcallbackip", access_token=stable)


async def test_force_makes_a_new_token_twenty_times_a_day_and_not_twice_in_30_seconds(town):
    first = (await town.stable())["access_token"]
    assert (await town.stable(force=True))["access_token"] != first
    assert (await town.get("/cgi-bin/getcallbackip", access_token=first))["errcode"] == 40001
    assert (await town.stable(force=True))["errcode"] == 45011
    for _ in range(19):
        town.passes(seconds=30)
        assert "access_token" in await town.stable(force=True)
    town.passes(seconds=30)
    assert (await town.stable(force=True))["errcode"] == 45009
    town.passes(hours=24)
    assert "access_token" in await town.stable(force=True)


async def test_plain_tokens_are_counted_2000_a_day(town):
    ask = {"grant_type": "client_credential", "appid": APP_ID, "secret": SECRET}
    town.platform.wechat.tokens._counted[("token", town.clock.now().date())] = 1999
    assert "access_token" in await town.get("/cgi-bin/token", **ask)
    assert (await town.get("/cgi-bin/token", **ask))["errcode"] == 45009


@pytest.mark.parametrize(
    ("wrong", "errcode"), [({"secret": "x"}, 40125), ({"appid": "x"}, 40013), ({"grant_type": "x"}, 40002)]
)
async def test_a_wrong_secret_appid_or_grant_gets_no_token(town, wrong, errcode):
    asked = {"grant_type": "client_credential", "appid": APP_ID, "secret": SECRET} | wrong
    assert (await town.post("/cgi-bin/stable_token", asked))["errcode"] == errcode
    assert (await town.get("/cgi-bin/token", **asked))["errcode"] == errcode


async def test_revoked_tokens_are_invalid_at_once(town):
    token = (await town.stable())["access_token"]
    town.platform.wechat.tokens.revoke()
    assert (await town.get("/cgi-bin/getcallbackip", access_token=token))["errcode"] == 40001
    fresh = (await town.stable())["access_token"]
    assert fresh != token


# Pictures, codes, menus, people


async def test_an_uploaded_picture_comes_back_whole_for_three_days(town):
    told = await town.oracle("media.upload", "image", ("card.jpg", io.BytesIO(JPEG), "image/jpeg"))
    assert told["created_at"] == town.clock.timestamp()
    assert town.platform.media(told["media_id"]) == JPEG
    back = await town.oracle("media.download", told["media_id"])
    assert back.content == JPEG
    town.platform.follow("wechat", MEI)
    assert code(await town.oracle("message.send_image", MEI, told["media_id"])) == 0
    town.passes(days=3)
    town.client.session.delete(town.client.access_token_key)  # it reads the wall's clock, not the shop's
    town.platform.heard("wechat", MEI, "text")
    assert await town.oracle("message.send_image", MEI, told["media_id"]) == 40007
    assert town.platform.media(told["media_id"]) is None


async def test_what_is_no_picture_is_not_taken_for_one(town):
    for name, content, errcode in [
        ("a.jpg", b"<html>", 40005),
        ("a.jpg", b"", 41005),
        ("noextension", JPEG, 41005),
        ("a.jpg", b"\xff\xd8\xff" + bytes(10 << 20), 40009),
    ]:
        told = await town.oracle("media.upload", "image", (name, io.BytesIO(content), "image/jpeg"))
        assert told == errcode


async def test_a_code_with_a_scene_leads_back_to_it_until_it_expires(town):
    scene = {"expire_seconds": 3600, "action_name": "QR_STR_SCENE"}
    told = await town.oracle("qrcode.create", scene | {"action_info": {"scene": {"scene_str": "join:G7K2"}}})
    assert told["expire_seconds"] == 3600
    shown = f"{town.base}/cgi-bin/showqrcode?ticket={quote(told['ticket'])}"
    for found in (told["url"], told["ticket"], shown):
        assert town.platform.scene_of(found) == "join:G7K2"
    reply, picture = await town.get("/cgi-bin/showqrcode", ticket=told["ticket"])
    assert reply.content_type == "image/jpeg"
    assert zxingcpp.read_barcode(Image.open(io.BytesIO(picture))).text == told["url"]
    town.passes(hours=1)
    assert town.platform.scene_of(told["url"]) is None
    assert (await town.get("/cgi-bin/showqrcode", ticket=told["ticket"]))[0].status == 404
    assert town.platform.scene_of("https://elsewhere.example.com/") is None


async def test_a_code_without_a_life_lives_30_seconds_and_a_lasting_one_for_ever(town):
    scene = {"action_info": {"scene": {"scene_str": "a", "scene_id": 7}}}
    short = await town.oracle("qrcode.create", scene | {"action_name": "QR_STR_SCENE"})
    lasting = await town.oracle("qrcode.create", scene | {"action_name": "QR_LIMIT_SCENE"})
    town.passes(seconds=30)
    assert town.platform.scene_of(short["url"]) is None
    town.passes(days=400)
    assert town.platform.scene_of(lasting["url"]) == "7"


@pytest.mark.parametrize(
    ("asked", "errcode"),
    [
        ({"action_name": "QR_STR_SCENE", "action_info": {"scene": {"scene_str": ""}}}, 40053),
        ({"action_name": "QR_STR_SCENE", "action_info": {"scene": {"scene_str": "x" * 65}}}, 40053),
        ({"action_name": "QR_LIMIT_SCENE", "action_info": {"scene": {"scene_id": 100_001}}}, 40053),
        ({"action_name": "QR_NEW", "action_info": {"scene": {"scene_id": 1}}}, 40052),
    ],
)
async def test_a_scene_out_of_bounds_is_refused(town, asked, errcode):
    assert await town.oracle("qrcode.create", asked | {"expire_seconds": 60}) == errcode


async def test_a_code_asked_for_without_the_nesting_carries_the_scene_0(town):
    told = await town.oracle("qrcode.create", {"action_name": "QR_SCENE", "expire_seconds": 60, "scene_id": 9})
    assert town.platform.scene_of(told["url"]) == "0"


async def test_a_menu_is_replaced_shown_and_deleted(town):
    assert await town.oracle("menu.get") is None  # 46003 to wechatpy
    menu = {"button": [{"name": "商品", "type": "click", "key": "list"}]}
    assert code(await town.oracle("menu.create", menu)) == 0
    assert (await town.oracle("menu.get"))["menu"] == menu
    assert await town.oracle("menu.create", {"button": menu["button"] * 4}) == 40016
    assert await town.oracle("menu.create", {"button": [menu["button"][0] | {"name": "六个汉字太长"}]}) == 40018
    assert await town.oracle("menu.create", {"button": [menu["button"][0] | {"key": "k" * 129}]}) == 40019
    assert (await town.oracle("menu.get"))["menu"] == menu
    assert code(await town.oracle("menu.delete")) == 0
    assert await town.oracle("menu.get") is None


async def test_user_info_knows_who_follows_and_no_names(town):
    town.platform.follow("wechat", MEI, "join:G7K2")
    told = await town.oracle("user.get", MEI)
    assert (told["subscribe"], told["qr_scene_str"]) == (1, "join:G7K2")
    assert told["subscribe_time"] == town.clock.timestamp()
    assert "nickname" not in told
    town.platform.unfollow("wechat", MEI)
    assert await town.oracle("user.get", MEI) == {"errcode": 0, "errmsg": "ok", "subscribe": 0, "openid": MEI}
    assert await town.oracle("user.get", "oNobody") == 40003


async def test_a_notification_needs_a_consent_and_spends_it(town):
    town.platform.follow("wechat", MEI)
    data = {"thing1": {"value": "您的订单已发货"}}
    send = ("message.send_subscribe_message", MEI, "TPL")
    assert await town.oracle(*send, data) == 43101
    town.platform.credit(MEI, "TPL")
    for odd in ({"thing1": {"value": "汉" * 21}}, {"thing1": {"value": ""}}, {"thing1": {"value": "a\nb"}}):
        assert await town.oracle(*send, odd) == 47003
    assert code(await town.oracle(*send, data)) == 0
    assert await town.oracle(*send, data) == 43101
    town.platform.wechat.templates = {"OTHER"}
    assert await town.oracle(*send, data) == 40037


async def test_a_mass_message_reaches_a_follower_four_times_a_month(town):
    town.platform.follow("wechat", MEI)
    token = (await town.stable())["access_token"]
    body = {"filter": {"is_to_all": True}, "text": {"content": "上新"}, "msgtype": "text"}
    for n in range(6):
        told = await town.post("/cgi-bin/message/mass/sendall", body | {"clientmsgid": f"c{n}"}, access_token=token)
        assert told["errcode"] == 0
    assert len(town.seen) == 4
    again = await town.post("/cgi-bin/message/mass/sendall", body | {"clientmsgid": "c5"}, access_token=token)
    assert again["errcode"] == 45065


# Faults, rights, the log


async def test_a_call_can_be_made_to_fail_in_every_way_and_then_works_again(town):
    town.platform.follow("wechat", MEI)
    town.client.session.set(town.client.access_token_key, (await town.stable())["access_token"], 7200)
    town.platform.fail_next("message/custom/send", errcode=45009)
    assert await town.oracle("message.send_text", MEI, "1") == 45009
    town.platform.fail_next("message/custom/send", status=502)
    assert await town.oracle("message.send_text", MEI, "1") is None
    for after in (False, True):
        town.platform.fail_next("message/custom/send", drop=True, after=after)
        assert await town.oracle("message.send_text", MEI, f"{after}") is None
    assert [body["text"]["content"] for _, _, body in town.seen] == ["True"]
    assert code(await town.oracle("message.send_text", MEI, "1")) == 0


async def test_a_right_the_account_lacks_is_48001_and_an_unknown_call_no_page(town):
    token = (await town.stable())["access_token"]
    town.platform.denied.add("getcallbackip")
    assert (await town.get("/cgi-bin/getcallbackip", access_token=token))["errcode"] == 48001
    assert (await town.get("/cgi-bin/nothing", access_token=token))["errcode"] == 40066
    assert (await town.get("/cgi-bin/menu/create", access_token=token))["errcode"] == 43002


async def test_the_log_shows_every_call_and_no_secret(town):
    heard = []
    town.platform.on_call.append(heard.append)
    town.platform.follow("wechat", MEI)
    token = (await town.stable())["access_token"]
    await town.oracle("message.send_text", MEI, "您好")
    await town.weibo_says()
    login = town.platform.login.code_for(MEI)
    asked = {"appid": APP_ID, "secret": SECRET, "code": login, "grant_type": "authorization_code"}
    web = await town.get("/sns/oauth2/access_token", **asked)
    shown = repr(heard)
    assert heard == list(town.platform.calls)
    assert "您好" in shown
    assert "/cgi-bin/message/custom/send" in shown
    for secret in (SECRET, token, TOKEN, web["access_token"], web["refresh_token"]):
        assert secret not in shown


# Web login


async def test_a_login_code_is_good_once_and_for_five_minutes(town):
    asked = {"appid": APP_ID, "secret": SECRET, "grant_type": "authorization_code"}
    login = town.platform.login.code_for(MEI)
    told = await town.get("/sns/oauth2/access_token", **asked, code=login)
    assert (told["openid"], told["scope"]) == (MEI, "snsapi_base")
    assert (await town.get("/sns/oauth2/access_token", **asked, code=login))["errcode"] == 40163
    assert (await town.get("/sns/oauth2/access_token", **asked, code="x"))["errcode"] == 40029
    late = town.platform.login.code_for(MEI)
    town.passes(minutes=5)
    assert (await town.get("/sns/oauth2/access_token", **asked, code=late))["errcode"] == 42003
    wrong = asked | {"secret": "x"}
    assert (await town.get("/sns/oauth2/access_token", **wrong, code=late))["errcode"] == 40125
    about = {"access_token": told["access_token"], "openid": MEI}
    assert (await town.get("/sns/userinfo", **about))["errcode"] == 48001  # base: the openid and no more
    assert (await town.get("/cgi-bin/getcallbackip", access_token=told["access_token"]))["errcode"] == 40001


async def test_the_authorize_page_asks_who_it_is_or_takes_the_browsers_person(town):
    town.platform.know("wechat", MEI, "小美")
    asked = {"appid": APP_ID, "redirect_uri": "https://shop.example.com/login/back?x=1", "state": "S1"}
    asked |= {"response_type": "code", "scope": "snsapi_userinfo"}
    reply, page = await town.get("/connect/oauth2/authorize", **asked)
    assert reply.status == 200
    assert "小美" in page.decode()
    cookie = {"Cookie": f"{PERSON_COOKIE}={MEI}"}
    url = town.base + "/connect/oauth2/authorize"
    async with town.http.get(url, params=asked, headers=cookie, allow_redirects=False) as back:
        assert back.status == 302
        where = aiohttp.client.URL(back.headers["Location"])
    assert (where.host, where.query["x"], where.query["state"]) == ("shop.example.com", "1", "S1")
    for wrong in ({"scope": "x"}, {"appid": "x"}, {"redirect_uri": "javascript:alert(1)"}):
        assert (await town.get("/connect/oauth2/authorize", **asked | wrong))[0].status == 400
    town.platform.login.hosts = {"other.example.com"}
    assert (await town.get("/connect/oauth2/authorize", **asked))[0].status == 400


# Weibo


async def test_on_weibo_any_act_opens_48_hours_for_any_number(town):
    town.platform.follow("weibo", LIN)
    for _ in range(8):
        told = await town.weibo_says()
        assert (told["result"], told["sender_id"], told["receiver_id"]) == (True, UID, LIN)
    assert town.seen[0] == ("weibo", LIN, {"type": "text", "data": {"text": "已发货"}})
    town.passes(hours=48)
    assert "error_code" in await town.weibo_says()
    town.platform.heard("weibo", LIN, "text")
    assert (await town.weibo_says())["result"] is True


async def test_on_weibo_nobody_who_left_is_told_anything_and_a_mention_is_worth_one(town):
    town.platform.follow("weibo", LIN)
    town.platform.unfollow("weibo", LIN)
    assert "error_code" in await town.weibo_says()
    town.platform.follow("weibo", LIN)
    town.passes(hours=49)
    town.platform.heard("weibo", LIN, "mention")
    assert (await town.weibo_says())["result"] is True
    assert "error_code" in await town.weibo_says()
    assert (await town.weibo_says("9"))["error_code"] == 20003


async def test_weibo_refuses_a_wrong_token_a_long_text_and_data_encoded_twice(town):
    town.platform.follow("weibo", LIN)
    assert (await town.weibo("messages/reply", access_token="x"))["error_code"] == 21332
    assert (await town.weibo_says(words="汉" * 299))["result"] is True
    assert (await town.weibo_says(words="汉" * 300))["error_code"] == 20012
    twice = await town.weibo("messages/reply", type="text", data=quote('{"text":"a"}'), receiver_id=LIN)
    assert twice["error_code"] == 10008
    nine = json.dumps({"articles": [{}] * 9})
    assert (await town.weibo("messages/reply", type="articles", data=nine, receiver_id=LIN))["error_code"] == 10008
    town.platform.weibo.revoke()
    assert (await town.weibo_says())["error_code"] == 21332


async def test_a_weibo_code_carries_an_integer(town):
    body = {"action_name": "QR_SCENE", "expire_seconds": 1800, "action_info": {"scene": {"scene_id": 1024}}}
    told = await town.post("/2/eps/qrcode/create.json", body, access_token=TOKEN)
    assert town.platform.scene_of(told["url"]) == town.platform.scene_of(told["ticket"]) == "1024"
    reply, picture = await town.get("/2/eps/qrcode/show", ticket=told["ticket"])
    assert reply.status == 200
    assert zxingcpp.read_barcode(Image.open(io.BytesIO(picture))).text == told["url"]
    named = body | {"action_info": {"scene": {"scene_id": "join:G7K2"}}}
    assert (await town.post("/2/eps/qrcode/create.json", named, access_token=TOKEN))["error_code"] == 10008
    town.passes(minutes=30)
    assert town.platform.scene_of(told["url"]) is None


async def test_weibos_mass_message_goes_to_who_subscribed_not_to_who_follows(town):
    town.platform.follow("weibo", LIN)
    body = {"filter": {}, "text": {"content": "上新"}, "msgtype": "text"}
    await town.post("/2/messages/sendall.json", body, access_token=TOKEN)
    assert town.seen == []
    town.platform.heard("weibo", LIN, "subscribe")
    await town.post("/2/messages/sendall.json", body, access_token=TOKEN)
    assert len(town.seen) == 1
    town.platform.heard("weibo", LIN, "unsubscribe")
    await town.post("/2/messages/sendall.json", body, access_token=TOKEN)
    assert len(town.seen) == 1


def test_one_platforms_people_are_not_the_others():
    crowd = Crowd(Clock().now)
    crowd.follow("wechat", "1")
    assert crowd.follows("wechat", "1")
    assert not crowd.follows("weibo", "1")
    assert crowd.may_tell("weibo", "1") == "stranger"
