"""The wire between platforms and shop: pushes written, signed and sealed; replies opened and read."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from itertools import count
from typing import Any, Protocol

from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import WeChatException

from bot.simulator import heard as phone
from bot.simulator.heard import Heard, Malformed

EVENTS = frozenset(
    {
        *("subscribe", "unsubscribe", "SCAN", "LOCATION", "CLICK", "VIEW", "view_miniprogram"),
        *("scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin"),
        *("location_select", "user_info_modified", "user_authorization_revoke"),
        *("TEMPLATESENDJOBFINISH", "MASSSENDJOBFINISH", "FREEPUBLISHJOBFINISH"),
        *("subscribe_msg_popup_event", "subscribe_msg_change_event", "subscribe_msg_sent_event"),
        *("kf_create_session", "kf_close_session", "kf_switch_session"),
    }
)
"""Kinds that `sends` delivers as a WeChat event; any other kind is a message, known or not."""

WEIBO_EVENTS = frozenset({"follow", "unfollow", "subscribe", "unsubscribe", "scan", "scan_follow", "click", "view"})
"""Kinds that Weibo pushes as an event's subtype; any other kind is a message, known or not."""

_SHANGHAI = timezone(timedelta(hours=8))
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Person:
    """Someone with a phone: `who` is the openid (WeChat) or the uid in digits (Weibo)."""

    channel: str
    who: str
    name: str
    role: str = "follower"


class Clock(Protocol):
    """The shop's clock."""

    def now(self) -> datetime: ...
    def timestamp(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Push:
    """A request ready to be signed: the plain body, and what it is for."""

    person: Person
    body: str
    kind: str = ""


def _secret(value: Any) -> str:
    return str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)


class Wire:
    """Writes pushes as the platforms do and reads replies as strictly; `settings` are the shop's."""

    def __init__(self, settings: Any, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self._stamped: dict[tuple[str, ...], int] = {}
        self._msg_id = count((clock.timestamp() << 24) + secrets.randbits(23))  # beyond 2**53, as the platform's are

    def wechat(self, person: Person, kind: str, fields: Mapping[str, Any]) -> Push:
        """Writes the XML of a message or event (doc: receiving messages; events, service account)."""
        event = kind in EVENTS
        identity = (person.who, kind, json.dumps(fields, ensure_ascii=False, default=str, sort_keys=True))
        told: dict[str, Any] = {
            "ToUserName": self.settings.wechat.account,
            "FromUserName": person.who,
            "CreateTime": self._stamp(identity),
            "MsgType": "event" if event else kind,
        }
        told |= {"Event": kind, **fields} if event else {**fields, "MsgId": next(self._msg_id)}
        return Push(person, phone.to_xml(told), kind)

    def weibo(self, person: Person, kind: str, text: str, data: Mapping[str, Any]) -> Push:
        """Writes the JSON of a message or event (doc: message push, fans service)."""
        seconds = self._stamp((person.who, kind, text, json.dumps(data, default=str, sort_keys=True)))
        at = datetime.fromtimestamp(seconds, _SHANGHAI)
        told = {
            "type": "event" if kind in WEIBO_EVENTS else kind,
            "receiver_id": int(self.settings.weibo.account),
            "sender_id": int(person.who),
            "created_at": f"{_DAYS[at.weekday()]} {_MONTHS[at.month - 1]} {at:%d %H:%M:%S %z %Y}",
            "text": text,
            "data": {"subtype": kind, **data} if kind in WEIBO_EVENTS else data,
        }
        return Push(person, json.dumps(told, ensure_ascii=False), kind)

    def _stamp(self, identity: tuple[str, ...]) -> int:
        """Seconds for a new act; never twice the same for the same act, or it would be a repeat."""
        now = self.clock.timestamp()
        if len(self._stamped) > 1000:
            self._stamped = {key: at for key, at in self._stamped.items() if at >= now}
        self._stamped[identity] = max(now, self._stamped.get(identity, 0) + 1)
        return self._stamped[identity]

    def ticket(self) -> str:
        """A ticket as scans carry it; the shop may dedupe by it, never read it."""
        return "gQ" + secrets.token_urlsafe(24)

    def sign(self, push: Push) -> tuple[str, dict[str, str], str]:
        """Gives path, query and body of a signed request; WeChat's is encrypted unless in plain mode."""
        nonce = str(secrets.randbelow(10**9))
        if push.person.channel == "weibo":
            stamp = str(int(self.clock.now().timestamp() * 1000))
            query = self._signed(_secret(self.settings.weibo.app_secret), stamp, nonce)
            return "/weibo", query, push.body
        wechat = self.settings.wechat
        stamp = str(self.clock.timestamp())
        query = self._signed(_secret(wechat.token), stamp, nonce) | {"openid": push.person.who}
        if wechat.plain:
            return "/wechat", query, push.body
        sealed = phone.read_envelope(self._crypto().encrypt_message(push.body, nonce, stamp))
        query |= {"encrypt_type": "aes", "msg_signature": sealed["MsgSignature"]}
        return "/wechat", query, phone.to_xml({"ToUserName": wechat.account, "Encrypt": sealed["Encrypt"]})

    def _signed(self, secret: str, stamp: str, nonce: str) -> dict[str, str]:
        signature = hashlib.sha1("".join(sorted([secret, stamp, nonce])).encode()).hexdigest()
        return {"signature": signature, "timestamp": stamp, "nonce": nonce}

    def _crypto(self) -> WeChatCrypto:
        wechat = self.settings.wechat
        return WeChatCrypto(_secret(wechat.token), _secret(wechat.encoding_aes_key), wechat.app_id)

    def read(self, push: Push, heard: Heard, answer: str) -> Heard:
        """Reads the shop's answer as strictly as the platform: signature, AppID, ids, sizes."""
        if answer in phone.NOTHING:
            return replace(heard, decrypted_reply=answer)
        who = push.person.who
        try:
            if push.person.channel == "weibo":
                told = phone.read_weibo_reply(answer, to=who, account=self.settings.weibo.account)
                plain = json.dumps(told.fields, ensure_ascii=False, indent=1)
            else:
                plain = answer if self.settings.wechat.plain else self._open(answer)
                told = phone.read_wechat_reply(plain, to=push.person.who, account=self.settings.wechat.account)
        except Malformed as fault:
            return replace(heard, decrypted_reply=answer, fault=str(fault))
        return replace(
            heard,
            decrypted_reply=plain,
            text=told.text,
            links=told.links,
            parts=told.parts,
            media_id=told.media_id,
            picture=told.picture,
            article=told.article,
            fields=told.fields,
        )

    def _open(self, answer: str) -> str:
        sealed = phone.read_envelope(answer)
        try:
            return str(
                self._crypto().decrypt_message(answer, sealed["MsgSignature"], sealed["TimeStamp"], sealed["Nonce"])
            )
        except (WeChatException, ValueError, UnicodeDecodeError) as broken:
            raise Malformed(f"the reply does not decrypt: {broken!r}") from broken
