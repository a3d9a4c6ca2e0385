"""The WeChat door over real HTTP: who is let in, who is not, and what is heard and said."""

import asyncio
import gzip
import logging
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from knocking import (
    AT,
    GH,
    OPENID,
    TOKEN,
    House,
    RememberingDesk,
    clock,
    event,
    house,
    message,
    opened,
    resealed,
    sealed,
    signature,
    signed,
    wechat,
    xml,
)
from pydantic import SecretStr

from bot.door import BODY, NotRecorded
from bot.face import Answer, Article
from bot.logs import Seldom
from bot.slow import Runner
from bot.wechat.codec import Codec
from bot.wechat.webhook import doors
from handlers.routing import Told


@pytest.fixture
async def at_wechat() -> AsyncIterator[House]:
    async with house(doors, wechat()) as standing:
        yield standing


async def knock(at: House, body: Any, **other: Any) -> tuple[int, bytes, str]:
    query, raw = sealed(body, **other)
    return await at.post("/wechat", query, raw)


async def hears(at: House, body: Any) -> Told:
    status, _, _ = await knock(at, body)
    assert status == 200
    return at.desk.heard[-1]


def refused(at: House, answer: tuple[int, bytes, str], why: str, status: int = 403) -> None:
    """The refusal is empty and counted, and the desk never heard of it."""
    assert answer[:2] == (status, b"")
    assert at.counted[-1] == why
    assert at.desk.heard == []


# -- verification -------------------------------------------------------------------------------------------


async def test_the_console_gets_its_word_back_and_nothing_else(at_wechat: House) -> None:
    status, body, kind = await at_wechat.get("/wechat", {**signed(), "echostr": "5837416372"})
    assert (status, body) == (200, b"5837416372")
    assert kind.startswith("text/plain")


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({}, "signature"),
        ({**signed(), "signature": ""}, "signature"),
        ({**signed(), "signature": "0" * 40}, "signature"),
        ({**signed(), "signature": "签名" * 20}, "signature"),
        ({**signed(), "nonce": "1"}, "signature"),
        (signed(token="another_token"), "signature"),
        (signed(AT - 301), "stale"),
        (signed(AT + 301), "stale"),
        (signed("1７00000000"), "stale"),
        (signed("+170000000"), "stale"),
        (signed("17000000000"), "stale"),
        (signed(""), "stale"),
    ],
)
async def test_a_forged_or_stale_verification_is_refused(at_wechat: House, query: dict[str, str], why: str) -> None:
    refused(at_wechat, await at_wechat.get("/wechat", {**query, "echostr": "1"}), why)


@pytest.mark.parametrize("echo", ["", "<script>", "a b", "a\nb", "a" * 65, "中文"])
async def test_only_a_plain_word_is_said_back(at_wechat: House, echo: str) -> None:
    refused(at_wechat, await at_wechat.get("/wechat", {**signed(), "echostr": echo}), "echostr")


async def test_a_parameter_that_comes_twice_is_refused(at_wechat: House) -> None:
    query = [*signed().items(), ("signature", "0" * 40), ("echostr", "1")]
    refused(at_wechat, await at_wechat.get("/wechat", query), "query")


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods_do_not_exist(at_wechat: House, method: str) -> None:
    async with at_wechat.http.request(method, at_wechat.base + "/wechat", params=signed()) as response:
        assert response.status == 405


# -- who is let in ------------------------------------------------------------------------------------------


async def test_a_sealed_message_is_heard_and_its_answer_is_sealed(at_wechat: House) -> None:
    at_wechat.desk.answer = Answer("1. 明前龙井 ¥128\n2. 白茶")
    status, body, kind = await knock(at_wechat, message(Content="商品"))
    assert status == 200
    assert kind == "text/xml; charset=utf-8"
    assert opened(body) == {
        "ToUserName": OPENID,
        "FromUserName": GH,
        "CreateTime": str(AT),
        "MsgType": "text",
        "Content": "1. 明前龙井 ¥128\n2. 白茶",
    }
    assert at_wechat.desk.heard == [
        Told(
            channel="wechat",
            account=GH,
            who=OPENID,
            key="24000000000000001",
            text="商品",
            at=datetime.fromtimestamp(AT, UTC),
        )
    ]
    assert at_wechat.counted == []


