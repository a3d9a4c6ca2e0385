"""WeChat Pay v3: our client and our door against the fake cashier and against an independent peer."""

import asyncio
import base64
import json
import logging
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from multidict import CIMultiDict
from wechatpayv3 import WeChatPay as Peer
from wechatpayv3 import WeChatPayType
from wechatpayv3.utils import aes_decrypt, rsa_sign, rsa_verify

from bot.clock import Clock
from bot.pay.notify import Forged, doors, verify
from bot.pay.seal import unseal
from bot.pay.wxpay import Bill, Merchant, PayRefused, PayUnknown, WxPay
from bot.settings import WeChatPay
from bot.simulator.cashier import CannotPay, Cashier, make_merchant
from bot.simulator.cashier_keys import merchants_key

APPID = "wxdemo0000000001"


class Counter:
    """A cashier on a port, a shop's callback doors on another, and our client between them."""

    def __init__(self, folder):
        self.clock = Clock()
        self.cashier = Cashier(folder, APPID, self.clock)
        self.folder, self.entered, self.refused, self.says = folder, [], [], True
        self.orders = 0

    async def __aenter__(self):
        self.server = TestServer(self.cashier.app())
        await self.server.start_server()
        self.http = aiohttp.ClientSession()
        self.pay = self.client()
        shop = web.Application()
        shop.add_routes(doors(self.pay, self._enter, self.clock, refused=self.refused.append))
        self.shop = TestServer(shop)
        await self.shop.start_server()
        return self

    async def __aexit__(self, *_):
        await self.http.close()
        await self.shop.close()
        await self.server.close()

    def settings(self, **changed):
        given = self.cashier.merchant | {"api_base": str(self.server.make_url("")).rstrip("/")} | changed
        return WeChatPay(**given)

    def client(self, seconds=8, **changed):
        merchant = Merchant.read(self.settings(**changed), APPID)
        return WxPay(merchant, self.http, self.clock.now, seconds=seconds)

    def peer(self):
        given = self.cashier.merchant
        peer = Peer(
            WeChatPayType.NATIVE,
            mchid=given["mch_id"],
            private_key=(self.folder / "merchant_key.pem").read_text(),
            cert_serial_no=given["serial_no"],
            apiv3_key=given["api_v3_key"],
            appid=APPID,
            notify_url=self.url("notify"),
            public_key=(self.folder / "platform_public.pem").read_text(),
            public_key_id=given["public_key_id"],
        )
        peer._core._gate_way = str(self.server.make_url("")).rstrip("/")
        return peer

    def url(self, door):
        return str(self.shop.make_url(f"/pay/wechat/{door}"))

    def bill(self, total=3980, **changed):
        self.orders += 1
        words = {
            "out_trade_no": f"D2024000{self.orders}",
            "description": "店铺-“蓝色”马克杯",
            "total_fen": total,
            "notify_url": self.url("notify"),
            "expires": self.clock.now() + timedelta(minutes=30),
        }
        return Bill(**words | changed)

    async def paid(self, total=3980):
        bill = self.bill(total)
        await self.cashier.pay(await self.pay.native(bill), "oDemoUser")
        return bill

    async def refund(self, bill, fen, number="R1", **changed):
        words = {
            "out_refund_no": number,
            "out_trade_no": bill.out_trade_no,
            "refund_fen": fen,
            "total_fen": bill.total_fen,
            "reason": "协商退款",
            "notify_url": self.url("refund-notify"),
        }
        return await self.pay.refund(**words | changed)

    async def _enter(self, notice):
        if isinstance(self.says, Exception):
            raise self.says
        self.entered.append(notice)
        return self.says


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("merchant")
    make_merchant(made)
    return made


@pytest.fixture
async def counter(folder):
    async with Counter(folder) as made:
        yield made


# Against the sheet's vectors and the peer


def test_the_published_shape_of_a_sealed_resource_opens():
    key, sealed = (
        b"0123456789abcdef0123456789abcdef",
        {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": "abcdefghijkl",
            "associated_data": "transaction",
            "ciphertext": "Eu6myr+6GaECeJdOZPZ6BX51iS+LtF9rLo8csPAovIsIrf+PWjWGxmhAsvNb0MSYzQaey"
            "QluGeRXwygHbSg+Zal7qzQ=",
        },
    )
    assert unseal(sealed, key) == b'{"out_trade_no":"D20240001","trade_state":"SUCCESS"}'
    for name, other in [("nonce", "abcdefghijkm"), ("associated_data", ""), ("algorithm", "AES_128")]:
        with pytest.raises(ValueError, match=r"cannot be decrypted|unknown algorithm"):
            unseal(sealed | {name: other}, key)
    with pytest.raises(ValueError, match="cannot be decrypted"):
        unseal(sealed, key[::-1])


