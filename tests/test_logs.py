"""Log lines can be read by machines, can be traced to a request, and never hold a secret."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from bot import logs

CANARY = "c4naryS3cretValue"


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """What is written while a test runs; the logging of the test run comes back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure([CANARY + "-known"], stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_the_time_in_utc(out: io.StringIO) -> None:
    logging.getLogger("bot.desk").info("heard %s\nand more", "龙井", extra={"fen": 990})
    (line,) = lines(out)
    assert line["message"] == "heard 龙井\nand more"
    assert str(line["at"]).endswith("Z")
    assert (line["level"], line["logger"], line["fen"]) == ("info", "bot.desk", 990)
    assert "request" not in line


async def test_a_line_carries_the_id_of_its_own_request(out: io.StringIO) -> None:
    async def serve(name: str) -> None:
        with logs.request(name):
            await asyncio.sleep(0)
            logging.getLogger("bot").warning("for %s", name)

    await asyncio.gather(serve("a"), serve("b"))
    logging.getLogger("bot").warning("for nobody")
    assert [(line["message"], line.get("request")) for line in lines(out)] == [
        ("for a", "a"),
        ("for b", "b"),
        ("for nobody", None),
    ]
    with logs.request() as first, logs.request() as second:
        assert first != second


@pytest.mark.parametrize(
    "text",
    [
        "GET https://api.weixin.qq.com/cgi-bin/user/info?access_token={} failed",
        "POST /wechat?signature={}&timestamp=1 HTTP/1.1",
        "access_token={} refused",
        "appid=wx1&secret={}&grant_type=x",
        "'access_token': '{}'",
        '{{"access_token":"{}","expires_in":7200}}',
        'b\'{{"access_token":"{}"}}\'',
        'body "{{\\"app_secret\\": \\"{}\\"}}"',
        "msg_signature: {}",
        'Authorization: WECHATPAY2-SHA256-RSA2048 mchid="19",signature="{}"',
        "Authorization: Bearer {}",
        "Cookie: __Host-s={}",
        "paySign={}, jsapi_ticket={}",
        "postgresql://shop:{}@db/shop",
        "redis://:{}@cache:6379/0",
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\n{} (cut",
        "ClientResponse(https://a.example/x?code={}&state=1) [200 OK]",
        'password = "two words {}"',
        "SECRET={}",
        "somewhere {}-known stands alone",
        "%E5%85%B3?ticket=g{}",
    ],
)
def test_a_secret_is_not_in_the_log(out: io.StringIO, text: str) -> None:
    said = text.format(*[CANARY] * text.count("{}"))
    assert CANARY in said
    log = logging.getLogger("bot")
    log.warning(said.replace("%", "%%"))
    log.warning("%s", said)
    log.warning("told", extra={"detail": {"inner": [said]}, "secret": CANARY, "token": 123456})
    try:
        raise ValueError(said)
    except ValueError:
        log.exception("failed")
    assert len(lines(out)) == 4
    assert CANARY not in out.getvalue()
    assert "123456" not in out.getvalue()


def test_what_is_no_secret_stays_readable(out: io.StringIO) -> None:
    said = "订单 K7M2P9QA 付款 990 fen, errcode=40001 at https://shop.example.com/pay/K7M2P9QA, 多少钱? 好=行"
    logging.getLogger("bot").info(said)
    assert lines(out)[0]["message"] == said


def test_a_log_call_with_wrong_arguments_is_still_a_line() -> None:
    record = logging.makeLogRecord({"msg": "%d pieces", "args": ("three",)})
    assert json.loads(logs.JsonLines(logs.Redactor()).format(record))["message"] == "%d pieces ('three',)"


def test_half_a_character_can_still_be_written() -> None:
    text = logs.JsonLines(logs.Redactor()).format(logging.makeLogRecord({"msg": "龙井\udc80"}))
    assert json.loads(text.encode())["message"] == "龙井\udc80"


def test_a_message_without_end_is_cut(out: io.StringIO) -> None:
    logging.getLogger("bot").info("x" * 100_000)
    assert len(out.getvalue()) < 10_000