async def test_a_timestamp_within_five_minutes_is_good_enough(at_wechat: House) -> None:
    for at in (AT - 300, AT + 300):
        assert (await knock(at_wechat, message(), timestamp=at))[0] == 200


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"signature": "0" * 40}, "signature"),
        ({"signature": ""}, "signature"),
        ({"msg_signature": "0" * 40}, "msg_signature"),
        ({"msg_signature": ""}, "msg_signature"),
        ({"msg_signature": None}, "msg_signature"),
        ({"encrypt_type": None}, "downgrade"),
        ({"encrypt_type": "raw"}, "downgrade"),
        ({"encrypt_type": "AES"}, "downgrade"),
        ({"timestamp": str(AT + 1)}, "signature"),
        ({"nonce": "2"}, "signature"),
        (signed(AT - 301), "stale"),
        (signed(AT, "2"), "msg_signature"),
    ],
)
async def test_a_push_that_is_not_signed_as_it_should_be_is_refused(
    at_wechat: House, change: dict[str, str | None], why: str
) -> None:
    query, body = sealed(message())
    query = {name: value for name, value in {**query, **change}.items() if value is not None}
    refused(at_wechat, await at_wechat.post("/wechat", query, body), why)


async def test_a_push_sealed_an_hour_ago_is_refused(at_wechat: House) -> None:
    refused(at_wechat, await knock(at_wechat, message(), timestamp=AT - 3600), "stale")


async def test_a_message_for_another_account_is_refused(at_wechat: House) -> None:
    refused(at_wechat, await knock(at_wechat, message(), app_id="wxdemo0000000002"), "envelope")
    refused(at_wechat, await knock(at_wechat, message(ToUserName="gh_other")), "account")


async def test_a_plain_body_is_refused_while_the_account_speaks_encrypted(at_wechat: House) -> None:
    body = xml(message())
    refused(at_wechat, await at_wechat.post("/wechat", signed(), body.encode()), "downgrade")
    query, _ = sealed(message())
    refused(at_wechat, await at_wechat.post("/wechat", query, body.encode()), "downgrade")


async def test_plain_fields_beside_the_envelope_are_nobodys_word(at_wechat: House) -> None:
    query, body = sealed(message(Content="商品"))
    forged = body.replace(b"<xml>", b"<xml><FromUserName>oBoss</FromUserName><Content>x</Content>")
    assert (await at_wechat.post("/wechat", query, forged))[0] == 200
    assert [(told.who, told.text) for told in at_wechat.desk.heard] == [(OPENID, "商品")]


async def test_a_changed_envelope_is_refused(at_wechat: House) -> None:
    query, body = sealed(message())
    other = body.replace(b"CDATA[", b"CDATA[A")
    assert other != body
    refused(at_wechat, await at_wechat.post("/wechat", query, other), "msg_signature")
    for broken in (b"", b"<xml>", b"{}", body + body, body.replace(b"Encrypt>", b"Encrypts>")):
        status, said, _ = await at_wechat.post("/wechat", query, broken)
        assert (status, said) == (403, b"")
    assert at_wechat.desk.heard == []


DTD = '<!DOCTYPE xml [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


async def test_a_doctype_is_refused_outside_and_inside_the_envelope(at_wechat: House) -> None:
    query, body = sealed(message())
    refused(at_wechat, await at_wechat.post("/wechat", query, DTD.encode() + body), "envelope")
    refused(at_wechat, await knock(at_wechat, DTD + xml(message(Content="x"))), "forbidden")


async def test_a_body_over_64_kib_is_refused_whether_or_not_it_says_so(at_wechat: House) -> None:
    query, _ = sealed(message())
    refused(at_wechat, await at_wechat.post("/wechat", query, b"x" * (BODY + 1)), "size", 413)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x" * 16 * 1024

    refused(at_wechat, await at_wechat.post("/wechat", query, chunks()), "size", 413)