async def test_the_peer_makes_and_accepts_the_very_signature_that_we_make(counter):
    body = '{"描述":"“引号”"}'
    header = counter.pay.authorization("POST", "/v3/x?a=1", body.encode())
    scheme, _, rest = header.partition(" ")
    given = {name: value.strip('"') for name, _, value in (each.partition("=") for each in rest.split(","))}
    assert scheme == "WECHATPAY2-SHA256-RSA2048"
    assert given["mchid"] == counter.cashier.merchant["mch_id"]
    words = f"POST\n/v3/x?a=1\n{given['timestamp']}\n{given['nonce_str']}\n{body}\n"
    assert rsa_sign(counter.pay.merchant.key, words) == given["signature"]
    ours = merchants_key(counter.folder)
    stamp = "POST\n/v3/x?a=1\n" + given["timestamp"]
    assert rsa_verify(stamp, given["nonce_str"], body, given["signature"], ours)
    assert not rsa_verify(stamp, given["nonce_str"], body + " ", given["signature"], ours)


async def test_the_words_for_the_page_are_signed_as_the_peer_signs_them(counter):
    words = counter.pay.jsapi_words("wx2024prepay")
    assert words["package"] == "prepay_id=wx2024prepay"
    assert words["signType"] == "RSA"
    signed = [words[name] for name in ("appId", "timeStamp", "nonceStr", "package")]
    assert counter.peer().sign(signed) == words["paySign"]


async def test_a_page_that_the_peer_signed_opens_the_wallet_and_a_forged_one_does_not(counter):
    prepay_id = await counter.pay.jsapi(counter.bill(), "oDemoUser")
    ours = counter.pay.jsapi_words(prepay_id)
    assert counter.cashier.called_up(ours) == prepay_id
    stamp, package = str(counter.clock.timestamp()), f"prepay_id={prepay_id}"
    signed = {"appId": APPID, "timeStamp": stamp, "nonceStr": "n1", "package": package, "signType": "RSA"}
    theirs = signed | {"paySign": counter.peer().sign([APPID, stamp, "n1", package])}
    assert counter.cashier.called_up(theirs) == prepay_id
    other = await counter.pay.jsapi(counter.bill(), "oDemoUser")
    for changed in (
        {"package": f"prepay_id={other}"},
        {"appId": "wxother"},
        {"timeStamp": str(int(stamp) + 1)},
        {"nonceStr": "n2"},
        {"signType": "MD5"},
        {"paySign": ours["paySign"]},
        {"paySign": "é"},
    ):
        with pytest.raises(CannotPay, match="签名"):
            counter.cashier.called_up(theirs | changed)
    with pytest.raises(CannotPay, match="签名"):
        counter.cashier.called_up(None)


async def test_the_peer_asks_for_jsapi_and_h5_in_the_very_words_that_we_use(counter):
    """In both directions: the counter takes the peer's request as ours, and the peer's words are our words."""
    peer, bills = counter.peer(), [counter.bill(), counter.bill()]
    await counter.pay.jsapi(bills[0], "oDemoUser")
    await counter.pay.h5(bills[1], "203.0.113.7")
    ours = [counter.cashier.books.orders[bill.out_trade_no] for bill in bills]

    def shopping():
        told = []
        for kind, order, number in zip(
            (WeChatPayType.JSAPI, WeChatPayType.H5), ours, ("PEERJS01", "PEERH501"), strict=True
        ):
            more = {name: order.said[name] for name in ("payer", "scene_info") if name in order.said}
            words = {name: order.said[name] for name in ("description", "amount", "time_expire")}
            told.append(peer.pay(out_trade_no=number, pay_type=kind, **words, **more))
        return [(code, json.loads(words)) for code, words in told]

    jsapi, h5 = await asyncio.to_thread(shopping)
    assert (jsapi[0], list(jsapi[1])) == (200, ["prepay_id"])
    assert (h5[0], list(h5[1])) == (200, ["h5_url"])
    for mine, number in zip(ours, ("PEERJS01", "PEERH501"), strict=True):
        theirs = counter.cashier.books.orders[number]
        assert theirs.kind == mine.kind
        assert theirs.said | {"out_trade_no": mine.out_trade_no} == mine.said
    assert (await counter.cashier.pay(h5[1]["h5_url"], "oAnybody")).state == "SUCCESS"


