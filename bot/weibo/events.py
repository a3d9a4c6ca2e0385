"""What a Weibo push means: its JSON becomes Told; so does the XML that an account may have chosen instead."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha1
from typing import Any

from bot.door import WORDS, Unreadable
from bot.wechat import events as wechat
from handlers.routing import Told

MESSAGES = {"text": "text", "position": "location", "voice": "voice", "image": "image", "mention": "other"}
"""Message types (doc: receiving messages) and what they are to the shop."""

EVENTS = {
    "follow": "follow",
    "unfollow": "unfollow",
    "scan": "scan",
    "scan_follow": "follow",
    "click": "click",
    "menu": "click",  # the page names the section, not the value
    "view": "view",
    "mention": "other",
    # To subscribe is to want the account's private messages: not to follow, and nothing to answer.
    "subscribe": "job",
    "unsubscribe": "job",
}
"""Events by subtype (doc: receiving events) and what they are to the shop."""

_SCENE = re.compile(r"(?:[A-Z_]+_)?([0-9]{1,10})")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CREATED = re.compile(
    r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([0-9]{2}) ([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r" ([+-])([0-9]{2})([0-9]{2}) ([0-9]{4})"
)

Fields = dict[str, Any]


# The XML "fully compatible with WeChat's" (doc: push format): its names, and how the JSON calls them.
_XML_MESSAGES = {"location": "position"}
_XML_EVENTS = {"subscribe": "follow", "unsubscribe": "unfollow"}
_XML_DATA = {"Location_X": "latitude", "Location_Y": "longitude", "MediaId": "tovfid", "Ticket": "ticket"}


class ToldInXml(Told):
    """Said in XML, so that it is answered in XML."""


def moment(created_at: str) -> datetime | None:
    """Mon Jul 16 18:09:20 +0800 2012 as an aware UTC moment, whatever the locale; None for what is none."""
    found = _CREATED.fullmatch(created_at)
    if found is None or found[1] not in _MONTHS:
        return None
    east = timedelta(hours=int(found[7]), minutes=int(found[8]))
    month = _MONTHS.index(found[1]) + 1
    day, hour, minute, second, year = (int(found[group]) for group in (2, 3, 4, 5, 9))
    try:
        zone = timezone(east if found[6] == "+" else -east)
        return datetime(year, month, day, hour, minute, second, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def told(push: dict[str, Any], *, count: Callable[[str], None]) -> Told:
    """What the push says; never signed, for the signature covers the query only.

    Types we do not know become kind "other", events kind "job"; `count` hears "unknown" for both. Raises
    Unreadable when sender, receiver or type are missing.
    """
    who, account = _uid(push, "sender_id"), _uid(push, "receiver_id")
    kind = _str(push.get("type")).lower()
    if not kind:
        raise Unreadable("no type")
    words, created, data = _str(push.get("text")), _str(push.get("created_at")), push.get("data")
    known = {name: value for name, value in _dict(data).items() if isinstance(value, str)}
    fields = _event(words, known, count) if kind == "event" else _message(kind, words, known, count)
    # There is no id: second, type and content tell one message from another (doc: receiving messages).
    digest = sha1(json.dumps([words, data], sort_keys=True).encode()).hexdigest()
    return Told(
        channel="weibo",
        account=account,
        who=who,
        key=f"{created[:30]}:{kind[:16]}:{digest}",
        signed=False,
        at=moment(created),
        **fields,
    )


def told_in_xml(parsed: dict[str, Any], *, count: Callable[[str], None]) -> Told:
    """The same of a push in XML (`bot.wechat.codec.parse`)."""
    fields = {name: value for name, value in parsed.items() if isinstance(value, str)}
    kind, event, key = (fields.get(name, "") for name in ("MsgType", "Event", "EventKey"))
    data = {name: fields[said] for said, name in _XML_DATA.items() if fields.get(said)}
    if kind.lower() == "event":
        subtype = _XML_EVENTS.get(event.lower(), event.lower())
        scene = key.removeprefix("qrscene_") if subtype in ("follow", "scan") else ""
        if scene:
            subtype, key = "scan_follow" if subtype == "follow" else "scan", f"QR_SCENE_{scene}"
        data |= {"subtype": subtype, "key": key}
    push = {
        "type": _XML_MESSAGES.get(kind.lower(), kind),
        "sender_id": fields.get("FromUserName"),
        "receiver_id": fields.get("ToUserName"),
        "created_at": fields.get("CreateTime", ""),
        "text": fields.get("Content", ""),
        "data": data | {"id": fields.get("MsgId", "")},
    }
    heard = told(push, count=count)
    same = {field.name: getattr(heard, field.name) for field in dataclasses.fields(heard)}
    return ToldInXml(**same | {"at": wechat.moment(str(push["created_at"]))})


def _message(kind: str, words: str, data: dict[str, str], count: Callable[[str], None]) -> Fields:
    if kind not in MESSAGES:
        count("unknown")
    heard = MESSAGES.get(kind, "other")
    if heard == "text":
        return {"text": words[:WORDS]}
    # Of all others the text is Weibo's own ("sent a picture"), not the follower's.
    if heard == "location":
        data = {"lat": data.get("latitude", ""), "lon": data.get("longitude", "")}
    elif heard == "other":
        data = {**data, "type": kind[:64]}
    else:
        data = {**data, "media_id": data.get("tovfid", "")}
    return {"kind": heard, "data": data}


def _event(words: str, data: dict[str, str], count: Callable[[str], None]) -> Fields:
    event = data.pop("subtype", "").lower()
    if event not in EVENTS:
        count("unknown")
    heard = EVENTS.get(event, "job")
    key = data.get("key", "")
    data["event"] = event[:64]
    if heard == "click":
        return {"kind": heard, "code": key, "tapped": True, "data": data}
    if event in ("scan", "scan_follow"):
        # The key is the kind of QR code and its scene: QR_SCENE_1024.
        if scene := _SCENE.fullmatch(key):
            data["scene_id"] = scene[1]
        return {"kind": heard, "tapped": True, "data": data}
    if heard == "view":
        data["url"] = key
    elif heard == "job":
        data["words"] = words[:WORDS]
    return {"kind": heard, "data": data}


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""


def _dict(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _uid(push: dict[str, Any], name: str) -> str:
    value = push.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 20 or not (value.isascii() and value.isdigit()):
        raise Unreadable(f"no {name}")
    return value
