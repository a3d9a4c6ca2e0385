"""What a WeChat push means: parsed XML becomes wechatpy's typed message or event, and that becomes Told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha1
from typing import Any

from wechatpy.events import EVENT_TYPES, BaseEvent, register_event
from wechatpy.fields import BaseField
from wechatpy.messages import MESSAGE_TYPES

from bot.door import WORDS, Unreadable
from handlers.routing import Told

SCENE = "qrscene_"  # before the scene of a follow by QR code, and nowhere else
UNSUPPORTED = "【收到不支持的消息类型，暂无法显示】"  # what a client sends for a sticker

Parsed = dict[str, Any]
Fields = dict[str, Any]


# wechatpy 1.8.18 knows the three subscription events only as "unknown" (doc: subscription notifications).


@register_event("subscribe_msg_popup_event")
class SubscribeMsgPopupEvent(BaseEvent):  # type: ignore[misc]
    """Accepted or refused in a page or an article: one accept is one credit for one message."""

    event = "subscribe_msg_popup_event"
    wrapped = BaseField("SubscribeMsgPopupEvent", {})


@register_event("subscribe_msg_change_event")
class SubscribeMsgChangeEvent(BaseEvent):  # type: ignore[misc]
    """Switched off in the follower's settings."""

    event = "subscribe_msg_change_event"
    wrapped = BaseField("SubscribeMsgChangeEvent", {})


@register_event("subscribe_msg_sent_event")
class SubscribeMsgSentEvent(BaseEvent):  # type: ignore[misc]
    """What became of a notification that was sent."""

    event = "subscribe_msg_sent_event"
    wrapped = BaseField("SubscribeMsgSentEvent", {})


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""