async def test_the_peers_client_buys_asks_refunds_and_closes_at_our_cashier(counter):
    peer = counter.peer()

    def shopping():
        told = [peer.pay("马克杯", "PEER0001", {"total": 100, "currency": "CNY"})]
        told.append(peer.query(out_trade_no="PEER0001"))
        told.append(peer.close("PEER0001"))
        told.append(peer.query(out_trade_no="PEER0001"))
        told.append(peer.query(out_trade_no="PEER0002"))
        return [(code, json.loads(words) if words else {}) for code, words in told]

    placed, asked, closed, after, never = await asyncio.to_thread(shopping)
    assert placed[0] == 200
    assert placed[1]["code_url"].startswith("weixin://wxpay/bizpayurl?pr=")
    assert (asked[0], asked[1]["trade_state"], asked[1]["amount"]["total"]) == (200, "NOTPAY", 100)
    assert closed[0] == 204
    assert after[1]["trade_state"] == "CLOSED"
    assert (never[0], never[1]["code"]) == (404, "ORDER_NOT_EXIST")

    bill = await counter.paid(500)
    amount = {"refund": 200, "total": 500, "currency": "CNY"}
    args = {"out_refund_no": "PEERR1", "amount": amount, "out_trade_no": bill.out_trade_no}
    code, words = await asyncio.to_thread(lambda: peer.refund(**args))
    assert (code, json.loads(words)["status"]) == (200, "PROCESSING")
    code, words = await asyncio.to_thread(lambda: peer.query_refund("PEERR1"))
    assert (code, json.loads(words)["amount"]["refund"]) == (200, 200)


async def test_a_request_signed_by_another_merchants_key_is_refused_by_the_cashier(counter, tmp_path):
    other = make_merchant(tmp_path)
    with pytest.raises(PayRefused) as no:
        await counter.client(private_key_file=other["private_key_file"]).native(counter.bill())
    assert (no.value.code, no.value.status) == ("SIGN_ERROR", 401)
    assert counter.cashier.books.orders == {}


async def test_the_peer_reads_the_cashiers_callback_as_we_do(counter):
    bill = await counter.paid()
    headers, raw = counter.cashier.callback(counter.cashier.notices[-1])
    theirs = await asyncio.to_thread(counter.peer().callback, headers, raw)
    notice = verify(counter.pay, headers, raw, counter.clock.now())
    assert theirs["event_type"] == notice.event == "TRANSACTION.SUCCESS"
    assert theirs["resource"]["out_trade_no"] == notice.about.out_trade_no == bill.out_trade_no
    assert theirs["resource"]["amount"]["total"] == notice.about.total_fen == 3980
    assert notice.about.payer_openid == "oDemoUser"
    assert (notice.about.appid, notice.about.mchid) == (APPID, counter.cashier.merchant["mch_id"])
    assert notice.about.currency == "CNY"


@pytest.mark.parametrize("late", [330, 86400 * 365, -330, -86400])
async def test_a_stale_callback_that_the_peer_accepts_is_refused_by_us(counter, late):
    await counter.paid()
    headers, raw = counter.cashier.callback(counter.cashier.notices[-1], late)
    assert await asyncio.to_thread(counter.peer().callback, headers, raw) is not None
    with pytest.raises(Forged, match="stale"):
        verify(counter.pay, headers, raw, counter.clock.now())
    entered = list(counter.entered)
    assert (await counter.cashier.deliver(late=late))[0][0] == 401
    assert counter.entered == entered


@pytest.mark.parametrize("late", [290, -290])
async def test_a_callback_some_minutes_off_either_way_is_still_good(counter, late):
    await counter.paid()
    assert await counter.cashier.deliver(late=late) == [(200, "")]


async def test_the_window_is_300_seconds_to_the_second(counter):
    await counter.paid()
    headers, raw = counter.cashier.callback(counter.cashier.notices[-1])
    at = datetime.fromtimestamp(int(headers["Wechatpay-Timestamp"]), UTC)
    for off in (timedelta(seconds=300), timedelta(seconds=-300)):
        verify(counter.pay, headers, raw, at + off)
    for off in (timedelta(seconds=301), timedelta(seconds=-301)):
        with pytest.raises(Forged, match="stale"):
            verify(counter.pay, headers, raw, at + off)


# What a callback is answered


async def test_a_payment_is_called_back_and_answered_with_nothing_once_it_is_kept(counter):
    bill = await counter.paid()
    assert [notice.about.out_trade_no for notice in counter.entered] == [bill.out_trade_no]
    assert counter.cashier.notices[-1].answers == [(200, "")]
    trade = await counter.pay.query(bill.out_trade_no)
    assert trade == counter.entered[0].about
    assert trade.was_paid
    assert trade.success_time is not None
    assert trade.success_time.tzinfo is UTC


@pytest.mark.parametrize(
    ("garbled", "status", "reason"),
    [
        ("signature", 401, "signature"),
        ("key", 401, "signature"),
        ("body", 401, "signature"),
        ("truncated", 401, "signature"),
        ("serial", 401, "serial"),
        ("probe", 401, "probe"),
        ("cipher", 400, "decrypt"),
    ],
)
async def test_a_forged_callback_is_refused_and_nothing_enters(counter, garbled, status, reason):
    counter.cashier.withhold = True
    await counter.paid()
    answered, body = (await counter.cashier.deliver(garbled=garbled))[0]
    assert (answered, json.loads(body)["code"]) == (status, "FAIL")
    assert counter.entered == []
    assert counter.refused == [reason]