async def test_a_body_of_64_kib_is_read_and_a_byte_more_is_not(at_wechat: House) -> None:
    query, body = sealed(message())
    room = 64 * 1024 - len(body)
    refused(at_wechat, await at_wechat.post("/wechat", query, body + b" " * (room + 1)), "size", 413)
    assert (await at_wechat.post("/wechat", query, body + b" " * room))[0] == 200
    assert len(at_wechat.desk.heard) == 1


async def test_a_chunked_body_within_bounds_is_read_whole(at_wechat: House) -> None:
    query, body = sealed(message(Content="茶" * 600))

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 700):
            yield body[start : start + 700]

    assert (await at_wechat.post("/wechat", query, chunks()))[0] == 200
    assert at_wechat.desk.heard[0].text == "茶" * 600


async def test_a_compressed_body_is_refused_unopened(at_wechat: House) -> None:
    query, body = sealed(message())
    for raw in (gzip.compress(body), gzip.compress(b"\0" * 50_000_000)):
        answer = await at_wechat.post("/wechat", query, raw, headers={"Content-Encoding": "gzip"})
        refused(at_wechat, answer, "encoding", 415)


async def test_a_good_signature_is_let_in_after_any_number_of_bad_ones(at_wechat: House) -> None:
    for _ in range(60):
        assert (await at_wechat.post("/wechat", {**signed(), "signature": "0" * 40}, b"x"))[0] == 403
    assert (await knock(at_wechat, message()))[0] == 200
    assert at_wechat.counted == ["signature"] * 60


async def test_refusals_are_logged_once_a_second_without_the_query(
    at_wechat: House, caplog: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    with caplog.at_level(logging.WARNING, "bot.wechat.webhook"):
        for _ in range(20):
            await at_wechat.post("/wechat", {**signed(), "signature": "0" * 40}, b"x")
    lines = [record for record in caplog.records if record.name == "bot.wechat.webhook"]
    assert 1 <= len(lines) <= 1 + (time.monotonic() - began)
    for line in lines:
        shown = repr(vars(line))
        assert "834921" not in shown
        assert TOKEN not in shown


def test_what_was_not_logged_is_counted_in_the_next_line(caplog: pytest.LogCaptureFixture) -> None:
    seconds = [0.0]
    log = Seldom(logging.getLogger("seldom"), tick=lambda: seconds[0])
    for at in (0.0, 0.1, 0.9, 1.0, 1.5, 2.0):
        seconds[0] = at
        log("refused", why="signature")
    assert [record.swallowed for record in caplog.records] == [0, 2, 1]  # type: ignore[attr-defined]


# -- authentic, but not to be understood --------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b'{"MsgType":"text"}',
        b"<xml/>",
        b"<yml><A>1</A></yml>",
        b"<xml><A>\x0b</A></xml>",
        b"<xml><A>\xff\xfe</A></xml>",
        b"<xml>" + b"<a>" * 50 + b"</a>" * 50 + b"</xml>",
        xml({"ToUserName": GH, "FromUserName": OPENID}).encode(),
        xml(message(MsgType=None)).encode(),
        xml(message(FromUserName="")).encode(),
        xml(message(FromUserName="中文")).encode(),
        xml(message(FromUserName="o" * 65)).encode(),
        xml(message(FromUserName=["a", "b"])).encode(),
        xml(event("")).encode(),
    ],
)
async def test_what_is_authentic_but_unreadable_is_answered_success(at_wechat: House, body: bytes) -> None:
    query, raw = resealed(
        body, Codec(TOKEN, "wxdemo0000000001", [wechat().encoding_aes_key.get_secret_value()]).encrypt
    )
    status, said, _ = await at_wechat.post("/wechat", query, raw)
    assert (status, said) == (200, b"success")
    assert at_wechat.counted == ["unreadable"]
    assert at_wechat.desk.heard == []


async def test_a_crash_behind_the_door_is_success_and_one_line_in_the_log(
    at_wechat: House, caplog: pytest.LogCaptureFixture
) -> None:
    at_wechat.desk.fails = ZeroDivisionError("the shelf fell down")
    status, said, kind = await knock(at_wechat, message())
    assert (status, said) == (200, b"success")
    assert kind.startswith("text/plain")
    assert at_wechat.counted == ["failed"]
    assert "the shelf fell down" in caplog.text


