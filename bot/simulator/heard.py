"""What a follower's phone makes of the shop's words: text with its links, a picture, an article."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from urllib.parse import unquote

import xmltodict  # type: ignore[import-untyped]
from PIL import Image, UnidentifiedImageError

NOTHING = frozenset({"", "success"})
"""Bodies that say "nothing to show, do not ask again" (doc: passive reply, service account)."""

TEXT_BYTES = 2048
"""Longest text of a WeChat message, in bytes of UTF-8."""

TEXT_CHARACTERS = 300
"""Longest text of a Weibo message, in characters (doc: passive response, fans service)."""

_ANCHOR = re.compile(r"<a\s([^>]*)>(.*?)</a>", re.IGNORECASE | re.DOTALL)
_HREF = re.compile(r"""href\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[A-Za-z0-9\-._~:/?#\[\]@!$&'*+,;=%]+[A-Za-z0-9/=_\-]")
_NUMBERED = re.compile(r"^\s*(\d{1,2})\s*[.、．。)）:：]\s*(.+?)\s*$", re.MULTILINE)
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MSGMENU = "weixin://bizmsgmenu"


class Malformed(ValueError):
    """The platform would not show this; it tells the follower that the account is out of order."""


@dataclass(frozen=True, slots=True)
class Link:
    """Something to tap: it says words (with a code that comes along) or opens an address."""

    label: str
    says: str = ""
    code: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Article:
    """A card with a title, a line of text, a picture's address and where a tap leads."""

    title: str
    text: str = ""
    picture: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one phone shows after one request or one message; `fault` says why the platform refuses it.

    `text` is what the eye reads (a link is its label); `parts` is the same, cut at the links.
    Requests, responses and decrypted bodies are kept as text, whole.
    """

    text: str = ""
    links: tuple[Link, ...] = ()
    picture: bytes | None = None
    article: Article | None = None
    raw_request: str = ""
    raw_response: str = ""
    decrypted_request: str = ""
    decrypted_reply: str = ""
    parts: tuple[str | Link, ...] = ()
    media_id: str = ""
    status: int = 0
    attempts: int = 0
    fault: str = ""
    fields: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def silent(self) -> bool:
        """True when the shop had nothing to say."""
        return not (self.text or self.article or self.media_id or self.picture or self.fault)

    @property
    def choices(self) -> dict[str, str]:
        """Number → words of each numbered line."""
        return dict(_NUMBERED.findall(self.text))

    def link(self, label: str) -> Link:
        """Gives the link whose label is, or else holds, `label`; raises LookupError where there is none."""
        for fits in (lambda own: own == label, lambda own: label in own):
            for link in self.links:
                if fits(link.label):
                    return link
        raise LookupError(f"no link 「{label}」 among {[link.label for link in self.links]}")


def read_text(words: str, *, tappable: bool) -> Heard:
    """Cuts `words` at its links; only WeChat reads `<a>`, both make bare addresses tappable."""
    parts: list[str | Link] = []
    rest = words
    while tappable and (found := _ANCHOR.search(rest)):
        parts += _addresses(rest[: found.start()])
        parts.append(_anchor(found.group(1), found.group(2)))
        rest = rest[found.end() :]
    parts += _addresses(rest)
    text = "".join(part.label if isinstance(part, Link) else part for part in parts)
    return Heard(text=text, links=tuple(p for p in parts if isinstance(p, Link)), parts=tuple(parts))


def _anchor(attributes: str, label: str) -> Link:
    found = _HREF.search(attributes)
    href = (found.group(1) or found.group(2) or "") if found else ""
    if not href.startswith(_MSGMENU):
        return Link(label=label, url=href)
    said = dict(pair.partition("=")[::2] for pair in href.partition("?")[2].replace("&amp;", "&").split("&"))
    return Link(label=label, says=unquote(said.get("msgmenucontent", "")), code=unquote(said.get("msgmenuid", "")))


def _addresses(words: str) -> list[str | Link]:
    parts: list[str | Link] = []
    end = 0
    for found in _ADDRESS.finditer(words):
        if words[end : found.start()]:
            parts.append(words[end : found.start()])
        parts.append(Link(label=found.group(), url=found.group()))
        end = found.end()
    if words[end:]:
        parts.append(words[end:])
    return parts


def to_xml(fields: Mapping[str, object]) -> str:
    """Writes a push as the platform does: strings in CDATA, integers bare, lists repeated, dicts nested."""
    return f"<xml>{_elements(fields)}</xml>"


def _elements(fields: Mapping[str, object]) -> str:
    written = []
    for name, value in fields.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, Mapping):
                inner = _elements(one)
            elif isinstance(one, int):
                inner = str(one)
            else:
                inner = f"<![CDATA[{str(one).replace(']]>', ']]]]><![CDATA[>')}]]>"
            written.append(f"<{name}>{inner}</{name}>")
    return "".join(written)


def read_envelope(body: str) -> dict[str, str]:
    """Gives the four elements of an encrypted reply; raises Malformed when one is missing."""
    envelope = _parse(body)
    if missing := {"Encrypt", "MsgSignature", "TimeStamp", "Nonce"} - envelope.keys():
        raise Malformed(f"encrypted reply lacks {', '.join(sorted(missing))}")
    return {name: str(value) for name, value in envelope.items()}


def _parse(body: str) -> dict[str, object]:
    try:
        root = xmltodict.parse(body)
    except Exception as broken:  # expat's errors have no common public base
        raise Malformed(f"not XML: {broken}") from broken
    inner = root.get("xml")
    if not isinstance(inner, dict):
        raise Malformed("the root element is not <xml>")
    return inner


def read_wechat_reply(xml: str, *, to: str, account: str) -> Heard:
    """Reads a passive reply as strictly as the platform (doc: passive reply); raises Malformed."""
    if _ILLEGAL.search(xml):
        raise Malformed("a character that XML does not allow")
    reply = _parse(xml)
    if reply.get("ToUserName") != to:
        raise Malformed(f"ToUserName is {reply.get('ToUserName')!r}, not the follower")
    if reply.get("FromUserName") != account:
        raise Malformed(f"FromUserName is {reply.get('FromUserName')!r}, not the account")
    if not re.fullmatch(r"[0-9]+", str(reply.get("CreateTime", ""))):
        raise Malformed("CreateTime is not a whole number")
    match reply.get("MsgType"):
        case "text":
            heard = _wechat_text(str(reply.get("Content") or ""))
        case "image":
            heard = Heard(media_id=_inner(reply, "Image", "MediaId"))
        case "news":
            articles = reply.get("Articles")
            item = articles.get("item") if isinstance(articles, dict) else None
            if reply.get("ArticleCount") != "1" or not isinstance(item, dict):
                raise Malformed("a passive reply holds exactly one article")
            told = {name: str(item.get(name) or "") for name in ("Title", "Description", "PicUrl", "Url")}
            heard = Heard(article=Article(told["Title"], told["Description"], told["PicUrl"], told["Url"]))
        case "transfer_customer_service":
            heard = Heard()
        case "voice" | "video" | "music" as kind:
            heard = Heard(text=f"[{kind}]", parts=(f"[{kind}]",))
        case other:
            raise Malformed(f"MsgType {other!r} is no reply")
    return replace(heard, fields=reply)


def _inner(reply: Mapping[str, object], outer: str, name: str) -> str:
    element = reply.get(outer)
    value = element.get(name) if isinstance(element, dict) else None
    if not isinstance(value, str) or not value:
        raise Malformed(f"{outer}/{name} is missing")
    return value


def _wechat_text(words: str) -> Heard:
    if not words:
        raise Malformed("Content is empty")
    if (size := len(words.encode())) > TEXT_BYTES:
        raise Malformed(f"Content has {size} bytes, {TEXT_BYTES} are allowed")
    return read_text(words, tappable=True)


def read_weibo_reply(body: str, *, to: str, account: str) -> Heard:
    """Reads a passive response (doc: passive response, fans service); raises Malformed."""
    try:
        reply = json.loads(body)
        data = json.loads(unquote(reply["data"], errors="strict"))
    except (ValueError, KeyError, TypeError) as broken:
        raise Malformed(f"not a passive response: {broken}") from broken
    if reply.get("result") is not True:
        raise Malformed("result is not true")
    if str(reply.get("receiver_id")) != to or str(reply.get("sender_id")) != account:
        raise Malformed("sender_id and receiver_id are not the push's, swapped")
    return replace(read_weibo_message(str(reply.get("type")), data), fields={**reply, "data": data})


def read_weibo_message(kind: str, data: Mapping[str, object]) -> Heard:
    """Reads the decoded `data` of a passive response or an active send; raises Malformed."""
    if kind == "text":
        words = str(data.get("text") or "")
        if not words:
            raise Malformed("text is empty")
        if len(words) > TEXT_CHARACTERS:
            raise Malformed(f"text has {len(words)} characters, {TEXT_CHARACTERS} are allowed")
        return read_text(words, tappable=False)
    if kind == "articles":
        articles = data.get("articles")
        if not isinstance(articles, list) or not 1 <= len(articles) <= 8 or not isinstance(articles[0], dict):
            raise Malformed("articles holds one to eight articles")
        told = {name: str(articles[0].get(name) or "") for name in ("display_name", "summary", "image", "url")}
        return Heard(article=Article(told["display_name"], told["summary"], told["image"], told["url"]))
    raise Malformed(f"type {kind!r} is no message")


def read_wechat_message(body: Mapping[str, object]) -> Heard:
    """Reads the body of a customer message (doc: customer service messages); raises Malformed."""
    kind = body.get("msgtype")
    content = body.get(str(kind))
    told: dict[str, object] = content if isinstance(content, dict) else {}
    match kind:
        case "text":
            return _wechat_text(str(told.get("content") or ""))
        case "image":
            return Heard(media_id=str(told.get("media_id") or ""))
        case "news":
            articles = told.get("articles")
            if not isinstance(articles, list) or len(articles) != 1 or not isinstance(articles[0], dict):
                raise Malformed("a customer message holds exactly one article")
            named = {n: str(articles[0].get(n) or "") for n in ("title", "description", "picurl", "url")}
            return Heard(article=Article(*named.values()))
        case "msgmenu":
            items = told.get("list")
            links = [
                Link(label=str(i.get("content")), says=str(i.get("content")), code=str(i.get("id")))
                for i in (items if isinstance(items, list) else [])
            ]
            parts: list[str | Link] = [str(told.get("head_content") or "")]
            for link in links:
                parts += ["\n", link]
            parts += ["\n", str(told.get("tail_content") or "")]
            text = "".join(p.label if isinstance(p, Link) else p for p in parts)
            return Heard(text=text.strip(), links=tuple(links), parts=tuple(parts))
        case other:
            return Heard(text=f"[{other}]", parts=(f"[{other}]",))


def read_qr(picture: bytes) -> str:
    """Reads the QR on a picture (JPEG or PNG bytes) as text; raises LookupError when there is none."""
    import zxingcpp  # a shop that never simulates need not have it

    try:
        with Image.open(BytesIO(picture)) as image:
            found = zxingcpp.read_barcode(image.convert("RGB"))
    except UnidentifiedImageError as broken:
        raise LookupError("this is no picture") from broken
    if found is None or not found.text:
        raise LookupError("no code can be read on this picture")
    return str(found.text)