async def test_headers_that_are_missing_doubled_or_of_another_kind_are_refused(counter):
    await counter.paid()
    good, raw = counter.cashier.callback(counter.cashier.notices[-1])
    now = counter.clock.now()
    for name in ("Serial", "Timestamp", "Nonce", "Signature"):
        without = {key: value for key, value in good.items() if key != f"Wechatpay-{name}"}
        with pytest.raises(Forged, match="missing"):
            verify(counter.pay, without, raw, now)
        with pytest.raises(Forged, match="missing"):
            verify(counter.pay, good | {f"Wechatpay-{name}": ""}, raw, now)
        twice = CIMultiDict(good)
        twice.add(f"wechatpay-{name}", good[f"Wechatpay-{name}"])
        with pytest.raises(Forged, match="repeated"):
            verify(counter.pay, twice, raw, now)
    for stamp in (
        "１７００００００００",
        "+1700000000",
        "1700000000.0",
        "1_7",
        "-1",
        "9" * 13,
        " 1700000000",
    ):
        with pytest.raises(Forged, match="malformed"):
            verify(counter.pay, good | {"Wechatpay-Timestamp": stamp}, raw, now)
    with pytest.raises(Forged, match="type"):
        verify(counter.pay, good | {"Wechatpay-Signature-Type": "WECHATPAY2-SM2-WITH-SM3"}, raw, now)
    for signature in (
        "é",
        "not base64!",
        base64.b64encode(b"short").decode(),
        good["Wechatpay-Signature"] + "\n",
    ):
        with pytest.raises(Forged, match=r"signature|malformed"):
            verify(counter.pay, good | {"Wechatpay-Signature": signature}, raw, now)
    lower = {key.lower(): value for key, value in good.items()}
    assert verify(counter.pay, lower, raw, now).about == counter.entered[0].about


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 5000,
        b'{"id":NaN}',
        b'{"id":"1","resource_type":"plain","resource":{}}',
        b'{"id":"1","create_time":"2024-01-02T15:04:05","event_type":"TRANSACTION.SUCCESS",'
        b'"resource_type":"encrypt-resource","resource":{}}',
    ],
)
async def test_rubbish_under_a_good_signature_is_400_and_nothing_enters(counter, raw):
    headers = counter.cashier.stamp.headers(raw, counter.clock.timestamp())
    async with counter.http.post(counter.url("notify"), data=raw, headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "FAIL")
    assert counter.entered == []


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": {"total": True, "currency": "CNY"}},
        {"amount": {"total": 39.8, "currency": "CNY"}},
        {"amount": {"total": "3980", "currency": "CNY"}},
        {"amount": {"total": -1, "currency": "CNY"}},
        {"amount": {"payer_total": 3980, "currency": "CNY"}},
        {"amount": []},
        {"transaction_id": ""},
        {"out_trade_no": 20240001},
        {"mchid": None},
        {"success_time": "2024-01-02T15:04:05"},
        {"success_time": "gestern"},
    ],
)
async def test_a_genuine_callback_with_an_odd_field_is_400_and_nothing_enters(counter, changed):
    counter.cashier.withhold = True
    await counter.paid()
    assert (await counter.cashier.deliver(changed=changed))[0][0] == 400
    assert counter.entered == []
    assert await counter.cashier.deliver() == [(200, "")]


async def test_a_genuine_callback_that_says_a_thing_twice_is_400(counter):
    counter.cashier.withhold = True
    await counter.paid()
    headers, raw = counter.cashier.callback(counter.cashier.notices[-1])
    assert verify(counter.pay, headers, raw, counter.clock.now())
    raw = raw.replace(b'"event_type"', b'"event_type": "REFUND.SUCCESS", "event_type"')
    headers = counter.cashier.stamp.headers(raw, counter.clock.timestamp())
    with pytest.raises(Forged, match="body") as odd:
        verify(counter.pay, headers, raw, counter.clock.now())
    assert odd.value.status == 400


async def test_a_foreign_amount_enters_as_it_is_for_the_shop_to_compare(counter):
    counter.cashier.withhold = True
    await counter.paid()
    foreign = {"amount": {"total": 1, "currency": "USD"}, "appid": "wxother", "mchid": "1"}
    assert (await counter.cashier.deliver(changed=foreign))[0][0] == 200
    about = counter.entered[0].about
    assert (about.total_fen, about.currency, about.appid, about.mchid) == (1, "USD", "wxother", "1")


async def test_a_body_over_64_kib_is_413(counter):
    raw = b" " * (64 * 1024 + 1)
    headers = counter.cashier.stamp.headers(raw, counter.clock.timestamp())
    async with counter.http.post(counter.url("notify"), data=raw, headers=headers) as answer:
        assert answer.status == 413
    assert counter.refused == ["size"]


