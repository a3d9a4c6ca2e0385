"""Weibo's fans service as a channel: active sends, pictures and QR codes, errors in our words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

import aiohttp

from bot.channel import Media, Reason, Rights, SendFailed
from bot.face import Answer
from bot.outward import ask, picture, redacted
from bot.settings import Weibo as Account
from bot.weibo.codec import content, written

SCENE_SECONDS = 1800
"""Longest life of a temporary QR code (doc: eps/qrcode/create); beyond it stands the permanent one."""

LASTING_SCENES = 100_000
"""Scenes of permanent QR codes are 1 to this (doc: eps/qrcode/create)."""

REASONS: Mapping[int, Reason] = {
    **dict.fromkeys((10001, 10009, 10010, 10011), "later"),  # the system is down, busy, slow
    **dict.fromkeys((10022, 10023, 10024, 20016), "later"),  # too many calls, by address, user or account
    **dict.fromkeys((21301, 21314, 21315, 21316, 21317, 21327, 21332, 10006, 10013), "tokens"),
    **dict.fromkeys((10004, 10005, 10014), "no_right"),
    **dict.fromkeys((10008, 10016, 10017, 10020, 10021, 20005, 20008, 20012, 20013), "bad"),
    **dict.fromkeys((20003, 20103), "gone"),
}
"""What Weibo's code means for us (doc: error codes). The fans service has no table of its own."""

_HOUR = 3600.0
_SHOWN_BY = "mss/msget"
_FID = re.compile(r"[0-9A-Za-z_-]{1,128}")
_RATES = frozenset({10022, 10023, 10024})


class Weibo:
    """The fans service account as a channel; see bot/channel.py. Nothing that comes from it is signed."""

    name = "weibo"
    unit: Literal["bytes", "characters"] = "characters"
    signed = False
    tappable = False

    def __init__(self, account: Account, http: aiohttp.ClientSession, rights: Rights | None = None) -> None:
        self.account = account.account
        self.room = account.room_characters
        self._http, self._rights = http, rights
        self._token = account.access_token.get_secret_value()
        self._messages = str(account.api_base).rstrip("/")
        # Messages live on m.api.weibo.com, QR codes on api.weibo.com; a stand-in has both in one place.
        self._codes = self._messages.replace("//m.api.weibo.com", "//api.weibo.com")
        self._pictures = str(account.upload_base).rstrip("/")

    async def say(self, who: str, answer: Answer, *, key: str) -> None:
        """Send one message (doc: messages/reply): an article, or text. Raises SendFailed.

        A refusal whose number says nothing else means that the 48 hours are over, or that the fan has left.
        Weibo knows no key, so a message whose fate is "unknown" may be there.
        """
        said = content(answer)
        if said is None:
            return
        kind, data = said
        form = {
            "access_token": self._token,
            "type": kind,
            "data": written(data),  # the form encodes it, once
            "receiver_id": who,
            "save_sender_box": "1",
        }
        told = await self._call("messages/reply.json", form, repeatable=False)
        if told.get("result") is False:
            raise SendFailed("closed", "messages/reply.json: result is false")

    async def upload(self, jpeg: bytes, name: str) -> Media:
        """Weibo shows pictures by URL only: always SendFailed("no_right")."""
        raise SendFailed("no_right", "pictures are shown by URL")

    async def fetch(self, media_id: str) -> bytes:
        """The picture behind a message's `tovfid`, at most SHOWN bytes (doc: receiving messages)."""
        if not _FID.fullmatch(media_id):
            raise SendFailed("bad", "the id of the picture is none")
        if self._rights is not None:
            self._rights.check(_SHOWN_BY)
        params = {"access_token": self._token, "fid": media_id}
        raw = await picture(self._http, f"{self._pictures}/2/{_SHOWN_BY}", params)
        if raw.lstrip()[:1] != b"{":
            return raw
        self._told(raw, _SHOWN_BY, "later", "bad")
        raise SendFailed("bad", f"{_SHOWN_BY}: no picture")

    async def scene_url(self, scene: str, seconds: int) -> str:
        """A QR code for the integer `scene`: temporary up to 30 minutes, permanent beyond.

        Gives the URL it encodes; where Weibo names none, the address of its own picture of the code.
        """
        if not (scene.isascii() and scene.isdigit() and len(scene) <= 10 and 0 < int(scene) < 2**32):
            raise SendFailed("bad", "the scene is no 32-bit number")
        wanted: dict[str, Any] = {"action_info": {"scene": {"scene_id": int(scene)}}}
        if seconds <= SCENE_SECONDS:
            wanted |= {"action_name": "QR_SCENE", "expire_seconds": max(60, seconds)}
        elif int(scene) <= LASTING_SCENES:
            wanted |= {"action_name": "QR_LIMIT_SCENE"}
        else:
            raise SendFailed("bad", f"a lasting scene is at most {LASTING_SCENES}")
        said = await self._call("eps/qrcode/create.json", wanted, repeatable=True)
        url, ticket = said.get("url"), said.get("ticket")
        if isinstance(url, str) and 0 < len(url) <= 1024:
            return url
        if isinstance(ticket, str) and 0 < len(ticket) <= 512:
            return f"{self._messages}/2/eps/qrcode/show?ticket={quote(ticket, safe='')}"
        raise SendFailed("later", "eps/qrcode/create.json: no ticket in the answer")

    async def _call(self, endpoint: str, told: dict[str, Any], *, repeatable: bool) -> dict[str, Any]:
        lost: Reason = "later" if repeatable else "unknown"
        if self._rights is not None:
            self._rights.check(endpoint)
        sent: dict[str, Any]
        if "access_token" in told:
            url, sent = f"{self._messages}/2/{endpoint}", {"data": told}
        else:
            url = f"{self._codes}/2/{endpoint}"
            sent = {"params": {"access_token": self._token}, "json": told}
        _, raw = await ask(self._http, "POST", url, repeatable=repeatable, **sent)
        return self._told(raw, endpoint, lost, "bad" if repeatable else "closed")

    def _told(self, raw: bytes, endpoint: str, lost: Reason, otherwise: Reason) -> dict[str, Any]:
        """The object of an answer; raises SendFailed for a refusal, `otherwise` where its number says nothing."""
        try:
            said = json.loads(raw.decode("utf-8", "replace"), strict=False)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise SendFailed(lost, f"{endpoint}: an answer of {len(raw)} bytes that is no object")
        code = _code(said)
        if code:
            words = redacted(str(said.get("error") or said.get("errmsg") or ""), {"token": self._token})
            reason = REASONS.get(code, otherwise)
            wait = _HOUR if code in _RATES else None
            if reason == "no_right" and self._rights is not None:
                self._rights.switch_off(endpoint)
            raise SendFailed(reason, f"{endpoint}: {code} {words}", code=code, retry_after=wait)
        return said


def _code(said: Mapping[str, Any]) -> int:
    """`error_code` or `errcode`, as a number or as its digits; 0 when there is none."""
    for name in ("error_code", "errcode"):
        digits = str(said.get(name, ""))
        if digits.isascii() and digits.isdigit() and len(digits) < 12:
            return int(digits)
    return 0
