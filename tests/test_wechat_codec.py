"""WeChat's writing, against known answers, against wechatpy in both directions, and against malice."""

import base64
import random
from datetime import UTC, datetime

import pytest
import xmltodict
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given
from hypothesis import strategies as st
from knocking import (
    AES_KEY,
    APP_ID,
    AT,
    GH,
    OPENID,
    TOKEN,
    RememberingDesk,
    clock,
    crypto,
    event,
    message,
    mutated,
    resealed,
    sealed,
    wechat,
    xml,
)
from wechatpy import parse_message
from wechatpy.utils import check_signature

from bot.door import Refused, Unreadable, clean, cut
from bot.face import Answer, Article
from bot.wechat import events
from bot.wechat.codec import Codec, Malformed, parse, reply, sign
from bot.wechat.webhook import WeChatDoor

VECTOR = (
    "<xml><ToUserName><![CDATA[gh_demo]]></ToUserName><FromUserName><![CDATA[oDemoUser]]></FromUserName>"
    "<CreateTime>1700000000</CreateTime><MsgType><![CDATA[text]]></MsgType>"
    "<Content><![CDATA[你好😀]]></Content><MsgId>24000000000000001</MsgId></xml>"
).encode()
SEALED = (
    "5BiR77rIaULLOc6rQxWm+Preu8dIyR4fVACu59T71W9tKU4se6/7SIPvHekywD7IlL4v62ZgAFU5tnJbZmMURZkiUaMDJGcKPjY/sGdX"
    "PXbhkwLmkru5PpmNiDhrE0qCrMvvoaqXb6LABbRqZnc253s7DDealhpKzzEWuuxiUeOFOx8xihjF0ZXKJJTElMR0X/1PTI4Vc2Td7JBz"
    "9f5mfL3O9FgDoaQQX+jHPFHUwfcoj917LW7aatP3uNmM/XEfTUQmoCn6AISRraNrqGRcEZ0hn7kqKYou/8QY1pb9SWTEd1VFyOwewH3E"
    "GIsV0DkJ6sxAbOqWZRNd7RsoYxvyuPPQoLlkY3OwuZV+SP8anlUp4QdnqDPbrHS3rDmmpk6V"
)


def codec(*keys: str, app_id: str = APP_ID) -> Codec:
    return Codec(TOKEN, app_id, keys or (AES_KEY,))


def door(counted: list[str] | None = None) -> WeChatDoor:
    count = (counted if counted is not None else []).append
    desk = RememberingDesk()
    return WeChatDoor(wechat(), desk, clock(), deadline=4.5, count=count, previous_keys=())


# -- the vendor's algorithm ---------------------------------------------------------------------------------


def test_the_query_signature_is_the_known_one() -> None:
    assert sign(TOKEN, "1700000000", "834921") == "fcf061e23cdb8d17918d9230cc8fa17a64c33207"
    assert codec().signed("fcf061e23cdb8d17918d9230cc8fa17a64c33207", "1700000000", "834921")
    check_signature(TOKEN, sign(TOKEN, "1700000000", "834921"), "1700000000", "834921")


@pytest.mark.parametrize("bad", ["", "0" * 40, "FCF061E23CDB8D17918D9230CC8FA17A64C33207", "签名", "\udcff", "\x00"])
def test_any_other_signature_is_refused_whatever_it_is_made_of(bad: str) -> None:
    assert not codec().signed(bad, "1700000000", "834921")


def test_the_known_envelope_opens_and_bears_the_known_signature() -> None:
    assert sign(TOKEN, "1700000000", "834921", SEALED) == "15fd6c1a50ce8b3fb8f9dd997577b7c3a0049281"
    ours = codec()
    assert ours.decrypt(SEALED) == VECTOR
    assert ours.decrypt(SEALED) == VECTOR, "one message leaves no trace in the next"
    known, made = base64.b64decode(SEALED), base64.b64decode(ours.encrypt(VECTOR))
    assert len(made) == len(known)


def test_no_two_envelopes_of_one_message_are_alike() -> None:
    ours = codec()
    made = [base64.b64decode(ours.encrypt(VECTOR)) for _ in range(200)]
    blocks = [one[start : start + 16] for one in made for start in range(0, len(one), 16)]
    assert len(set(blocks)) == len(blocks)
    assert all(ours.decrypt(base64.b64encode(one).decode()) == VECTOR for one in reversed(made))