async def test_what_the_shop_could_not_keep_is_500_and_said_again_until_it_is(counter, caplog):
    counter.says = RuntimeError("the database is down")
    with caplog.at_level(logging.CRITICAL):
        bill = await counter.paid()
    notice = counter.cashier.notices[-1]
    assert [status for status, _ in notice.answers] == [500]
    assert json.loads(notice.answers[0][1])["code"] == "FAIL"
    counter.says = False
    await counter.cashier.tick()
    assert len(notice.answers) == 1  # 15 seconds have to pass first
    counter.clock.move(timedelta(seconds=15))
    await counter.cashier.tick()
    counter.says = True
    counter.clock.move(timedelta(seconds=15))
    await counter.cashier.tick()
    assert [status for status, _ in notice.answers] == [500, 500, 200]
    counter.clock.move(timedelta(hours=1))
    await counter.cashier.tick()
    assert len(notice.answers) == 3
    assert counter.entered[-1].about.out_trade_no == bill.out_trade_no


async def test_a_callback_repeated_three_times_is_answered_200_each_time(counter):
    counter.cashier.repeat = 3
    await counter.paid()
    assert counter.cashier.notices[-1].answers == [(200, "")] * 3
    assert len({notice.about for notice in counter.entered}) == 1


async def test_a_flood_of_forgeries_is_one_line_in_the_log_and_a_probe_none(counter, caplog):
    counter.cashier.withhold = True
    await counter.paid()
    with caplog.at_level(logging.WARNING, logger="bot.pay.notify"):
        await counter.cashier.deliver(times=5, garbled="probe")
        assert caplog.records == []
        await counter.cashier.deliver(times=5, garbled="signature")
    assert len(caplog.records) == 1
    assert counter.refused == ["probe"] * 5 + ["signature"] * 5


# Keys


async def test_in_certificate_mode_the_keys_are_fetched_before_the_first_word(counter):
    counter.cashier.certificates = True
    pay = counter.client(public_key_id="", public_key_file=None)
    assert not pay.keys.any(counter.clock.now())
    bill = counter.bill()
    assert (await pay.native(bill)).startswith("weixin://")
    asked = [call.path for call in counter.cashier.calls]
    assert asked == ["/v3/certificates", "/v3/pay/transactions/native"]
    assert (await pay.query(bill.out_trade_no)).state == "NOTPAY"


async def test_without_any_platform_key_nothing_is_sent(counter):
    pay = counter.client(public_key_id="", public_key_file=None)
    with pytest.raises(PayUnknown, match="nothing was sent"):
        await pay.native(counter.bill())
    assert counter.cashier.books.orders == {}


async def test_certificates_sealed_with_another_key_are_not_believed(counter):
    counter.cashier.certificates = True
    pay = counter.client(public_key_id="", public_key_file=None, api_v3_key="x" * 16 + "0123456789abcdef")
    with pytest.raises(PayUnknown, match="certificates"):
        await pay.refresh_keys()
    assert not pay.keys.any(counter.clock.now())


async def test_certificates_in_a_reply_that_none_of_them_signed_are_not_believed(counter):
    counter.cashier.certificates = True
    pay = counter.client(public_key_id="", public_key_file=None)
    counter.cashier.fail_next("/v3/certificates", unsigned=True)
    with pytest.raises(PayUnknown, match="certificates"):
        await pay.refresh_keys()
    assert not pay.keys.any(counter.clock.now())


async def test_a_new_certificate_is_401_without_a_call_out_until_the_keys_are_fetched(counter):
    counter.cashier.certificates = True
    pay = counter.client(public_key_id="", public_key_file=None)
    bill = counter.bill()
    code = await pay.native(bill)
    counter.cashier.rotate()
    counter.cashier.withhold = True
    await counter.cashier.pay(code, "oDemoUser")
    headers, raw = counter.cashier.callback(counter.cashier.notices[-1])
    calls = len(counter.cashier.calls)
    with pytest.raises(Forged, match="serial"):
        verify(pay, headers, raw, counter.clock.now())
    assert pay.keys.wanted
    assert len(counter.cashier.calls) == calls
    counter.clock.move(timedelta(seconds=61))
    await pay.refresh_keys()
    assert not pay.keys.wanted
    headers, raw = counter.cashier.callback(counter.cashier.notices[-1])
    assert verify(pay, headers, raw, counter.clock.now()).about.out_trade_no == bill.out_trade_no