async def test_while_the_database_is_away_wechat_is_asked_to_come_again(at_wechat: House) -> None:
    at_wechat.desk.fails = NotRecorded()
    assert (await knock(at_wechat, message()))[:2] == (503, b"")
    assert at_wechat.counted == ["not_recorded"]


async def test_an_answer_that_is_not_ready_is_success_and_the_time_left_is_what_is_left(
    at_wechat: House,
) -> None:
    at_wechat.desk.answer = None
    assert (await knock(at_wechat, message()))[:2] == (200, b"success")
    assert 0 < at_wechat.desk.seconds[0] <= 4.5


async def test_nothing_to_say_is_success_unsealed(at_wechat: House) -> None:
    for nothing in (Answer(), Answer("\x00\x0b")):
        at_wechat.desk.answer = nothing
        assert (await knock(at_wechat, message()))[:2] == (200, b"success")


async def test_three_deliveries_bear_one_key(at_wechat: House) -> None:
    for nonce, later in (("1", 0), ("2", 5), ("3", 10)):
        await knock(at_wechat, message(), timestamp=AT + later, nonce=nonce)
        await knock(at_wechat, event("CLICK", EventKey="cart"), timestamp=AT + later, nonce=nonce)
    assert len({told.key for told in at_wechat.desk.heard}) == 2


# -- plain mode ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trust", [False, True])
async def test_in_plain_mode_the_body_is_anybodys_word_unless_it_is_trusted(trust: bool) -> None:
    async with house(doors, wechat(plain=True, trust_plain=trust, encoding_aes_key=SecretStr(""))) as at:
        status, body, _ = await at.post("/wechat", signed(), xml(message()).encode())
        assert status == 200
        assert b"<Content><![CDATA[\xe5\xa5\xbd]]></Content>" in body
        assert [told.signed for told in at.desk.heard] == [trust]
        at.desk.heard.clear()
        query, raw = sealed(message())
        refused(at, await at.post("/wechat", query, raw), "downgrade")
        refused(at, await at.post("/wechat", {**signed(), "signature": "0" * 40}, b"x"), "signature")
        refused(at, await at.post("/wechat", signed(), (DTD + xml(message())).encode()), "forbidden")
        assert (await at.post("/wechat", signed(), b"hello"))[:2] == (200, b"success")


async def test_a_plain_account_that_has_a_key_is_believed_what_comes_sealed() -> None:
    async with house(doors, wechat(plain=True)) as at:
        _, body, _ = await knock(at, message())
        assert opened(body)["Content"] == "好"
        assert [told.signed for told in at.desk.heard] == [True]


# -- what is heard ------------------------------------------------------------------------------------------


async def test_a_tap_on_a_menu_button_brings_its_code(at_wechat: House) -> None:
    told = await hears(at_wechat, event("CLICK", EventKey="goods"))
    assert (told.kind, told.code, told.tapped, told.text) == ("click", "goods", True, "")


async def test_a_tap_on_a_message_link_brings_its_code_and_its_words(at_wechat: House) -> None:
    told = await hears(at_wechat, message(Content="参团 G7K2", bizmsgmenuid="join:G7K2"))
    assert (told.kind, told.code, told.tapped, told.text) == ("text", "join:G7K2", True, "参团 G7K2")


async def test_typed_words_are_no_tap(at_wechat: House) -> None:
    told = await hears(at_wechat, message(Content="qrscene_join:G7K2"))
    assert (told.kind, told.code, told.tapped, told.text) == ("text", "", False, "qrscene_join:G7K2")


async def test_a_follow_by_qr_code_brings_the_scene_stripped_once(at_wechat: House) -> None:
    told = await hears(at_wechat, event("subscribe", EventKey="qrscene_qrscene_join:G7K2", Ticket="T"))
    assert (told.kind, told.code, told.tapped) == ("follow", "qrscene_join:G7K2", True)


async def test_a_follow_after_paying_brings_no_scene(at_wechat: House) -> None:
    told = await hears(at_wechat, event("subscribe", EventKey="last_trade_no_4003452001201510210000000000"))
    assert (told.kind, told.code, told.tapped) == ("follow", "", False)


