"""Makes every request of a round before it begins, and reads every answer after it has ended.

Both are done with wechatpy's cipher, which is not the one that the project's door uses.
"""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode
from xml.etree import ElementTree

from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidAppIdException, InvalidSignatureException
from wechatpy.utils import WeChatSigner

from bench.account import HOST, PATH, SAID, Account

_ENCRYPTED = re.compile(r"<Encrypt><!\[CDATA\[(.+?)\]\]></Encrypt>")
_SIGNATURE = re.compile(r"<MsgSignature><!\[CDATA\[(.+?)\]\]></MsgSignature>")
_UNREADABLE = (ElementTree.ParseError, KeyError, ValueError, InvalidSignatureException, InvalidAppIdException)


class Void(Exception):
    """The run cannot be used; says which server gave what."""


@dataclass(frozen=True, slots=True)
class Request:
    """One push, ready to be written to a socket; `who` is the openid that the answer must be for."""

    who: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer says, to whom, at which second."""

    who: str
    text: str
    at: int


class Maker:
    """Knows the account's secrets and never gives out one message id twice."""

    def __init__(self, account: Account, people: Sequence[str]) -> None:
        self._account = account
        self._crypto = WeChatCrypto(account.token, account.aes_key, account.app_id)
        self._ids = itertools.count(int(time.time()) << 20)  # 64-bit, as WeChat's
        self._people = itertools.cycle(people)

    def requests(self, port: int, words: Iterable[str]) -> list[Request]:
        """A fresh push for the server at `port` for each of the `words`, one person after the other."""
        return [self.request(port, next(self._people), said) for said in words]

    def request(self, port: int, who: str, said: str = SAID, *, forged: str = "") -> Request:
        """One push of `who`; `forged` names the one signature that is wrong: "url" or "envelope"."""
        at = str(int(time.time()))
        nonce = str(secrets.randbelow(10**10))
        message = (
            f"<xml><ToUserName><![CDATA[{self._account.gh}]]></ToUserName>"
            f"<FromUserName><![CDATA[{who}]]></FromUserName><CreateTime>{at}</CreateTime>"
            f"<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{said}]]></Content>"
            f"<MsgId>{next(self._ids)}</MsgId></xml>"
        )
        made = self._crypto.encrypt_message(message, nonce, at)
        encrypted, envelope = _ENCRYPTED.search(made), _SIGNATURE.search(made)
        assert encrypted is not None
        assert envelope is not None
        signatures = {"url": _signature(self._account.token, at, nonce), "envelope": envelope[1]}
        if forged:
            signatures[forged] = "0" * 40
        query = {
            "signature": signatures["url"],
            "timestamp": at,
            "nonce": nonce,
            "openid": who,
            "encrypt_type": "aes",
            "msg_signature": signatures["envelope"],
        }
        body = (
            f"<xml><ToUserName><![CDATA[{self._account.gh}]]></ToUserName>"
            f"<Encrypt><![CDATA[{encrypted[1]}]]></Encrypt></xml>"
        ).encode()
        head = (
            f"POST {PATH}?{urlencode(query)} HTTP/1.1\r\nHost: {HOST}:{port}\r\nUser-Agent: Mozilla/4.0\r\n"
            f"Accept: */*\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return Request(who, head.encode() + body)

    def read(self, body: bytes) -> Said:
        """What an encrypted answer says; ValueError when it is none (empty, `success`, forged, not a text)."""
        try:
            sealed = {child.tag: child.text or "" for child in ElementTree.fromstring(body)}
            opened = self._crypto.decrypt_message(body, sealed["MsgSignature"], sealed["TimeStamp"], sealed["Nonce"])
            said = {child.tag: child.text or "" for child in ElementTree.fromstring(opened)}
            return Said(said["ToUserName"], said["Content"], int(said["CreateTime"]))
        except _UNREADABLE as broken:
            raise ValueError(f"{type(broken).__name__} on {body[:80]!r}") from None


def _signature(*parts: str) -> str:
    signer = WeChatSigner()
    signer.add_data(*parts)
    return str(signer.signature)


def judge(
    name: str,
    maker: Maker,
    sent: Iterable[Request],
    answers: Iterable[tuple[int, bytes]],
    known: Callable[[str], bool],
    began: int,
) -> Iterator[str]:
    """What is wrong with the answers of a round, one sentence a fault.

    Each must be a 200, open, be for somebody who asked and has not been answered yet, be of these minutes (the first
    was asked at `began`), and be `known`: anything else is a refusal by a limit, or somebody else's answer.
    """
    waiting = Counter(request.who for request in sent)
    for status, body in answers:
        if status != 200:
            yield f"{name} answered {status}"
            continue
        try:
            said = maker.read(body)
        except ValueError as broken:
            yield f"{name} gave no answer: {broken}"
            continue
        if not known(said.text):
            yield f"{name} said something else: {said.text[:60]!r}"
        if not began - 120 <= said.at <= time.time() + 120:
            yield f"{name} gave an answer of another time ({said.at - began} s after the first request)"
        waiting[said.who] -= 1
        if waiting[said.who] < 0:
            yield f"{name} answered somebody who had not asked: {said.who}"