def _dict(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _need(parsed: Parsed, name: str) -> str:
    value = parsed.get(name)
    if not isinstance(value, str) or not value:
        raise Unreadable(f"no {name}")
    return value


def moment(seconds: str) -> datetime | None:
    """Unix seconds as an aware UTC moment; None for what is none, or lies beyond the year 2286."""
    if len(seconds) > 10 or not (seconds.isascii() and seconds.isdigit()):
        return None
    return datetime.fromtimestamp(int(seconds), UTC)


# Messages. What is typed is read through wechatpy's classes; `parsed` gives what they do not know.


def _text(typed: Any, parsed: Parsed) -> Fields:
    words = _str(typed.content)[:WORDS]
    if words == UNSUPPORTED:
        return {"kind": "other", "data": {"type": "sticker"}}
    # A tap on an item of a menu message comes as its words, with the item's id (doc: customer messages).
    code = _str(parsed.get("bizmsgmenuid"))
    return {"text": words, "code": code, "tapped": True} if code else {"text": words}


def _image(typed: Any, parsed: Parsed) -> Fields:
    return {"kind": "image", "data": {"media_id": typed.media_id, "picture": typed.image}}


def _voice(typed: Any, parsed: Parsed) -> Fields:
    return {
        "kind": "voice",
        "text": _str(typed.recognition)[:WORDS],
        "data": {"media_id": typed.media_id, "format": typed.format},
    }


def _location(typed: Any, parsed: Parsed) -> Fields:
    # Location_X is the latitude (doc: receiving standard messages).
    data = {"lat": typed.location_x, "lon": typed.location_y, "label": typed.label, "scale": typed.scale}
    return {"kind": "location", "data": data}


def _link(typed: Any, parsed: Parsed) -> Fields:
    return {"kind": "link", "data": {"title": typed.title, "words": typed.description, "url": typed.url}}


def _video(typed: Any, parsed: Parsed) -> Fields:
    return {"kind": "video", "data": {"type": typed.type, "media_id": typed.media_id}}


def _mini_program(typed: Any, parsed: Parsed) -> Fields:
    data = {"type": typed.type, "title": typed.title, "app_id": typed.app_id, "page": typed.page_path}
    return {"kind": "other", "data": data}


_MESSAGES: dict[str, Callable[[Any, Parsed], Fields]] = {
    "text": _text,
    "image": _image,
    "voice": _voice,
    "video": _video,
    "shortvideo": _video,
    "location": _location,
    "link": _link,
    "miniprogrampage": _mini_program,
}


# Events.


def _follow(typed: Any, parsed: Parsed) -> Fields:
    # "last_trade_no_…" (followed after paying) is a key too, but no scene.
    return {"kind": "follow", "data": {"from": _str(typed.key)} if typed.key else {}}


def _follow_by_scan(typed: Any, parsed: Parsed) -> Fields:
    return {"kind": "follow", "code": _str(typed.scene_id), "tapped": True, "data": {"ticket": typed.ticket}}


def _unfollow(typed: Any, parsed: Parsed) -> Fields:
    return {"kind": "unfollow"}


def _scan(typed: Any, parsed: Parsed) -> Fields:
    return {"kind": "scan", "code": _str(typed.scene_id), "tapped": True, "data": {"ticket": typed.ticket}}


def _click(typed: Any, parsed: Parsed) -> Fields:
    return {"kind": "click", "code": _str(typed.key), "tapped": True}


def _scan_code(typed: Any, parsed: Parsed) -> Fields:
    info = _dict(typed.scan_code_info)
    data = {"scan_type": info.get("ScanType"), "scan_result": info.get("ScanResult")}
    return {"kind": "click", "code": _str(typed.key), "tapped": True, "data": data}


def _view(typed: Any, parsed: Parsed) -> Fields:
    return {"kind": "view", "data": {"url": parsed.get("EventKey"), "menu_id": parsed.get("MenuId")}}


def _job(*names: str) -> Callable[[Any, Parsed], Fields]:
    """An event that nobody waits to be answered; `names` are the elements worth keeping, as spelt."""

    def read(typed: Any, parsed: Parsed) -> Fields:
        data = {"event": _str(parsed.get("Event")).lower()}
        for name in names:
            # A dot goes into an element: "ScanCodeInfo.ScanType".
            outer, _, inner = name.partition(".")
            value = parsed.get(outer)
            data[inner or outer] = _str(_dict(value).get(inner) if inner else value)
        return {"kind": "job", "data": data}

    return read


def _subscriptions(typed: Any, parsed: Parsed) -> Fields:
    # One entry comes as an element, several as a list.
    listed = _dict(typed.wrapped).get("List")
    items = [item for item in (listed if isinstance(listed, list) else [listed]) if isinstance(item, dict)]
    data = {"event": typed.event, "items": json.dumps(items, ensure_ascii=False)}
    return {"kind": "job", "data": data}


_EVENTS: dict[str, Callable[[Any, Parsed], Fields]] = {
    "subscribe": _follow,
    "subscribe_scan": _follow_by_scan,
    "unsubscribe": _unfollow,
    "scan": _scan,
    "click": _click,
    "scancode_push": _scan_code,
    "scancode_waitmsg": _scan_code,
    "view": _view,
    "view_miniprogram": _view,
    # Sent by itself on entering the chat, then every 5 s: nothing anybody said.
    "location": _job("Latitude", "Longitude", "Precision"),
    # What was photographed or picked follows as a message of its own.
    "pic_sysphoto": _job("EventKey", "SendPicsInfo.Count"),
    "pic_photo_or_album": _job("EventKey", "SendPicsInfo.Count"),
    "pic_weixin": _job("EventKey", "SendPicsInfo.Count"),
    "location_select": _job("EventKey", "SendLocationInfo.Label"),
    "user_info_modified": _job("openid", "appid"),
    "user_authorization_revoke": _job("OpenID", "AppID", "RevokeInfo"),
    "templatesendjobfinish": _job("MsgID", "Status"),
    "masssendjobfinish": _job("MsgID", "Status", "TotalCount", "FilterCount", "SentCount", "ErrorCount"),
    "freepublishjobfinish": _job(
        "PublishEventInfo.publish_id", "PublishEventInfo.publish_status", "PublishEventInfo.article_id"
    ),
    "subscribe_msg_popup_event": _subscriptions,
    "subscribe_msg_change_event": _subscriptions,
    "subscribe_msg_sent_event": _subscriptions,
    "kf_create_session": _job("KfAccount"),
    "kf_close_session": _job("KfAccount", "CloseType"),
    "kf_switch_session": _job("FromKfAccount", "ToKfAccount"),
    "qualification_verify_success": _job("ExpiredTime"),
    "qualification_verify_fail": _job("FailTime", "FailReason"),
    "naming_verify_success": _job("ExpiredTime"),
    "naming_verify_fail": _job("FailTime", "FailReason"),
    "annual_renew": _job("ExpiredTime"),
    "verify_expired": _job("ExpiredTime"),
}


def told(parsed: Parsed, *, signed: bool, count: Callable[[str], None]) -> Told:
    """What the push says; `signed` is False where the body may be anybody's.

    Types we do not know become kind "other", events we do not know kind "job"; `count` hears "unknown" for
    both. Raises Unreadable when sender, receiver or type are missing.
    """
    who = _need(parsed, "FromUserName")
    account = _need(parsed, "ToUserName")
    kind = _need(parsed, "MsgType").lower()
    if len(who) > 64 or len(account) > 64 or not (who.isascii() and account.isascii()):
        raise Unreadable("the sender or the receiver is no id")
    created = _str(parsed.get("CreateTime"))
    if kind == "event":
        key = _event_key(parsed, created)
        fields = _event(parsed, count)
    else:
        key = _str(parsed.get("MsgId"))
        if not key.isascii() or not 0 < len(key) <= 32:
            key = f"{created[:10]}:{_digest(parsed)}"
        if kind in _MESSAGES:
            fields = _MESSAGES[kind](MESSAGE_TYPES[kind](parsed), parsed)
        else:
            count("unknown")
            fields = {"kind": "other", "data": {"type": kind[:64]}}
    data = fields.pop("data", None)
    return Told(
        channel="wechat",
        account=account,
        who=who,
        key=key,
        signed=signed,
        at=moment(created),
        # wechatpy gives None for what is missing; an element where text belongs is dropped.
        data={name: value for name, value in data.items() if isinstance(value, str)} if data else {},
        **fields,
    )


def _event(parsed: Parsed, count: Callable[[str], None]) -> Fields:
    event = _need(parsed, "Event").lower()
    scene = _str(parsed.get("EventKey"))
    if event == "subscribe" and scene.startswith(SCENE):
        event = "subscribe_scan"
        parsed = {**parsed, "EventKey": scene[len(SCENE) :]}
    if event not in _EVENTS:
        count("unknown")
        return _job()(None, {"Event": event[:64]})
    kind = EVENT_TYPES.get(event)
    return _EVENTS[event](kind(parsed) if kind else None, parsed)


def _event_key(parsed: Parsed, created: str) -> str:
    """(CreateTime, Event, EventKey, Ticket or MsgID): events have no MsgId, and two may share a second.

    What stands in elements (the list of a subscription event) belongs to it, or two of a second would be one.
    """
    named = [_str(parsed.get(name)) for name in ("Event", "EventKey", "Ticket", "MsgID")]
    nested = {name: value for name, value in parsed.items() if not isinstance(value, str)}
    return f"{created[:10]}:{named[0][:40]}:{_digest([*named, nested] if nested else named)}"


def _digest(value: object) -> str:
    return sha1(json.dumps(value, sort_keys=True).encode()).hexdigest()


def kinds() -> Iterator[str]:
    """Every message and event this shop understands, as the platform spells them in lower case."""
    yield from _MESSAGES
    yield from _EVENTS