async def test_a_plain_follow_and_an_unfollow(at_wechat: House) -> None:
    assert (await hears(at_wechat, event("subscribe"))).kind == "follow"
    status, said, _ = await knock(at_wechat, event("unsubscribe"))
    assert (status, said) == (200, b"success"), "whatever the desk says"
    assert at_wechat.desk.heard[-1].kind == "unfollow"


async def test_a_follower_who_scans_again_brings_the_scene_as_it_is(at_wechat: House) -> None:
    told = await hears(at_wechat, event("SCAN", EventKey="join:G7K2", Ticket="T"))
    assert (told.kind, told.code, told.tapped, told.data) == ("scan", "join:G7K2", True, {"ticket": "T"})


async def test_a_voice_message_brings_what_was_recognised(at_wechat: House) -> None:
    told = await hears(at_wechat, message(MsgType="voice", MediaId="V", Format="amr", Recognition="我要龙井。"))
    assert (told.kind, told.text, told.data["media_id"]) == ("voice", "我要龙井。", "V")
    told = await hears(at_wechat, message(MsgType="voice", MediaId="V", Format="amr", Recognition=None))
    assert told.text == ""


async def test_a_position_is_latitude_first(at_wechat: House) -> None:
    at = {"Location_X": "30.25", "Location_Y": "120.15", "Scale": "16", "Label": "西湖"}
    told = await hears(at_wechat, message(MsgType="location", **at))
    assert told.kind == "location"
    assert told.data == {"lat": "30.25", "lon": "120.15", "scale": "16", "label": "西湖"}


MESSAGES = {
    "image": ({"PicUrl": "https://mmbiz.qpic.cn/a", "MediaId": "I"}, "image"),
    "video": ({"MediaId": "V", "ThumbMediaId": "T"}, "video"),
    "shortvideo": ({"MediaId": "V", "ThumbMediaId": "T"}, "video"),
    "link": ({"Title": "t", "Description": "d", "Url": "https://example.com"}, "link"),
    "miniprogrampage": (
        {"Title": "t", "AppId": "wx1", "PagePath": "p", "ThumbUrl": "u", "ThumbMediaId": "m"},
        "other",
    ),
}


@pytest.mark.parametrize("kind", MESSAGES)
async def test_every_other_message_is_answered_by_the_desk(at_wechat: House, kind: str) -> None:
    fields, heard = MESSAGES[kind]
    _, body, _ = await knock(at_wechat, message(MsgType=kind, Content=None, **fields))
    assert opened(body)["Content"] == "好"
    assert at_wechat.desk.heard[-1].kind == heard
    assert at_wechat.counted == []


async def test_a_message_of_an_unknown_type_is_answered_politely_and_counted(at_wechat: House) -> None:
    _, body, _ = await knock(at_wechat, message(MsgType="file", Title="发票.pdf", FileKey="k"))
    assert opened(body)["Content"] == "好"
    assert (at_wechat.desk.heard[-1].kind, at_wechat.desk.heard[-1].data) == ("other", {"type": "file"})
    assert at_wechat.counted == ["unknown"]


async def test_a_sticker_that_came_as_words_is_no_search(at_wechat: House) -> None:
    told = await hears(at_wechat, message(Content="【收到不支持的消息类型，暂无法显示】"))
    assert (told.kind, told.text) == ("other", "")