def test_a_broken_envelope_does_not_spoil_the_next_message() -> None:
    ours = codec()
    for broken in (SEALED[:44] + "=", SEALED[:64], "QUJD", SEALED[64:]):
        with pytest.raises(Refused):
            ours.decrypt(broken)
        assert ours.decrypt(SEALED) == VECTOR


def test_a_message_sealed_with_the_key_before_the_last_still_opens() -> None:
    new = "A" * 42 + "E"
    assert codec(new, AES_KEY).decrypt(SEALED) == VECTOR
    with pytest.raises(Refused):
        codec(new).decrypt(SEALED)
    assert codec(new).decrypt(codec(new, AES_KEY).encrypt(VECTOR)) == VECTOR, "replies take the new key"


def test_a_message_for_another_account_is_refused_although_its_key_is_ours() -> None:
    for other in ("wxdemo0000000002", "wxdemo000000000", "wxdemo00000000011", ""):
        with pytest.raises(Refused, match="envelope"):
            codec(app_id=APP_ID).decrypt(codec(app_id=other).encrypt(VECTOR))


@pytest.mark.parametrize(
    "broken", ["", "!", "====", "QUJD", SEALED[:-4], SEALED[4:], SEALED[:24], "中", SEALED[:44] + "="]
)
def test_a_broken_envelope_is_refused(broken: str) -> None:
    with pytest.raises(Refused, match="envelope"):
        codec().decrypt(broken)


def test_padding_is_checked_to_its_last_byte() -> None:
    plain = b"0" * 16 + len(VECTOR).to_bytes(4, "big") + VECTOR + APP_ID.encode()
    fill = 32 - len(plain) % 32
    assert fill > 2
    good = bytes((fill,)) * fill
    key = base64.b64decode(AES_KEY + "=")

    def sealed_with(tail: bytes) -> str:
        made = Cipher(AES(key), CBC(key[:16])).encryptor().update(plain + tail)
        return base64.b64encode(made).decode()

    assert codec().decrypt(sealed_with(good)) == VECTOR
    for tail in (good[:-1] + b"\x00", good[:-1] + b"\x21", b"\x00" + good[1:], good[:-1] + bytes((fill - 1,))):
        with pytest.raises(Refused, match="envelope"):
            codec().decrypt(sealed_with(tail))


# -- against wechatpy, both ways ----------------------------------------------------------------------------

words = st.text(min_size=1, max_size=200)


@given(words)
def test_wechatpy_opens_what_we_seal(text: str) -> None:
    said = reply(Answer(text), OPENID, GH, AT)
    shown = cut(clean(text), 2048)
    if not shown:
        assert said == b""
        return
    envelope = xmltodict.parse(codec().seal(said, AT))["xml"]
    inner = crypto().decrypt_message(
        codec_xml(envelope), envelope["MsgSignature"], envelope["TimeStamp"], envelope["Nonce"]
    )
    assert inner.encode() == said
    told = xmltodict.parse(inner, strip_whitespace=False)["xml"]
    assert told["Content"] == shown
    assert set(told) == {"ToUserName", "FromUserName", "CreateTime", "MsgType", "Content"}, "nothing was planted"
    assert (told["ToUserName"], told["FromUserName"]) == (OPENID, GH)


def codec_xml(envelope: dict[str, str]) -> str:
    return xml({"Encrypt": envelope["Encrypt"]})


@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=100))
def test_we_open_what_wechatpy_seals(text: str) -> None:
    query, body = sealed(message(Content=text))
    told = door().read(query, body)
    assert told.text == text
    assert told.signed


