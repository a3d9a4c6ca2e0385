"""WeChat's writing: signatures, the encrypted envelope, the project's one XML parser, the reply writer."""

from __future__ import annotations

import binascii
import hmac
import os
from collections.abc import Sequence
from hashlib import sha1
from typing import Any, NoReturn
from xml.parsers.expat import ExpatError, ParserCreate

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from bot.door import Refused, clean, cut
from bot.face import Answer

TEXT = 2048
"""Longest text of a reply, in bytes of UTF-8 (long-standing practice; the doc names no figure)."""

TITLE, SUMMARY = 64, 512
"""What an article shows of its title and its text, in characters; more is dropped."""

_DEPTH = 8  # publishing reports its articles five deep
_TAGS = 512


class Malformed(Exception):
    """Not XML as WeChat writes it; `forbidden` when it holds what only an attacker writes (DTD, PI)."""

    def __init__(self, words: str, *, forbidden: bool = False) -> None:
        super().__init__(words)
        self.forbidden = forbidden


def _forbid(*_: object) -> NoReturn:
    raise Malformed("a DTD, an entity or a processing instruction", forbidden=True)


def parse(xml: bytes) -> dict[str, Any]:
    """The children of the root `<xml>`: text as str ("" when empty), elements as dict, repeated ones as list.

    A name of the root that comes twice is refused unless it is a list of elements: a second FromUserName must
    neither win nor lose. Attributes mean nothing here. Raises Malformed, and nothing else.
    """
    # The children of the open element (None while it has none), below them those of its ancestors.
    children: dict[str, Any] | None = None
    above: list[dict[str, Any] | None] = []
    text = ""
    tags = 0

    def start(_name: str, _attributes: object) -> None:
        nonlocal children, text, tags
        tags += 1
        if tags > _TAGS or len(above) >= _DEPTH:
            raise Malformed("too many elements, or too deep")
        above.append(children)
        children = None
        text = ""

    def end(name: str) -> None:
        nonlocal children, text
        value = text if children is None else children
        text = ""
        children = above.pop()
        if children is None:
            children = {name: value}
        elif name not in children:
            children[name] = value
        else:
            first = children[name]
            if len(above) == 1 and not (isinstance(first, dict | list) and isinstance(value, dict)):
                raise Malformed("an element comes twice")
            if isinstance(first, list):
                first.append(value)
            else:
                children[name] = [first, value]

    def words(data: str) -> None:
        nonlocal text
        text += data

    if xml[:1] in (b"\xff", b"\xfe"):
        raise Malformed("not UTF-8")  # expat would follow a byte order mark
    parser = ParserCreate("utf-8")  # whatever the declaration says
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = words
    parser.StartDoctypeDeclHandler = _forbid
    parser.ProcessingInstructionHandler = _forbid
    try:
        parser.Parse(xml, True)
    except ExpatError as broken:
        raise Malformed(str(broken)) from None
    root = children.get("xml") if children else None
    if not isinstance(root, dict):
        raise Malformed("the root is not <xml>, or empty")
    return root


def sign(*parts: str) -> str:
    """SHA-1 in lower-case hex over the parts, sorted and joined (doc: message encryption)."""
    return sha1("".join(sorted(parts)).encode("utf-8", "surrogatepass")).hexdigest()


def same(ours: str, theirs: str) -> bool:
    """Are two signatures equal? In constant time, and for any `theirs` at all."""
    return hmac.compare_digest(ours.encode(), theirs.encode("utf-8", "surrogatepass"))