LISTED = [
    {"TemplateId": "A", "SubscribeStatusString": "accept", "PopupScene": "1"},
    {"TemplateId": "B", "SubscribeStatusString": "reject", "PopupScene": "1"},
]
SENT = {"TemplateId": "A", "MsgID": "1864323726461255680", "ErrorCode": "0", "ErrorStatus": "success"}
REACHED = {"TotalCount": "100", "FilterCount": "80", "SentCount": "75", "ErrorCount": "5"}
PUBLISHED = {"publish_id": "100", "publish_status": "0", "article_id": "x"}
# Event, its elements, the kind it is told as, and a part of the data that comes with it.
QUIET = [
    ("VIEW", {"EventKey": "https://s.example.com", "MenuId": "1"}, "view", {"url": "https://s.example.com"}),
    ("view_miniprogram", {"EventKey": "pages/a", "MenuId": "1"}, "view", {"url": "pages/a", "menu_id": "1"}),
    ("LOCATION", {"Latitude": "30.1", "Longitude": "120.2", "Precision": "40"}, "job", {"Latitude": "30.1"}),
    ("pic_sysphoto", {"EventKey": "k", "SendPicsInfo": {"Count": "1"}}, "job", {"Count": "1"}),
    ("pic_photo_or_album", {"EventKey": "k", "SendPicsInfo": None}, "job", {"EventKey": "k", "Count": ""}),
    ("pic_weixin", {"EventKey": "k"}, "job", {"event": "pic_weixin"}),
    ("location_select", {"EventKey": "k", "SendLocationInfo": {"Label": "杭州"}}, "job", {"Label": "杭州"}),
    ("TEMPLATESENDJOBFINISH", {"MsgID": "2", "Status": "failed:user block"}, "job", {"MsgID": "2"}),
    ("MASSSENDJOBFINISH", {"MsgID": "3", "Status": "sendsuccess", **REACHED}, "job", {"SentCount": "75"}),
    ("FREEPUBLISHJOBFINISH", {"PublishEventInfo": PUBLISHED}, "job", {"publish_status": "0"}),
    ("subscribe_msg_popup_event", {"SubscribeMsgPopupEvent": {"List": LISTED}}, "job", {}),
    ("subscribe_msg_change_event", {"SubscribeMsgChangeEvent": {"List": LISTED[1]}}, "job", {}),
    ("subscribe_msg_sent_event", {"SubscribeMsgSentEvent": {"List": SENT}}, "job", {}),
    ("subscribe_msg_sent_event", {}, "job", {"items": "[]"}),
    ("kf_create_session", {"KfAccount": "a@shop"}, "job", {"KfAccount": "a@shop"}),
    ("kf_close_session", {"KfAccount": "a@shop"}, "job", {"KfAccount": "a@shop"}),
    ("kf_switch_session", {"FromKfAccount": "a", "ToKfAccount": "b"}, "job", {"ToKfAccount": "b"}),
    ("user_info_modified", {"openid": OPENID, "appid": "wx1"}, "job", {"openid": OPENID}),
    ("user_authorization_revoke", {"OpenID": OPENID, "RevokeInfo": "1,2"}, "job", {"RevokeInfo": "1,2"}),
    ("verify_expired", {"ExpiredTime": "1442401061"}, "job", {"ExpiredTime": "1442401061"}),
    ("qualification_verify_fail", {"FailTime": "1", "FailReason": "r"}, "job", {"FailReason": "r"}),
]


@pytest.mark.parametrize(("name", "fields", "kind", "data"), QUIET)
async def test_an_event_nobody_waits_for_is_told_and_answered_success(
    at_wechat: House, name: str, fields: dict[str, Any], kind: str, data: dict[str, str]
) -> None:
    assert (await knock(at_wechat, event(name, **fields)))[:2] == (200, b"success")
    told = at_wechat.desk.heard[-1]
    assert told.kind == kind
    assert data.items() <= told.data.items()
    assert kind == "view" or told.data["event"] == name.lower()
    assert at_wechat.counted == []


async def test_a_scanned_code_in_the_menu_is_a_tap_with_what_was_read(at_wechat: House) -> None:
    info = {"ScanType": "qrcode", "ScanResult": "https://example.com/1"}
    told = await hears(at_wechat, event("scancode_waitmsg", EventKey="scan", ScanCodeInfo=info))
    assert (told.kind, told.code, told.tapped) == ("click", "scan", True)
    assert told.data == {"scan_type": "qrcode", "scan_result": "https://example.com/1"}


async def test_consents_come_as_a_list_whether_one_or_several(at_wechat: House) -> None:
    one = await hears(at_wechat, event("subscribe_msg_popup_event", SubscribeMsgPopupEvent={"List": LISTED[0]}))
    both = await hears(at_wechat, event("subscribe_msg_popup_event", SubscribeMsgPopupEvent={"List": LISTED}))
    assert '"TemplateId": "A"' in one.data["items"]
    assert '"TemplateId": "B"' in both.data["items"]
    assert one.data["items"].startswith("[{")
    assert one.key != both.key, "two consents within one second are two"


