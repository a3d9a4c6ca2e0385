"""The Weibo door over real HTTP: who is let in, who is not, and what is heard and said."""

import gzip
import json
import logging
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from knocking import (
    APP_SECRET,
    AT,
    FAN,
    UID,
    House,
    house,
    signature,
    weibo,
    weibo_push,
    weibo_query,
    weibo_reply,
)
from wechatpy.parser import parse_message

from bot.door import BODY, NotRecorded, Unreadable, clean
from bot.face import Answer, Article
from bot.weibo import events
from bot.weibo.codec import parse, reply
from bot.weibo.webhook import doors
from handlers.routing import Told


@pytest.fixture
async def at_weibo() -> AsyncIterator[House]:
    async with house(doors, weibo()) as standing:
        yield standing


async def knock(at: House, body: Any, **sent: Any) -> tuple[int, bytes, str]:
    return await at.post("/weibo", weibo_query(), body, **sent)


async def hears(at: House, body: bytes) -> Told:
    assert (await knock(at, body))[0] == 200
    return at.desk.heard[-1]


def refused(at: House, answer: tuple[int, bytes, str], why: str, status: int = 403) -> None:
    """The refusal is empty and counted, and the desk never heard of it."""
    assert answer[:2] == (status, b"")
    assert at.counted[-1] == why
    assert at.desk.heard == []


# -- who is let in ------------------------------------------------------------------------------------------


async def test_the_signature_is_the_one_of_the_vendors_example() -> None:
    told = signature(APP_SECRET, "1397022061823", "57155157")
    assert told == "90e4c22c90a58f26526c2dd5b6c56c8822edeaa1"
    assert weibo_query("1397022061823")["signature"] == told


async def test_the_console_gets_its_word_back(at_weibo: House) -> None:
    status, body, kind = await at_weibo.get("/weibo", {**weibo_query(), "echostr": "584AB6"})
    assert (status, body) == (200, b"584AB6")
    assert kind.startswith("text/plain")


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({}, "signature"),
        ({**weibo_query(), "signature": "0" * 40}, "signature"),
        ({**weibo_query(), "signature": "签名"}, "signature"),
        ({**weibo_query(), "nonce": "1"}, "signature"),
        (weibo_query((AT - 301) * 1000), "stale"),
        (weibo_query((AT + 301) * 1000), "stale"),
        (weibo_query(AT), "stale"),
        (weibo_query("1７00000000000"), "stale"),
        (weibo_query(""), "stale"),
    ],
)
async def test_a_forged_or_stale_request_is_refused(at_weibo: House, query: dict[str, str], why: str) -> None:
    refused(at_weibo, await at_weibo.get("/weibo", {**query, "echostr": "1"}), why)
    refused(at_weibo, await at_weibo.post("/weibo", query, weibo_push()), why)


async def test_only_a_plain_word_is_said_back(at_weibo: House) -> None:
    refused(at_weibo, await at_weibo.get("/weibo", {**weibo_query(), "echostr": "<b>"}), "echostr")


async def test_a_parameter_that_comes_twice_is_refused(at_weibo: House) -> None:
    query = [*weibo_query().items(), ("nonce", "2")]
    refused(at_weibo, await at_weibo.post("/weibo", query, weibo_push()), "query")


async def test_a_timestamp_within_five_minutes_is_good_enough(at_weibo: House) -> None:
    for at in (AT - 300, AT + 300):
        assert (await at_weibo.post("/weibo", weibo_query(at * 1000), weibo_push()))[0] == 200


async def test_a_push_for_another_account_is_refused(at_weibo: House) -> None:
    refused(at_weibo, await knock(at_weibo, weibo_push(receiver_id=1900000002)), "account")


async def test_a_body_over_64_kib_is_refused(at_weibo: House) -> None:
    refused(at_weibo, await knock(at_weibo, b" " * (BODY + 1)), "size", 413)


async def test_a_compressed_body_is_refused_unopened(at_weibo: House) -> None:
    sent = {"headers": {"Content-Encoding": "gzip"}}
    refused(at_weibo, await knock(at_weibo, gzip.compress(weibo_push()), **sent), "encoding", 415)


async def test_the_query_is_not_logged(at_weibo: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "bot.weibo.webhook"):
        await at_weibo.post("/weibo", {**weibo_query(), "signature": "0" * 40}, b"x")
    assert len(caplog.records) == 1
    assert "57155157" not in repr(vars(caplog.records[0]))


# -- authentic, but not to be understood --------------------------------------------------------------------