class Codec:
    """Opens what comes to one account and seals what goes out.

    `keys` are EncodingAESKeys (43 characters each), the one in use first; a previous one may follow, because
    pushes may still come with it for a while after a change. Replies always take the first.

    The AES contexts are made once and never finished: making one costs several times what it then does. Each
    message so begins with the last block of the one before in place of the IV, and that touches its first block
    only, which is the 16 random bytes: random xor anything is random, and nobody reads them.
    """

    def __init__(self, token: str, app_id: str, keys: Sequence[str]) -> None:
        self._token = token
        self._app_id = app_id.encode()
        ciphers = [_cipher(key) for key in keys if key]
        self._opening = [cipher.decryptor() for cipher in ciphers]
        self._sealing = ciphers[0].encryptor() if ciphers else None

    @property
    def can_seal(self) -> bool:
        """Is there a key at all? (Test accounts have none.)"""
        return self._sealing is not None

    def signed(self, signature: str, *parts: str) -> bool:
        """Is `signature` the one over our token and `parts`?"""
        return same(sign(self._token, *parts), signature)

    def encrypt(self, xml: bytes) -> str:
        """base64 of AES-256-CBC over 16 random bytes, the length, `xml`, the AppID, padded to 32 bytes."""
        if self._sealing is None:
            raise RuntimeError("there is no EncodingAESKey to seal with")
        plain = b"".join((os.urandom(16), len(xml).to_bytes(4, "big"), xml, self._app_id))
        fill = 32 - len(plain) % 32
        sealed = self._sealing.update(plain + bytes((fill,)) * fill)
        return binascii.b2a_base64(sealed, newline=False).decode("ascii")

    def decrypt(self, sealed: str) -> bytes:
        """The XML inside, once the signature is checked; raises Refused for padding, length or AppID."""
        try:
            raw = binascii.a2b_base64(sealed)
        except ValueError:
            raise Refused("envelope") from None
        if not raw or len(raw) % 16:
            raise Refused("envelope")
        for opening in self._opening:
            plain = opening.update(raw)
            fill = plain[-1]
            if not 1 <= fill <= 32 or fill > len(plain) - 20 or plain[-fill:] != bytes((fill,)) * fill:
                continue
            end = 20 + int.from_bytes(plain[16:20], "big")
            # The AppID is all that tells a message for another account from one for ours.
            if hmac.compare_digest(plain[end : len(plain) - fill], self._app_id):
                return plain[20:end]
        raise Refused("envelope")

    def seal(self, reply: bytes, at: int) -> bytes:
        """The envelope of a reply, at `at` seconds."""
        sealed = self.encrypt(reply)
        nonce = str(int.from_bytes(os.urandom(4), "big"))
        signature = sign(self._token, str(at), nonce, sealed)
        return (
            f"<xml><Encrypt><![CDATA[{sealed}]]></Encrypt>"
            f"<MsgSignature><![CDATA[{signature}]]></MsgSignature>"
            f"<TimeStamp>{at}</TimeStamp><Nonce><![CDATA[{nonce}]]></Nonce></xml>"
        ).encode("ascii")


def _cipher(key: str) -> Cipher[CBC]:
    raw = binascii.a2b_base64(key + "=")
    if len(key) != 43 or len(raw) != 32:
        raise ValueError("an EncodingAESKey has 43 characters of base64")
    return Cipher(AES(raw), CBC(raw[:16]))


def _cdata(text: str) -> str:
    return _closed(clean(text))


def _closed(text: str) -> str:
    return text.replace("]]>", "]]]]><![CDATA[>") if "]]>" in text else text


def reply(answer: Answer, to: str, account: str, at: int) -> bytes:
    """The passive reply (doc: passive reply, service account) that shows `answer`; b"" when it says nothing.

    `to` is the follower's openid, `account` our gh_ id, `at` seconds. One push has one reply: a picture goes
    before an article, an article before text. Text beyond TEXT bytes is cut.
    """
    if answer.media_id:
        said = (
            "<MsgType><![CDATA[image]]></MsgType>"
            f"<Image><MediaId><![CDATA[{_cdata(answer.media_id)}]]></MediaId></Image>"
        )
    elif answer.article is not None:
        article = answer.article
        said = (
            "<MsgType><![CDATA[news]]></MsgType><ArticleCount>1</ArticleCount><Articles><item>"
            f"<Title><![CDATA[{_cdata(article.title[:TITLE])}]]></Title>"
            f"<Description><![CDATA[{_cdata(article.text[:SUMMARY])}]]></Description>"
            f"<PicUrl><![CDATA[{_cdata(article.picture)}]]></PicUrl>"
            f"<Url><![CDATA[{_cdata(article.url)}]]></Url></item></Articles>"
        )
    else:
        text = cut(clean(answer.text), TEXT)
        if not text:
            return b""
        said = f"<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{_closed(text)}]]></Content>"
    return (
        f"<xml><ToUserName><![CDATA[{_cdata(to)}]]></ToUserName>"
        f"<FromUserName><![CDATA[{_cdata(account)}]]></FromUserName>"
        f"<CreateTime>{at}</CreateTime>{said}</xml>"
    ).encode()