async def test_an_unknown_event_is_counted_told_and_answered_success(at_wechat: House) -> None:
    assert (await knock(at_wechat, event("brand_new_event", Whatever="1")))[:2] == (200, b"success")
    assert (at_wechat.desk.heard[-1].kind, at_wechat.desk.heard[-1].data) == (
        "job",
        {"event": "brand_new_event"},
    )
    assert at_wechat.counted == ["unknown"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (event("CLICK", EventKey="a"), event("CLICK", EventKey="b")),
        (event("CLICK", EventKey="a"), event("VIEW", EventKey="a")),
        (event("SCAN", EventKey="a", Ticket="1"), event("SCAN", EventKey="a", Ticket="2")),
        (event("CLICK", EventKey="a"), event("CLICK", EventKey="a", CreateTime=str(AT + 1))),
        (event("TEMPLATESENDJOBFINISH", MsgID="1"), event("TEMPLATESENDJOBFINISH", MsgID="2")),
        (message(MsgId=None, Content="a"), message(MsgId=None, Content="b")),
    ],
)
async def test_two_events_of_one_second_are_two(at_wechat: House, one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (await hears(at_wechat, one)).key != (await hears(at_wechat, other)).key
    again = at_wechat.desk.heard[0].key
    assert (await hears(at_wechat, one)).key == again


async def test_a_picture_and_an_article_as_answers(at_wechat: House) -> None:
    at_wechat.desk.answer = Answer(media_id="M1")
    assert opened((await knock(at_wechat, message()))[1])["Image"] == {"MediaId": "M1"}
    at_wechat.desk.answer = Answer(article=Article("t", "d", "https://s.example.com/p.jpg", "https://s.example.com"))
    assert opened((await knock(at_wechat, message()))[1])["ArticleCount"] == "1"


async def test_a_key_from_before_the_last_change_still_opens() -> None:
    new = SecretStr("bmV3ZXIta2V5LW9mLXRoZS1zaG9wLTMyYnl0ZXMtISE")
    old = wechat().encoding_aes_key.get_secret_value()
    async with house(doors, wechat(encoding_aes_key=new), previous_keys=[old]) as at:
        assert (await knock(at, message()))[0] == 200
        assert at.desk.heard[0].text == "商品"


# -- slowness on purpose ------------------------------------------------------------------------------------


@pytest.fixture
async def impatient(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, int, RememberingDesk]]:
    """A server that waits 0.2 s for a request to be here in full, or as long as the test says."""
    desk = RememberingDesk()
    app = web.Application()
    app.add_routes(doors(wechat(), desk, clock()))
    runner = Runner(app, patience=getattr(request, "param", 0.2), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield (*runner.addresses[0][:2], desk)
    await runner.cleanup()


HEAD = b"POST /wechat?x=1 HTTP/1.1\r\nHost: shop\r\nContent-Length: 100\r\n"


@pytest.mark.parametrize("sent", [b"", b"P", HEAD, HEAD + b"\r\n", HEAD + b"\r\n<xml>"])
async def test_half_a_request_is_cut(impatient: tuple[str, int, RememberingDesk], sent: bytes) -> None:
    reader, writer = await asyncio.open_connection(*impatient[:2])
    writer.write(sent)
    rest = await asyncio.wait_for(reader.read(), 30)
    # The bad signature is told from the head alone; the connection ends in any case.
    assert rest == b"" or rest.startswith(b"HTTP/1.1 403")
    writer.close()


async def test_a_header_that_drips_is_cut_all_the_same(impatient: tuple[str, int, RememberingDesk]) -> None:
    reader, writer = await asyncio.open_connection(*impatient[:2])
    writer.write(HEAD)

    async def drip() -> None:
        while True:
            writer.write(b"X-A: b\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    try:
        assert await asyncio.wait_for(reader.read(), 30) == b""
    except ConnectionError:
        pass  # cut while a drop was on its way
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
    writer.close()
    assert impatient[2].heard == []


async def test_a_body_that_stops_is_cut_and_not_heard(impatient: tuple[str, int, RememberingDesk]) -> None:
    query, body = sealed(message())
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    head = f"POST /wechat?{asked} HTTP/1.1\r\nHost: shop\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection(*impatient[:2])
    writer.write(head + body[:-1])
    assert await asyncio.wait_for(reader.read(), 30) == b""
    assert impatient[2].heard == []
    writer.close()


async def test_a_body_that_breaks_off_is_cut_at_once(impatient: tuple[str, int, RememberingDesk]) -> None:
    """What follows is taken for another request: its timer ended, and the first one waited for ever."""
    query, _ = sealed(message())
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    reader, writer = await asyncio.open_connection(*impatient[:2])
    writer.write(
        f"POST /wechat?{asked} HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n<xm\r\n".encode()
    )
    await asyncio.sleep(0.05)
    writer.write(b"zz\r\n")
    assert await asyncio.wait_for(reader.read(), 30) == b""
    assert impatient[2].heard == []
    writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 is TLS\r\n\r\n",
        b"GET /wechat?secret HTTP/1.1\r\n\r\n",
        b"POST /wechat?secret HTTP/1.1\r\nHost: shop\r\nContent-Length: -1\r\n\r\n",
        b"GET /wechat?secret=" + b"a" * 9000 + b" HTTP/1.1\r\nHost: shop\r\n\r\n",
    ],
)
async def test_who_speaks_no_http_is_refused_in_no_words_and_one_line(
    impatient: tuple[str, int, RememberingDesk], caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    began = time.monotonic()
    for _ in range(3):
        reader, writer = await asyncio.open_connection(*impatient[:2])
        writer.write(sent)
        told = await asyncio.wait_for(reader.read(), 30)
        head, _, rest = told.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 400")
        assert b"aiohttp" not in head
        assert rest == b""
        writer.close()
    lines = [record for record in caplog.records if record.levelname != "DEBUG"]
    assert 1 <= len(lines) <= 1 + (time.monotonic() - began), "one a second"
    for line in lines:
        assert (line.levelname, line.exc_info) == ("WARNING", None)
        assert "secret" not in line.getMessage() + str(vars(line))


async def test_who_hangs_up_in_the_middle_leaves_no_error_in_the_log(
    impatient: tuple[str, int, RememberingDesk], caplog: pytest.LogCaptureFixture
) -> None:
    query, body = sealed(message())
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    head = f"POST /wechat?{asked} HTTP/1.1\r\nHost: shop\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for waits in (0.05, 0.5):  # hangs up; is cut
        _, writer = await asyncio.open_connection(*impatient[:2])
        writer.write(head + body[:30])
        await asyncio.sleep(waits)
        writer.close()
    await asyncio.sleep(0.1)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("impatient", [1.0], indirect=True)  # so that four pieces come in time on any machine
async def test_a_request_in_pieces_is_served_and_an_idle_connection_kept(
    impatient: tuple[str, int, RememberingDesk],
) -> None:
    query, body = sealed(message())
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    head = f"POST /wechat?{asked} HTTP/1.1\r\nHost: shop\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection(*impatient[:2])
    for _ in range(2):
        for piece in (head[:20], head[20:], body[:30], body[30:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        answer = await asyncio.wait_for(reader.readuntil(b"</xml>"), 30)
        assert answer.startswith(b"HTTP/1.1 200")
        with pytest.raises(TimeoutError):  # nothing happens to who has said all
            await asyncio.wait_for(reader.read(1), 1.2)
    assert len(impatient[2].heard) == 2
    writer.close()


async def test_a_connection_that_is_handed_over_half_way_is_no_leak(
    impatient: tuple[str, int, RememberingDesk],
) -> None:
    with socket.create_connection(impatient[:2]) as raw:
        raw.sendall(HEAD)
    async with aiohttp.ClientSession() as http:
        url = f"http://{impatient[0]}:{impatient[1]}/wechat"
        async with http.get(url, params={**signed(), "echostr": "1"}) as response:
            assert await response.text() == "1"


def test_the_signature_is_the_same_as_wechatpys() -> None:
    assert signed()["signature"] == signature(TOKEN, str(AT), "834921")
