"""Weibo's writing: the signature of a push, strict JSON, and the passive reply with its JSON inside JSON."""

from __future__ import annotations

import json
from typing import Any, NoReturn
from urllib.parse import quote

from bot.door import Unreadable, clean
from bot.face import Answer

TEXT = 299
"""Longest text, in characters: "less than 300" (doc: passive response, fans service)."""

TITLE, SUMMARY = 64, 140  # what an article shows, in characters; more is dropped

_DEPTH = 8


def parse(body: bytes) -> dict[str, Any]:
    """A push's JSON object; numbers come as the digits they were written with, for uids are beyond 2**53.

    Raises Unreadable, and nothing else: bad UTF-8, NaN, a name that comes twice, more than 8 levels.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_once,
            parse_constant=_refuse,
            parse_int=str,
            parse_float=str,
        )
    except (ValueError, RecursionError) as broken:
        raise Unreadable(f"not JSON: {type(broken).__name__}") from None
    if not isinstance(value, dict):
        raise Unreadable("not an object")
    if _deeper(value, _DEPTH):
        raise Unreadable("too deep")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Unreadable("a name comes twice")
    return members


def _refuse(_name: str) -> NoReturn:
    raise Unreadable("not a number")


def _deeper(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return False
    return levels == 0 or any(_deeper(inner, levels - 1) for inner in value)


def content(answer: Answer) -> tuple[str, dict[str, Any]] | None:
    """Message type and data that show `answer`, passively or actively sent; None when it says nothing.

    A picture that only a media id names cannot be shown here: its words are said instead.
    """
    if answer.article is not None:
        article = answer.article
        told = {
            "display_name": clean(article.title)[:TITLE],
            "summary": clean(article.text)[:SUMMARY],
            "image": clean(article.picture),
            "url": clean(article.url),
        }
        return "articles", {"articles": [told]}
    text = clean(answer.text)[:TEXT]
    return ("text", {"text": text}) if text else None


def written(data: dict[str, Any]) -> str:
    """`data` as JSON with real characters, for Weibo shows escapes as they are."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def reply(answer: Answer, to: str, account: str) -> bytes:
    """The passive reply (doc: passive response): ids swapped, `data` URL-encoded JSON; b"" for nothing."""
    said = content(answer)
    if said is None:
        return b""
    kind, data = said
    return json.dumps(
        {
            "result": True,
            "sender_id": account,
            "receiver_id": to,
            "type": kind,
            "data": quote(written(data), safe=""),
        }
    ).encode()