@pytest.mark.parametrize(
    "fields",
    [
        message(),
        message(Content=None),
        message(MsgType="image", PicUrl="https://mmbiz.qpic.cn/a", MediaId="M"),
        event("subscribe", EventKey="qrscene_join:G7K2", Ticket="T"),
        event("CLICK", EventKey="goods"),
        event("pic_weixin", EventKey="k", SendPicsInfo={"Count": "1", "PicList": {"item": {"PicMd5Sum": "a"}}}),
        event(
            "pic_weixin",
            EventKey="k",
            SendPicsInfo={"Count": "2", "PicList": {"item": [{"PicMd5Sum": "a"}, {"PicMd5Sum": "b"}]}},
        ),
        event("FREEPUBLISHJOBFINISH", PublishEventInfo={"publish_id": "1", "fail_idx": ["1", "2"]}),
        event(
            "subscribe_msg_popup_event",
            SubscribeMsgPopupEvent={
                "List": [
                    {"TemplateId": "A", "SubscribeStatusString": "accept", "PopupScene": "1"},
                    {"TemplateId": "B", "SubscribeStatusString": "reject", "PopupScene": "1"},
                ]
            },
        ),
    ],
)
def test_our_parser_reads_as_wechatpys_does(fields: dict[str, object]) -> None:
    def emptied(value: object) -> object:
        if isinstance(value, dict):
            return {name: emptied(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [emptied(inner) for inner in value]
        return "" if value is None else value

    body = xml(fields)
    theirs = emptied(xmltodict.parse(body)["xml"])
    assert parse(body.encode()) == theirs


@pytest.mark.parametrize("kind", sorted(events.kinds()))
def test_every_kind_is_a_type_of_wechatpys_or_one_we_registered(kind: str) -> None:
    bare = {"user_info_modified", "user_authorization_revoke", "freepublishjobfinish", "view_miniprogram"}
    named = {"subscribe_scan": event("subscribe", EventKey="qrscene_1")}
    fields = named.get(kind) or (message(MsgType=kind) if kind in events._MESSAGES else event(kind, EventKey="k"))
    typed = parse_message(xml(fields))
    assert typed.type != "unknown" or kind in bare


# -- the parser ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hostile",
    [
        b'<!DOCTYPE xml [<!ENTITY a "b">]><xml><A>&a;</A></xml>',
        b'<!DOCTYPE xml SYSTEM "file:///etc/passwd"><xml><A>1</A></xml>',
        b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY l "l"><!ENTITY m "&l;&l;">]><xml><A>&m;</A></xml>',
        b"<xml><?php echo 1 ?><A>1</A></xml>",
    ],
)
def test_a_document_that_declares_or_instructs_is_forbidden(hostile: bytes) -> None:
    with pytest.raises(Malformed) as refused:
        parse(hostile)
    assert refused.value.forbidden


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"{}",
        b"<xml/>",
        b"<xml></xml>",
        b"<yml><A>1</A></yml>",
        b"<xml><A>1</xml>",
        b"<xml><A>\x0b</A></xml>",
        b"<xml><A>\xff</A></xml>",
        b"<xml><A>&unknown;</A></xml>",
        b"<xml><A>1</A></xml><xml/>",
        '<?xml version="1.0" encoding="utf-16"?><xml><A>1</A></xml>'.encode("utf-16"),
        b"<xml>" + b"<a>" * 9 + b"</a>" * 9 + b"</xml>",
        b"<xml>" + b"<a><b/></a>" * 300 + b"</xml>",
        b"<xml><FromUserName>a</FromUserName><FromUserName>b</FromUserName></xml>",
        b"<xml><FromUserName>a</FromUserName><FromUserName><b>b</b></FromUserName></xml>",
        b"<xml><FromUserName><b>b</b></FromUserName><FromUserName>a</FromUserName></xml>",
    ],
)
def test_what_is_not_wechats_xml_is_malformed_and_raises_nothing_else(broken: bytes) -> None:
    with pytest.raises(Malformed) as refused:
        parse(broken)
    assert not refused.value.forbidden


def test_the_declared_encoding_has_no_say() -> None:
    assert parse('<?xml version="1.0" encoding="gb2312"?><xml><A>茶</A></xml>'.encode()) == {"A": "茶"}


def test_an_element_in_place_of_text_is_nobodys_name() -> None:
    broken = xml(message(FromUserName={"a": "b"}))
    with pytest.raises(Unreadable):
        events.told(parse(broken.encode()), signed=True, count=[].append)


# -- the reply writer ---------------------------------------------------------------------------------------


def test_text_that_would_close_its_cdata_stays_text() -> None:
    evil = "a]]></Content><MsgType><![CDATA[image]]></MsgType><Content><![CDATA[b"
    told = parse(reply(Answer(evil), OPENID, GH, AT))
    assert told["Content"] == evil
    assert told["MsgType"] == "text"


@given(st.text(max_size=300))
def test_a_reply_is_read_back_as_it_was_cleaned(text: str) -> None:
    said = reply(Answer(text), OPENID, GH, AT)
    assert (parse(said)["Content"] if said else "") == cut(clean(text), 2048)