async def test_who_has_the_public_key_also_learns_the_certificates_that_callbacks_are_still_signed_by(
    counter, monkeypatch
):
    """While a merchant goes over from the one to the other, either may sign."""
    bill = counter.bill()
    code = await counter.pay.native(bill)
    counter.cashier.withhold = True
    await counter.cashier.pay(code, "oDemoUser")
    counter.cashier.certificates = True
    headers, raw = counter.cashier.callback(counter.cashier.notices[-1])
    with pytest.raises(Forged, match="serial"):
        verify(counter.pay, headers, raw, counter.clock.now())
    monkeypatch.setattr(counter.cashier, "_signer", lambda: counter.cashier.stamp)
    await counter.pay.refresh_keys()
    monkeypatch.undo()
    headers, raw = counter.cashier.callback(counter.cashier.notices[-1])
    assert verify(counter.pay, headers, raw, counter.clock.now()).about.out_trade_no == bill.out_trade_no


async def test_many_unknown_serials_make_at_most_one_fetch_a_minute(counter):
    counter.cashier.certificates = True
    pay = counter.client(public_key_id="", public_key_file=None)
    await asyncio.gather(*(pay.refresh_keys() for _ in range(5)))
    for _ in range(3):
        pay.keys.wanted = True
        await pay.refresh_keys()
    assert [call.path for call in counter.cashier.calls] == ["/v3/certificates"]


async def test_an_expired_certificate_counts_no_more(counter):
    counter.cashier.certificates = True
    pay = counter.client(public_key_id="", public_key_file=None)
    await pay.refresh_keys()
    assert pay.keys.any(counter.clock.now())
    assert not pay.keys.any(counter.clock.now() + timedelta(days=1826))


# What the cashier's answers mean


async def test_the_same_bill_twice_is_one_order_and_other_words_are_refused(counter):
    bill = counter.bill()
    codes = {await counter.pay.native(bill), await counter.pay.native(bill)}
    assert len(counter.cashier.books.orders) == 1
    changed = counter.bill(1, out_trade_no=bill.out_trade_no)
    with pytest.raises(PayRefused) as no:
        await counter.pay.native(changed)
    assert no.value.code == "INVALID_REQUEST"
    await counter.cashier.pay(codes.pop(), "oDemoUser")
    with pytest.raises(CannotPay) as twice:
        await counter.cashier.pay(codes.pop(), "oDemoUser")
    assert twice.value.why == "paid"
    with pytest.raises(PayRefused) as no:
        await counter.pay.native(bill)
    assert no.value.means == "paid"


async def test_an_order_can_be_paid_until_it_expires_and_no_longer(counter):
    bill = counter.bill()
    code = await counter.pay.native(bill)
    counter.clock.move(timedelta(minutes=30))
    with pytest.raises(CannotPay) as late:
        await counter.cashier.pay(code, "oDemoUser")
    assert late.value.why == "expired"
    assert (await counter.pay.query(bill.out_trade_no)).state == "NOTPAY"  # expiry does not close


async def test_a_closed_order_cannot_be_paid_and_closing_twice_is_no_fault(counter):
    bill = counter.bill()
    code = await counter.pay.native(bill)
    await counter.pay.close(bill.out_trade_no)
    await counter.pay.close(bill.out_trade_no)
    with pytest.raises(CannotPay) as late:
        await counter.cashier.pay(code, "oDemoUser")
    assert late.value.why == "closed"
    trade = await counter.pay.query(bill.out_trade_no)
    assert (trade.state, trade.was_paid, trade.transaction_id, trade.success_time) == (
        "CLOSED",
        False,
        "",
        None,
    )
    with pytest.raises(PayRefused) as no:
        await counter.pay.native(bill)
    assert no.value.means == "closed"


async def test_a_paid_order_cannot_be_closed_and_one_unheard_of_is_missing(counter):
    bill = await counter.paid()
    with pytest.raises(PayRefused) as no:
        await counter.pay.close(bill.out_trade_no)
    assert no.value.means == "paid"
    with pytest.raises(PayRefused) as no:
        await counter.pay.query("NOBODYS1")
    assert no.value.means == "missing"


async def test_a_jsapi_order_is_paid_by_its_own_person_only_and_h5_has_its_url(counter):
    prepay_id = await counter.pay.jsapi(counter.bill(), "oDemoUser")
    with pytest.raises(CannotPay) as other:
        await counter.cashier.pay(prepay_id, "oOther")
    assert other.value.why == "payer"
    assert (await counter.cashier.pay(prepay_id, "oDemoUser")).state == "SUCCESS"
    assert (await counter.pay.h5(counter.bill(), "203.0.113.7")).startswith("https://wx.tenpay.com/")