UNREADABLE = [
    b"",
    b"hello",
    b"<xml/>",
    b"[]",
    b"null",
    b"\xff\xfe",
    weibo_push()[:-1],
    weibo_push() + b"x",
    weibo_push(data={"a": float("nan")}),
    weibo_push(data={"a": float("inf")}),
    weibo_push().replace(b'"type"', b'"sender_id": 1, "type"', 1),
    weibo_push(data={"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {}}}}}}}}}),
    weibo_push(data="x").replace(b'"x"', b"[" * 20_000 + b"]" * 20_000),
    weibo_push(data="x").replace(b'"x"', b'{"a":' * 9_000 + b"1" + b"}" * 9_000),
    weibo_push(sender_id=True),
    weibo_push(sender_id=2400000002.5),
    weibo_push(sender_id=-2400000002),
    weibo_push(sender_id="２４０"),
    weibo_push(sender_id=int("9" * 21)),
    weibo_push(sender_id=None),
    weibo_push(sender_id=[FAN]),
    weibo_push(kind=""),
    weibo_push(type={"a": "b"}),
]


@pytest.mark.parametrize("body", UNREADABLE, ids=range(len(UNREADABLE)))
async def test_what_cannot_be_read_is_answered_with_nothing_counted_and_not_heard(at_weibo: House, body: bytes) -> None:
    assert (await knock(at_weibo, body))[:2] == (200, b"")
    assert at_weibo.counted == ["unreadable"]
    assert at_weibo.desk.heard == []


async def test_a_number_of_5000_digits_is_read_as_text(at_weibo: House) -> None:
    told = await hears(at_weibo, weibo_push(data="x").replace(b'"x"', b'{"n": ' + b"9" * 5000 + b"}"))
    assert told.kind == "text"


async def test_a_crash_behind_the_door_is_an_empty_answer(at_weibo: House) -> None:
    at_weibo.desk.fails = ZeroDivisionError("the shelf fell down")
    assert (await knock(at_weibo, weibo_push()))[:2] == (200, b"")
    assert at_weibo.counted == ["failed"]


async def test_while_the_database_is_away_weibo_is_asked_to_come_again(at_weibo: House) -> None:
    at_weibo.desk.fails = NotRecorded()
    assert (await knock(at_weibo, weibo_push()))[:2] == (503, b"")


async def test_an_answer_that_is_not_ready_and_one_that_says_nothing_are_empty(at_weibo: House) -> None:
    for nothing in (None, Answer(), Answer("\x00"), Answer(media_id="M")):
        at_weibo.desk.answer = nothing
        assert (await knock(at_weibo, weibo_push()))[:2] == (200, b"")
    assert all(0 < seconds <= 4.5 for seconds in at_weibo.desk.seconds)


def in_xml(kind: str, **fields: str) -> bytes:
    said = {"ToUserName": UID, "FromUserName": FAN, "CreateTime": str(AT), "MsgType": kind, **fields}
    return (
        "<xml>" + "".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in said.items()) + "</xml>"
    ).encode()


async def test_an_account_that_was_switched_to_xml_is_heard_and_answered_in_xml(at_weibo: House) -> None:
    """The vendor calls it fully compatible with WeChat's; the desk hears what it hears of JSON."""
    at_weibo.desk.answer = Answer("您好")
    status, body, kind = await knock(at_weibo, b" " + in_xml("text", Content="查订单", MsgId="7"))
    assert (status, kind.partition(";")[0]) == (200, "text/xml")
    said = parse_message(body)
    assert said.content == "您好"
    assert (said.target, said.source) == (FAN, UID)
    for pushed in (
        in_xml("text", Content="查订单", MsgId="8"),
        in_xml("event", Event="subscribe"),
        in_xml("event", Event="subscribe", EventKey="qrscene_1024", Ticket="T"),
        in_xml("event", Event="SCAN", EventKey="1024"),
        in_xml("event", Event="CLICK", EventKey="browse"),
        in_xml("event", Event="unsubscribe"),
        in_xml("location", Location_X="39.98", Location_Y="116.3"),
        in_xml("image", MediaId="F"),
    ):
        await knock(at_weibo, pushed)
    heard, at = at_weibo.desk.heard, datetime.fromtimestamp(AT, UTC)
    assert [told.kind for told in heard[1:]] == [
        "text", "follow", "follow", "scan", "click", "unfollow", "location", "image"
    ]  # fmt: skip
    assert all((t.channel, t.account, t.who, t.signed, t.at) == ("weibo", UID, FAN, False, at) for t in heard)
    assert len({told.key for told in heard}) == len(heard)
    assert [told.data.get("scene_id") for told in heard[3:5]] == ["1024", "1024"]
    assert heard[5].code == "browse"
    assert (heard[7].data["lat"], heard[7].data["lon"]) == ("39.98", "116.3")
    assert heard[8].data["media_id"] == "F"


@pytest.mark.parametrize("broken", [b"<xml>", b"<!DOCTYPE x><xml/>", b"<xml><MsgType>text</MsgType></xml>"])
async def test_xml_that_cannot_be_read_is_answered_with_nothing(at_weibo: House, broken: bytes) -> None:
    assert (await knock(at_weibo, broken))[:2] == (200, b"")
    assert at_weibo.desk.heard == []
    assert at_weibo.counted[-1] == "unreadable"


# -- what is heard and said ---------------------------------------------------------------------------------


async def test_a_message_is_heard_and_answered_with_the_ids_swapped(at_weibo: House) -> None:
    at_weibo.desk.answer = Answer("您的订单 K7M2Q3ZR 已发货 📦\n100% & more")
    status, body, kind = await knock(at_weibo, weibo_push(text="查订单"))
    assert status == 200
    assert kind == "application/json; charset=utf-8"
    assert weibo_reply(body) == {
        "result": True,
        "sender_id": UID,
        "receiver_id": FAN,
        "type": "text",
        "data": {"text": "您的订单 K7M2Q3ZR 已发货 📦\n100% & more"},
    }
    told = at_weibo.desk.heard[0]
    assert (told.channel, told.account, told.who, told.kind, told.text) == (
        "weibo",
        UID,
        FAN,
        "text",
        "查订单",
    )
    assert told.at == datetime.fromtimestamp(AT, UTC)
    assert not told.signed
    assert not told.tapped
    assert at_weibo.counted == []


async def test_an_article_is_an_article(at_weibo: House) -> None:
    at_weibo.desk.answer = Answer(
        article=Article("明前龙井", "¥128", "https://s.example.com/p.jpg", "https://s.example.com")
    )
    told = weibo_reply((await knock(at_weibo, weibo_push()))[1])
    assert told["type"] == "articles"
    assert told["data"]["articles"] == [
        {
            "display_name": "明前龙井",
            "summary": "¥128",
            "image": "https://s.example.com/p.jpg",
            "url": "https://s.example.com",
        }
    ]


@given(st.text(max_size=400))
def test_any_text_arrives_whole_clean_and_shorter_than_300(text: str) -> None:
    said = reply(Answer(text), FAN, UID)
    shown = clean(text)[:299]
    assert (weibo_reply(said)["data"]["text"] if said else "") == shown


EVENTS = [
    ("follow", {}, "follow", "", False, {}),
    ("unfollow", {}, "unfollow", "", False, {}),
    ("subscribe", {}, "job", "", False, {"event": "subscribe", "words": "dy"}),
    ("unsubscribe", {}, "job", "", False, {"event": "unsubscribe", "words": "dy"}),
    ("scan", {"key": "QR_SCENE_1024", "ticket": "T"}, "scan", "", True, {"scene_id": "1024"}),
    ("scan_follow", {"key": "QR_LIMIT_SCENE_7", "ticket": "T"}, "follow", "", True, {"scene_id": "7"}),
    ("scan_follow", {"key": "1024"}, "follow", "", True, {"scene_id": "1024"}),
    ("SCAN_FOLLOW", {"key": "QR_SCENE_1024"}, "follow", "", True, {"scene_id": "1024"}),
    ("click", {"key": "goods"}, "click", "goods", True, {}),
    ("menu", {"key": "goods"}, "click", "goods", True, {}),
    ("CLICK", {"key": "goods"}, "click", "goods", True, {}),
    ("view", {"key": "https://s.example.com"}, "view", "", False, {"url": "https://s.example.com"}),
    ("mention", {"key": "3520617028999724"}, "other", "", False, {"event": "mention"}),
]


@pytest.mark.parametrize(("subtype", "data", "kind", "code", "tapped", "part"), EVENTS)
async def test_every_event_is_told(
    at_weibo: House,
    subtype: str,
    data: dict[str, str],
    kind: str,
    code: str,
    tapped: bool,
    part: dict[str, str],
) -> None:
    status, body, _ = await knock(at_weibo, weibo_push("event", "dy", {"subtype": subtype, **data}))
    told = at_weibo.desk.heard[-1]
    assert (status, told.kind, told.code, told.tapped, told.text) == (200, kind, code, tapped, "")
    assert part.items() <= told.data.items()
    assert (body == b"") == (kind in ("unfollow", "view", "job")), "nothing is shown for these"
    assert not told.signed
    assert at_weibo.counted == []


@pytest.mark.parametrize("key", ["", "QR_SCENE_", "QR_SCENE_１", "x1", "QR_SCENE_99999999999", "QR_SCENE_1 2"])
async def test_a_scene_that_is_no_number_is_no_scene(at_weibo: House, key: str) -> None:
    told = await hears(at_weibo, weibo_push("event", "", {"subtype": "scan", "key": key}))
    assert (told.kind, "scene_id" in told.data) == ("scan", False)


async def test_every_message_is_told(at_weibo: House) -> None:
    at = {"longitude": "116.308586", "latitude": "39.982525"}
    told = await hears(at_weibo, weibo_push("position", "发送了一个位置", at))
    assert (told.kind, told.text, told.data) == ("location", "", {"lat": "39.982525", "lon": "116.308586"})
    for kind in ("image", "voice"):
        told = await hears(at_weibo, weibo_push(kind, "发了一张图片", {"vfid": 1, "tovfid": 821804459}))
        assert (told.kind, told.text, told.data["media_id"]) == (kind, "", "821804459")
    assert (await hears(at_weibo, weibo_push("mention", "@你"))).kind == "other"
    assert at_weibo.counted == []


async def test_what_is_unknown_is_answered_politely_and_counted(at_weibo: House) -> None:
    _, body, _ = await knock(at_weibo, weibo_push("hologram"))
    assert weibo_reply(body)["data"] == {"text": "好"}
    assert (at_weibo.desk.heard[-1].kind, at_weibo.desk.heard[-1].data["type"]) == ("other", "hologram")
    assert (await knock(at_weibo, weibo_push("event", "", {"subtype": "teleported"})))[1] == b""
    assert (await knock(at_weibo, weibo_push("event", "", [])))[1] == b""
    assert at_weibo.counted == ["unknown"] * 3


async def test_one_push_three_times_has_one_key_and_any_other_another(at_weibo: House) -> None:
    pushes = [
        weibo_push(),
        weibo_push(text="查订单2"),
        weibo_push(created_at="Wed Nov 15 06:13:21 +0800 2023"),
        weibo_push("image"),
        weibo_push("event", "查订单", {"subtype": "click", "key": "a"}),
        weibo_push("event", "查订单", {"subtype": "click", "key": "b"}),
    ]
    keys = {(await hears(at_weibo, push)).key for push in pushes for _ in range(3)}
    assert len(keys) == len(pushes)
    assert all(len(key) < 128 for key in keys)
    once = json.dumps(json.loads(weibo_push()), indent=2).encode()
    assert (await hears(at_weibo, once)).key in keys, "how it is written does not matter"


def test_a_moment_is_read_whatever_the_locale_says() -> None:
    assert events.moment("Mon Jul 16 18:09:20 +0800 2012") == datetime(2012, 7, 16, 10, 9, 20, tzinfo=UTC)
    for none in (
        "",
        "周一 七月 16 18:09:20 +0800 2012",
        "Mon Jul 32 18:09:20 +0800 2012",
        "Mon Jul 16 18:09:20 2012",
    ):
        assert events.moment(none) is None
    assert events.moment("Mon Jul 16 18:09:20 +9959 2012") is None
    assert events.moment("Mon Jan 01 00:00:00 +0800 0001") is None


INSERTED = [b'"', b"{", b"[", b"]", b"}", b",", b":", b"\\u0000", b"\\ud800", b"\xff", b"NaN", b"true"]
INSERTED += [b"9" * 50, b"-1", b"1e999", b"null", b'"type":1,']


def test_mutated_pushes_never_raise_anything_of_their_own(long: bool) -> None:
    rng = random.Random(7)
    seeds = [
        weibo_push(),
        weibo_push("event", "", {"subtype": "scan_follow", "key": "QR_SCENE_1024", "ticket": "T"}),
        weibo_push("position", "x", {"longitude": "116.3", "latitude": "39.9"}),
    ]
    understood = unreadable = 0
    for _ in range(1_000_000 if long else 100_000):
        raw = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(raw) + 1)
            if rng.random() < 0.3:
                del raw[at : at + rng.randint(1, 20)]
            else:
                raw[at:at] = rng.choice([*INSERTED, rng.randbytes(2)])
        try:
            told = events.told(parse(bytes(raw)), count=[].append)
        except Unreadable:
            unreadable += 1
        else:
            understood += 1
            assert told.who.isdigit()
            reply(Answer(told.text), told.who, told.account)
    assert min(understood, unreadable) > 100