def test_characters_that_xml_does_not_allow_are_dropped() -> None:
    assert clean("a\x00\x08\x0b\x0c\x1f\ud800\udfff\ufffe\uffffb") == "ab"
    assert clean("行\r\n行\r行\n\t😀\x7f") == "行\n行\n行\n\t😀\x7f"


@given(st.text(st.characters(codec="utf-8")), st.integers(0, 60))
def test_a_text_is_cut_by_bytes_between_two_code_points(text: str, most: int) -> None:
    short = cut(text, most)
    assert text.startswith(short)
    assert len(short.encode()) <= most
    rest = text[len(short) :]
    assert not rest or len((short + rest[0]).encode()) > most, "no more would have fitted"


def test_a_long_reply_is_cut_to_2048_bytes_and_no_emoji_is_halved() -> None:
    said = parse(reply(Answer("茶" + "😀" * 600), OPENID, GH, AT))["Content"]
    assert said == "茶" + "😀" * 511
    assert len(said.encode()) <= 2048


def test_a_picture_an_article_and_nothing() -> None:
    assert parse(reply(Answer(media_id="M1"), OPENID, GH, AT))["Image"] == {"MediaId": "M1"}
    article = Article("标题]]>", "摘要", "https://shop.example.com/p.jpg?a=1&b=2", "https://shop.example.com/h/x")
    told = parse(reply(Answer(article=article), OPENID, GH, AT))
    assert told["ArticleCount"] == "1"
    assert told["Articles"] == {
        "item": {"Title": "标题]]>", "Description": "摘要", "PicUrl": article.picture, "Url": article.url}
    }
    assert reply(Answer(), OPENID, GH, AT) == b""
    assert reply(Answer("\x00"), OPENID, GH, AT) == b""


# -- malice -------------------------------------------------------------------------------------------------


SEEDS = [
    VECTOR,
    xml(event("subscribe", EventKey="qrscene_join:G7K2", Ticket="T")).encode(),
    xml(event("CLICK", EventKey="goods")).encode(),
    xml(
        event("pic_weixin", EventKey="k", SendPicsInfo={"Count": "1", "PicList": {"item": {"PicMd5Sum": "a"}}})
    ).encode(),
    xml(event("scancode_waitmsg", EventKey="k", ScanCodeInfo={"ScanType": "qrcode", "ScanResult": "1"})).encode(),
    xml(event("subscribe_msg_sent_event", SubscribeMsgSentEvent={"List": {"TemplateId": "A", "MsgID": "1"}})).encode(),
    xml(event("TEMPLATESENDJOBFINISH", MsgID="1", Status="success")).encode(),
    xml(message(MsgType="voice", MediaId="M", Format="amr", Recognition="龙井")).encode(),
    xml(message(MsgType="location", Location_X="30.1", Location_Y="120.2", Scale="15", Label="杭州")).encode(),
]


def test_mutated_bodies_inside_a_good_envelope_never_raise_anything_of_their_own(long: bool) -> None:
    rng, ours, wall = random.Random(20240229), codec(), door([])
    understood = refused = unreadable = 0
    for _ in range(1_000_000 if long else 100_000):
        query, body = resealed(mutated(rng, rng.choice(SEEDS)), ours.encrypt)
        wall.check(query)
        try:
            told = wall.read(query, body)
        except Refused:
            refused += 1
        except Unreadable:
            unreadable += 1
        else:
            understood += 1
            assert told.who
            assert told.key
            assert len(told.key) < 128
            assert told.at is None or told.at.tzinfo is not None
            assert all(isinstance(value, str) for value in told.data.values())
            assert ours.decrypt(ours.encrypt(reply(Answer(told.text or "好"), told.who, told.account, AT)))
    assert understood > 100
    assert unreadable > 100, "the mutations do reach the reader"
    assert refused == 0 or refused < understood


def test_mutated_envelopes_are_refused(long: bool) -> None:
    rng, ours, wall = random.Random(1), codec(), door([])
    query, body = resealed(VECTOR, ours.encrypt)
    same, count = 0, 100_000 if long else 3_000
    for _ in range(count):
        other = mutated(rng, body)
        try:
            told = wall.read(query, other)
        except Refused:
            continue
        same += 1  # a change beside <Encrypt> is not signed, and changes nothing
        assert told == wall.read(query, body)
    assert same < count // 10


def test_a_moment_is_a_moment_only_in_plain_digits() -> None:
    assert events.moment("1700000000") == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    for none in ("", "１７", "1_0", "+5", "-5", "9" * 11, "²"):
        assert events.moment(none) is None
