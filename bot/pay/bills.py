"""The platform's bill of a day: asked for, fetched, unpacked, checked against its hash, read to the fen."""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from datetime import date
from typing import Literal
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from bot.pay.told import PayRefused, PayUnknown, str_of
from bot.pay.wxpay import WxPay
from models.reconcile import Entry

PACKED_BYTES = 64 << 20
PLAIN_BYTES = 512 << 20
SECONDS = 120.0
OFFICIAL = frozenset({"api.mch.weixin.qq.com", "api2.mch.weixin.qq.com"})
GZIP = b"\x1f\x8b"
COUNTED = "总交易单数"  # so begins the line above the sums, after the rows
NAMED = "商品名称"
# What a column is called; the second name is the older format's (doc: trade bill, its format).
TOTAL = ("订单金额", "总金额")
BACK = ("申请退款金额", "退款金额")

Which = Literal["SUCCESS", "REFUND"]

_YUAN = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,2})0*)?", re.ASCII)


class BillOdd(Exception):
    """The bill is not what it should be: another hash, a column absent, a cell that cannot be read."""


async def trade_bill(pay: WxPay, day: date, which: Which) -> tuple[list[Entry], int]:
    """(its rows, how many more are of other accounts) of a day's payments or refunds; a day without any has none.

    A bill is there from 10:00 of the next day (China time), for three months; until then PayRefused with the code
    STATEMENT_CREATING. Raises PayRefused, PayUnknown, BillOdd. (doc: trade bill; downloading a bill)
    """
    asked = f"/v3/bill/tradebill?bill_date={day.isoformat()}&bill_type={which}&tar_type=GZIP"
    try:
        told = await pay._call("GET", asked)
    except PayRefused as no:
        if no.code == "NO_STATEMENT_EXIST":  # nothing was paid, or refunded, on that day
            return [], 0
        raise
    try:
        url, kind, digest = str_of(told, "download_url"), str_of(told, "hash_type"), str_of(told, "hash_value")
    except ValueError as fault:
        raise BillOdd(f"{fault} is missing") from None
    plain = unpacked(await _fetch(pay, url.strip()))
    if kind != "SHA1" or not hmac.compare_digest(hashlib.sha1(plain).hexdigest(), digest.lower()):
        raise BillOdd("its hash is another one")
    return entries(plain, pay.merchant.appid, pay.merchant.mchid)


async def _fetch(pay: WxPay, url: str) -> bytes:
    """The file; our request is signed, the reply is not, its hash was told before (doc: downloading a bill)."""
    parts, home = urlsplit(url), urlsplit(pay.merchant.base)
    hosts = OFFICIAL if home.hostname in OFFICIAL else frozenset({home.hostname})
    if parts.scheme != home.scheme or parts.hostname not in hosts or parts.port != home.port or parts.username:
        raise BillOdd("it is said to lie on another machine")  # where our signature has no business
    on_the_wire = parts.path + (f"?{parts.query}" if parts.query else "")
    headers = {
        "Authorization": pay.authorization("GET", on_the_wire, b""),
        "Accept": "application/json, */*",
        "Accept-Encoding": "identity",
        "User-Agent": "tuanpu",
    }
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    try:
        async with pay._http.get(
            URL(url, encoded=True), headers=headers, allow_redirects=False, timeout=timeout, auto_decompress=False
        ) as reply:
            if reply.status != 200:
                raise PayUnknown(f"the bill: http {reply.status}")
            told = bytearray()
            async for chunk in reply.content.iter_chunked(1 << 16):
                told += chunk
                if len(told) > PACKED_BYTES:
                    raise BillOdd("it is too long")
            return bytes(told)
    except (aiohttp.ClientError, TimeoutError, OSError) as fault:
        raise PayUnknown(f"the bill: {type(fault).__name__}") from None


def unpacked(raw: bytes) -> bytes:
    """The file as it was before gzip; one that was not packed as it is. Raises BillOdd."""
    if not raw.startswith(GZIP):
        return raw
    opener = zlib.decompressobj(wbits=31)
    try:
        plain = opener.decompress(raw, PLAIN_BYTES)
    except zlib.error:
        raise BillOdd("it cannot be unpacked") from None
    if not opener.eof:
        raise BillOdd("it is cut short, or too long")
    return plain


def entries(plain: bytes, appid: str, mchid: str) -> tuple[list[Entry], int]:
    """(rows, how many more are of other accounts of the same merchant number) of a bill; any of its three kinds.

    Each cell begins with ` and a comma stands between them, so that a comma within a name divides nothing.
    Raises BillOdd for a line that cannot be read: a bill is compared whole or not at all.
    """
    try:
        lines = [line for line in plain.decode("utf-8-sig").replace("\r\n", "\n").split("\n") if line.strip()]
    except UnicodeDecodeError:
        raise BillOdd("it is not UTF-8") from None
    end = next((n for n, line in enumerate(lines) if line.startswith(COUNTED)), None)
    if end is None or end == 0 or len(lines) != end + 2:
        raise BillOdd("it has no end")
    names = [name.strip() for name in lines[0].split(",")]
    rows, others = [], 0
    for n, line in enumerate(lines[1:end], 2):
        cells = _cells(line, names)
        if len(cells) != len(names) or not cells[0].startswith("`"):
            raise BillOdd(f"line {n} has {len(cells)} cells, not {len(names)}")
        row = dict(zip(names, [cells[0][1:], *cells[1:]], strict=True))
        try:
            if row["商户号"] != mchid:
                raise BillOdd(f"line {n} is of another merchant")
            if row["公众账号ID"] != appid:
                others += 1
                continue
            rows.append(_entry(row))
        except (KeyError, ValueError) as fault:
            raise BillOdd(f"line {n}: {fault}") from None
    return rows, others


def _cells(line: str, names: list[str]) -> list[str]:
    """A line's cells; what is too many of them belongs to the product's name, where the merchant wrote what divides."""
    cells = line.strip(" \n").split(",`")
    more = len(cells) - len(names)
    if more > 0 and NAMED in names:
        at = names.index(NAMED)
        cells[at : at + more + 1] = [",`".join(cells[at : at + more + 1])]
    return cells


def _entry(row: dict[str, str]) -> Entry:
    trade, state = row["商户订单号"], row["交易状态"]
    if row["货币种类"] != "CNY":
        raise ValueError(f"money of {row['货币种类']!r}")
    if state == "REFUND":
        return Entry("refund", _given(row, "商户退款单号"), trade, fen(_first(row, BACK)), _given(row, "退款状态"))
    return Entry("payment", _given(row, "微信订单号"), trade, fen(_first(row, TOTAL)), state)


def _given(row: dict[str, str], name: str) -> str:
    if not row[name]:
        raise ValueError(f"{name} is empty")
    return row[name]


def _first(row: dict[str, str], names: tuple[str, ...]) -> str:
    for name in names:
        if name in row:
            return row[name]
    raise KeyError(names[0])


def fen(yuan: str) -> int:
    """An amount in yuan, as bills write it (0.01, 12, 100.00, 0.05000), in fen; ValueError for anything else."""
    found = _YUAN.fullmatch(yuan)
    if found is None:
        raise ValueError(f"{yuan!r} is no amount")
    return int(found[1]) * 100 + int((found[2] or "0").ljust(2, "0"))