async def test_a_coupon_of_the_platform_does_not_change_what_was_paid_for(counter):
    bill = counter.bill(1000)
    await counter.cashier.pay(await counter.pay.native(bill), "oDemoUser", coupon=300)
    assert counter.entered[0].about.total_fen == 1000
    assert (await counter.pay.query(bill.out_trade_no)).total_fen == 1000


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "code": "SYSTEM_ERROR"},
        {"status": 502},
        {"status": 400, "code": "SYSTEM_ERROR"},
        {"status": 302, "code": "X"},
        {"status": 202, "code": "USERPAYING"},
        {"drop": True},
        {"drop": True, "after": True},
        {"status": 500, "after": True},
        {"unsigned": True},
    ],
)
async def test_where_no_word_can_be_trusted_the_outcome_is_unknown_and_a_query_tells(counter, fault):
    bill = counter.bill()
    counter.cashier.fail_next("/native", **fault)
    with pytest.raises(PayUnknown):
        await counter.pay.native(bill)
    done = fault.get("after", False) or fault.get("unsigned", False)
    if done:
        assert (await counter.pay.query(bill.out_trade_no)).state == "NOTPAY"
    else:
        with pytest.raises(PayRefused):
            await counter.pay.query(bill.out_trade_no)


@pytest.mark.parametrize(
    ("status", "code", "means"),
    [
        (403, "NOT_ENOUGH", "not_enough"),
        (403, "NOTENOUGH", "not_enough"),
        (404, "ORDERNOTEXIST", "missing"),
        (404, "RESOURCE_NOT_EXISTS", "missing"),
        (429, "FREQUENCY_LIMITED", "later"),
        (400, "ORDERPAID", "paid"),
        (400, "ORDERCLOSED", "closed"),
        (403, "OUT_TRADE_NO_USED", "used"),
        (400, "PARAM_ERROR", "other"),
    ],
)
async def test_a_reasoned_no_is_definite_whichever_way_it_is_spelt(counter, status, code, means):
    counter.cashier.fail_next("/refunds/R1", status=status, code=code)
    with pytest.raises(PayRefused) as no:
        await counter.pay.query_refund("R1")
    assert (no.value.code, no.value.status, no.value.means) == (code, status, means)


async def test_silence_and_an_address_where_nobody_listens_are_unknown(counter):
    answered = asyncio.Event()

    async def silent(request):
        await answered.wait()
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", silent)
    server = TestServer(app)
    await server.start_server()
    base = str(server.make_url("")).rstrip("/")
    with pytest.raises(PayUnknown):
        await counter.client(seconds=0.05, api_base=base).query("D20240001")
    answered.set()
    await server.close()
    with pytest.raises(PayUnknown):
        await counter.client(seconds=0.5, api_base=base).query("D20240001")


async def test_a_reply_that_is_stale_is_not_believed(counter):
    counter.clock.freeze(counter.clock.now())  # a stamp has whole seconds: the next one may begin on the way
    bill = counter.bill()
    await counter.pay.native(bill)
    merchant, moved = counter.pay.merchant, timedelta(seconds=299)
    pay = WxPay(merchant, counter.http, lambda: counter.clock.now() + moved)
    assert (await pay.query(bill.out_trade_no)).state == "NOTPAY"
    moved = timedelta(seconds=400)
    with pytest.raises(PayRefused) as no:  # the cashier sees it first: our request is as stale
        await pay.query(bill.out_trade_no)
    assert no.value.code == "SIGN_ERROR"


# Refunds


async def test_a_refund_is_accepted_first_and_done_when_the_callback_says_so(counter):
    bill = await counter.paid()
    state = await counter.refund(bill, 1000)
    assert (state.state, state.refund_fen, state.total_fen, state.success_time) == (
        "PROCESSING",
        1000,
        3980,
        None,
    )
    await counter.cashier.refund_settle()
    notice = counter.entered[-1]
    assert (notice.event, notice.about.state, notice.about.out_refund_no) == (
        "REFUND.SUCCESS",
        "SUCCESS",
        "R1",
    )
    assert notice.about.mchid == counter.cashier.merchant["mch_id"]
    assert counter.cashier.notices[-1].url == counter.url("refund-notify")
    after = await counter.pay.query_refund("R1")
    assert (after.state, after.refund_id) == ("SUCCESS", state.refund_id)
    assert (await counter.pay.query(bill.out_trade_no)).state == "REFUND"
    assert (await counter.pay.query(bill.out_trade_no)).was_paid


@pytest.mark.parametrize("state", ["ABNORMAL", "CLOSED"])
async def test_a_refund_that_fails_says_how(counter, state):
    bill = await counter.paid()
    await counter.refund(bill, 1000)
    await counter.cashier.refund_settle("R1", state)
    assert (counter.entered[-1].event, counter.entered[-1].about.state) == (f"REFUND.{state}", state)


async def test_the_same_refund_number_is_the_same_refund_after_a_lost_answer(counter):
    bill = await counter.paid()
    counter.cashier.fail_next("/refunds", drop=True, after=True)
    with pytest.raises(PayUnknown):
        await counter.refund(bill, 1000)
    assert (await counter.refund(bill, 1000)).state == "PROCESSING"
    assert len(counter.cashier.books.refunds) == 1
    with pytest.raises(PayRefused):
        await counter.refund(bill, 999)


async def test_no_more_is_refunded_than_was_paid_nor_from_an_empty_purse_nor_in_a_hurry(counter):
    bill = await counter.paid(1000)
    counter.cashier.books.not_enough = True
    with pytest.raises(PayRefused) as no:
        await counter.refund(bill, 600)
    assert no.value.means == "not_enough"
    counter.cashier.books.not_enough = False
    await counter.refund(bill, 600)
    with pytest.raises(PayRefused) as no:
        await counter.refund(bill, 400, "R2")
    assert no.value.means == "later"
    counter.clock.move(timedelta(seconds=60))
    with pytest.raises(PayRefused) as no:
        await counter.refund(bill, 401, "R2")
    assert no.value.code == "INVALID_REQUEST"
    assert (await counter.refund(bill, 400, "R2")).state == "PROCESSING"
    unpaid = counter.bill()
    await counter.pay.native(unpaid)
    with pytest.raises(PayRefused):
        await counter.refund(unpaid, 1, "R3")
    assert [refund.amount for refund in counter.cashier.books.refunds.values()] == [600, 400]


async def test_time_alone_ends_a_refund(counter):
    bill = await counter.paid()
    await counter.refund(bill, 3980)
    await counter.cashier.tick()
    assert counter.cashier.books.refunds["R1"].state == "PROCESSING"
    counter.clock.move(timedelta(seconds=3))
    await counter.cashier.tick()
    assert counter.entered[-1].event == "REFUND.SUCCESS"


# The house


async def test_the_shops_clock_moves_signatures_and_callbacks_along(counter):
    counter.clock.move(timedelta(days=40))
    bill = await counter.paid()
    assert counter.entered[0].about.out_trade_no == bill.out_trade_no
    assert abs(counter.entered[0].at - counter.clock.now()) < timedelta(seconds=5)


async def test_under_a_prefix_the_cashier_still_checks_what_was_signed(folder):
    clock = Clock()
    cashier, outer = Cashier(folder, APPID, clock), web.Application()
    outer.add_subapp("/simulator/cashier", cashier.app())
    server = TestServer(outer)
    await server.start_server()
    async with aiohttp.ClientSession() as http:
        given = WeChatPay(**cashier.merchant, api_base=str(server.make_url("/simulator/cashier")))
        pay = WxPay(Merchant.read(given, APPID), http, clock.now)
        expires = clock.now() + timedelta(minutes=10)
        code = await pay.native(Bill("D20240001", "杯", 100, "https://shop.example.com/n", expires))
        assert code in cashier.books.orders["D20240001"].codes
        assert (await pay.query("D20240001")).total_fen == 100
    await server.close()


async def test_a_demo_that_starts_again_still_knows_what_was_paid(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    clock = Clock()
    books = Cashier(tmp_path, APPID, clock, keep=True).books
    expires = (clock.now() + timedelta(minutes=10)).isoformat()
    said = {"appid": APPID, "mchid": books.mchid, "out_trade_no": "D20240001", "description": "杯"}
    said |= {"notify_url": "https://shop.example.com/n", "time_expire": expires, "amount": {"total": 100}}
    books.pay(books.prepay("native", said)["code_url"], "oDemoUser", 0)
    books.keep()
    again = Cashier(tmp_path, APPID, clock, keep=True).books
    assert again.orders == books.orders
    assert again.orders["D20240001"].state == "SUCCESS"


def test_keys_are_made_once_in_a_folder_and_differ_between_folders(folder, tmp_path):
    assert make_merchant(folder) == make_merchant(folder)
    other = make_merchant(tmp_path)
    assert other["api_v3_key"] != make_merchant(folder)["api_v3_key"]
    assert len(other["api_v3_key"].encode()) == 32
    assert (tmp_path / "merchant_key.pem").stat().st_mode & 0o077 == 0
    load_pem_public_key((tmp_path / "platform_public.pem").read_bytes())


async def test_no_secret_shows_in_a_repr_or_in_the_panels_log(counter):
    await counter.paid()
    v3 = counter.cashier.merchant["api_v3_key"]
    shown = repr(counter.pay.merchant) + repr(counter.settings()) + repr(list(counter.cashier.calls))
    assert v3 not in shown
    assert "PRIVATE KEY" not in shown


async def test_the_peer_opens_a_certificate_that_the_cashier_seals(counter):
    counter.cashier.rotate()
    body = b""
    header = counter.pay.authorization("GET", "/v3/certificates", body)
    headers = {"Authorization": header, "Accept": "application/json"}
    async with counter.http.get(counter.server.make_url("/v3/certificates"), headers=headers) as reply:
        each = (await reply.json())["data"][0]["encrypt_certificate"]
    words = [each[name] for name in ("nonce", "ciphertext", "associated_data")]
    assert aes_decrypt(*words, counter.cashier.merchant["api_v3_key"]).startswith("-----BEGIN CERTIFICATE")
