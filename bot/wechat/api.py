"""WeChat as a channel: wechatpy's API classes over aiohttp, one access token for all, errors in our words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import aiohttp
from wechatpy import WeChatClient

from bot.channel import Media, Reason, Rights, SendFailed
from bot.door import clean, cut
from bot.face import Answer
from bot.outward import ask, picture, redacted
from bot.settings import WeChat as Account
from bot.wechat.codec import SUMMARY, TEXT, TITLE
from bot.wechat.tokens import Token, Tokens, TokensHere

KEPT = timedelta(days=3) - timedelta(hours=1)
"""How long an uploaded picture is relied on: WeChat forgets it after 3 days (doc: temporary media)."""

PICTURE = 1024 * 1024
"""Longest picture uploaded, in bytes; the doc has named limits from 128 KB to 10 MB, this was always safe."""

SCENE_SECONDS = 30 * 24 * 3600
"""Longest life of a temporary QR code with a parameter (doc: account QR code)."""

EARLY = 300  # seconds before its end at which a token is renewed; old and new overlap by as much
_FORCED = timedelta(minutes=10)  # between two forced renewals: 20 a day are allowed (doc: stable token)

TOKEN_DEAD = frozenset({40001, 40014, 42001})

REASONS: Mapping[int, Reason] = {
    -1: "later",
    -1000: "later",
    268487001: "later",
    268487002: "later",
    45009: "later",  # this day's calls of this API are used up
    45011: "later",  # this minute's
    45015: "closed",
    45047: "used_up",
    43004: "gone",
    43019: "gone",  # in our own blacklist
    46004: "gone",
    50005: "gone",
    43101: "muted",
    48002: "muted",
    50001: "muted",
    50002: "muted",
    48001: "no_right",
    48004: "no_right",
    48008: "no_right",
    50004: "no_right",
    # Secret, token, or our address is not in the white list: nothing works until the owner acts.
    **dict.fromkeys((40002, 40013, 40125, 41001, 41002, 41004, 40243, 40164, 61004, 45035), "tokens"),
    **dict.fromkeys((89503, 89506, 89507), "tokens"),
    **dict.fromkeys(TOKEN_DEAD, "tokens"),
}
"""What the platform's code means for us (doc: global return codes); every other code is "bad": our data."""

_BEIJING = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True, slots=True)
class Right:
    """One thing an account may do, may not (`may` False), or that could not be asked (None)."""

    name: str
    may: bool | None
    code: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who sits at a browser inside WeChat; on a `snapshot` page the openid is not real (doc: web page login)."""

    openid: str
    snapshot: bool = False


class Client(WeChatClient):  # type: ignore[misc]
    """wechatpy's client with its one way out made async, so that its API classes can be awaited.

    What touches its results or asks for the token inside wechatpy does not work (`menu.get`,
    `jsapi.get_jsapi_ticket`, `media.get_url`, `material.add`, the iterators). Raises SendFailed only.
    """

    def __init__(
        self,
        account: Account,
        http: aiohttp.ClientSession,
        tokens: Tokens,
        now: Callable[[], datetime],
        rights: Rights,
    ) -> None:
        # Not super().__init__(): it opens a session of requests.
        self.appid = account.app_id
        self.api_base = str(account.api_base).rstrip("/")
        self._secret = account.app_secret.get_secret_value()
        self._http, self._tokens, self._now, self._rights = http, tokens, now, rights
        self._renewing: asyncio.Future[str] | None = None
        self._forced: datetime | None = None
        self.renewals = 0

    @property
    def access_token(self) -> str:
        # wechatpy evaluates every property before __init__ and forgives this error only.
        raise AttributeError("await token()")

    async def token(self, dead: str = "") -> str:
        """The access token, renewed when it is old or is `dead`; any number of callers make one renewal."""
        while True:
            kept = await self._tokens.read()
            if kept is not None and kept.value != dead and kept.good_until > self._now():
                return kept.value
            awaited = self._renewing
            if awaited is None:
                break
            try:
                return await asyncio.shield(awaited)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not awaited.cancelled() or (task is not None and task.cancelling()):
                    raise  # it is we who are cancelled, not the one who renews
        renewing: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._renewing = renewing
        try:
            value = await self._renew(dead)
        except Exception as failed:
            renewing.set_exception(failed)
            renewing.exception()  # nobody has to wait for it
            raise
        else:
            renewing.set_result(value)
            return value
        finally:
            self._renewing = None
            renewing.cancel()  # only where this caller was cancelled: the waiters begin anew

    async def _renew(self, dead: str) -> str:
        async with self._tokens.alone():
            kept = await self._tokens.read()
            if kept is not None and kept.value != dead and kept.good_until > self._now():
                return kept.value  # another process was first
            token = await self._fetch(force=False)
            # The stable token is the same until its end. When it is refused before, only force makes another.
            if token.value == dead and (self._forced is None or self._now() - self._forced > _FORCED):
                self._forced = self._now()
                token = await self._fetch(force=True)
            await self._tokens.keep(token)
            return token.value

    async def _fetch(self, *, force: bool) -> Token:
        self.renewals += 1
        told = {"grant_type": "client_credential", "appid": self.appid, "secret": self._secret}
        _, raw = await ask(
            self._http,
            "POST",
            f"{self.api_base}/cgi-bin/stable_token",
            repeatable=True,
            json={**told, "force_refresh": force},
        )
        said = _json(raw)
        self._raise_for(said, "stable_token", "")
        value, seconds = said.get("access_token"), said.get("expires_in")
        if not isinstance(value, str) or not value or type(seconds) is not int or seconds <= 0:
            raise SendFailed("later", "stable_token: no token in the answer")
        life = seconds - EARLY if seconds > 2 * EARLY else seconds / 2
        return Token(value, self._now() + timedelta(seconds=life))

    async def visitor(self, code: str) -> Visitor:
        """Who came back from the authorize page with this code; raises SendFailed: 40029 unknown, 40163 used."""
        told = {"appid": self.appid, "secret": self._secret, "code": code}
        _, raw = await ask(
            self._http,
            "GET",
            f"{self.api_base}/sns/oauth2/access_token",
            repeatable=True,
            params={**told, "grant_type": "authorization_code"},
        )
        said = _json(raw)
        self._raise_for(said, "oauth2", "")
        return Visitor(_word(said, "openid"), bool(said.get("is_snapshotuser")))

    async def fetch(self, media_id: str) -> bytes:
        """What lies behind a media id, at most SHOWN bytes (doc: downloading temporary media)."""
        token = await self.token()
        for again in (True, False):
            params = {"access_token": token, "media_id": media_id}
            raw = await picture(self._http, f"{self.api_base}/cgi-bin/media/get", params)
            if not raw.startswith(b"{"):
                return raw
            said = _json(raw)
            if again and _code(said) in TOKEN_DEAD:
                token = await self.token(dead=token)
                continue
            self._raise_for(said, "media/get", token)
            raise SendFailed("bad", "media/get: no picture")
        raise AssertionError("unreachable")

    async def _request(self, method: str, url_or_endpoint: str, **given: Any) -> Any:
        endpoint = url_or_endpoint
        url = f"{self.api_base}/cgi-bin/{endpoint}"
        given.pop("timeout", None)
        shape = given.pop("result_processor", None)
        params = {name: str(value) for name, value in (given.pop("params", None) or {}).items()}
        data, files = given.pop("data", None), given.pop("files", None)
        if given or "://" in endpoint:
            raise TypeError(f"{endpoint.partition('?')[0]} does not go through this client")
        # What makes a message is not repeated when its fate is unknown.
        repeatable = endpoint != "message/custom/send"
        self._rights.check(endpoint)
        token = await self.token()
        for again in (True, False):
            _, raw = await ask(
                self._http,
                method.upper(),
                url,
                repeatable=repeatable,
                params={**params, "access_token": token},
                **_body(data, files),
            )
            said = _json(raw, "later" if repeatable else "unknown")
            if again and _code(said) in TOKEN_DEAD:
                token = await self.token(dead=token)
                continue
            self._raise_for(said, endpoint, token)
            return shape(said) if shape else said
        raise AssertionError("unreachable")

    def _raise_for(self, said: Mapping[str, Any], endpoint: str, token: str) -> None:
        code = _code(said)
        if code == 0:
            return
        words = redacted(str(said.get("errmsg", "")), {"token": token, "secret": self._secret})
        wait = None
        if code == 45011:
            wait = 60.0
        elif code == 45009:
            here = self._now().astimezone(_BEIJING)
            midnight = (here + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
            wait = (midnight - here).total_seconds()
        reason = REASONS.get(code, "bad")
        if reason == "no_right":
            self._rights.switch_off(endpoint)
        raise SendFailed(reason, f"{endpoint}: {code} {words}", code=code, retry_after=wait)


def _json(raw: bytes, otherwise: Reason = "later") -> dict[str, Any]:
    """The object in an answer, whatever its content type says; control characters in it are WeChat's own."""
    try:
        said = json.loads(raw.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise SendFailed(otherwise, f"an answer of {len(raw)} bytes that is no object")
    return said


def _code(said: Mapping[str, Any]) -> int:
    code = said.get("errcode", 0)
    if isinstance(code, str):  # in a few old APIs
        digits = code.removeprefix("-")
        code = int(code) if digits.isascii() and digits.isdigit() and len(digits) < 12 else -1
    return code if type(code) is int else -1


def _body(data: Any, files: Mapping[str, tuple[str, bytes, str]] | None) -> dict[str, Any]:
    if files:
        form = aiohttp.FormData()
        for field, (name, content, kind) in files.items():
            form.add_field(field, content, filename=name, content_type=kind)
        return {"data": form}
    if data is None:
        return {}
    # Real characters: an escape would be shown as it is, or be refused with 40033.
    raw = json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")
    return {"data": raw, "headers": {"Content-Type": "application/json; charset=utf-8"}}


class WeChat:
    """The service account as a channel; see bot/channel.py."""

    name = "wechat"
    unit: Literal["bytes", "characters"] = "bytes"

    def __init__(
        self,
        account: Account,
        http: aiohttp.ClientSession,
        now: Callable[[], datetime],
        tokens: Tokens | None = None,
        rights: Rights | None = None,
    ) -> None:
        self.account = account.account
        self.signed = not account.plain or account.trust_plain
        self.tappable = account.tappable
        self.room = account.room_bytes
        self._now = now
        self.client = Client(account, http, tokens or TokensHere(), now, rights or Rights(now))

    async def say(self, who: str, answer: Answer, *, key: str) -> None:
        """Send one customer message: a picture before an article, an article before text, as in a reply.

        WeChat knows no key for these, so a message whose fate is "unknown" may be there. Raises SendFailed;
        40007 (code) means that the picture is forgotten and has to be uploaded again.
        """
        if answer.media_id:
            await self.client.message.send_image(who, answer.media_id)
        elif answer.article is not None:
            article = answer.article
            shown = {
                "title": clean(article.title)[:TITLE],
                "description": clean(article.text)[:SUMMARY],
                "image": clean(article.picture),
                "url": clean(article.url),
            }
            await self.client.message.send_articles(who, [shown])
        elif text := cut(clean(answer.text), TEXT):
            await self.client.message.send_text(who, text)

    async def upload(self, jpeg: bytes, name: str) -> Media:
        """Hand over a JPEG of at most PICTURE bytes; `name` is plain ASCII and ends in .jpg."""
        if len(jpeg) > PICTURE:
            raise SendFailed("bad", f"a picture of {len(jpeg)} bytes")
        said = await self.client.media.upload("image", (name, jpeg, "image/jpeg"))
        return Media(_word(said, "media_id"), self._now() + KEPT)

    async def fetch(self, media_id: str) -> bytes:
        """The picture that a follower has sent; not by its PicUrl, which anybody could have written."""
        return await self.client.fetch(media_id)

    async def scene_url(self, scene: str, seconds: int) -> str:
        """A temporary QR code for `scene` (1 to 64 characters), for at most 30 days: the URL it encodes."""
        if not 0 < len(scene) <= 64:
            raise SendFailed("bad", f"a scene of {len(scene)} characters")
        said = await self.client.qrcode.create(
            {
                "expire_seconds": max(60, min(seconds, SCENE_SECONDS)),
                "action_name": "QR_STR_SCENE",
                # Both levels are needed, or the events carry the scene "0".
                "action_info": {"scene": {"scene_str": scene}},
            }
        )
        return _word(said, "url")

    async def menu_push(self, buttons: Sequence[Mapping[str, Any]]) -> None:
        """Replace the whole menu: 1 to 3 buttons with up to 5 below each (doc: creating a custom menu)."""
        await self.client.menu.create({"button": list(buttons)})

    async def capabilities(self) -> list[Right]:
        """What this account may do, asked by calls that change nothing.

        Each asks for something that cannot be; a "no such …" proves the right, 48001 its absence.
        """
        rights = [await self._try("access token", self.client.token())]
        if not rights[0].may:
            return rights
        nobody = {"touser": "nobody", "msgtype": "text", "text": {"content": "?"}}
        post, get = self.client.post, self.client.get
        rights.append(await self._try("customer messages", post("message/custom/send", data=nobody)))
        rights.append(await self._try("pictures", get("media/get", params={"media_id": "none"})))
        rights.append(await self._try("QR codes with a parameter", self.scene_url("none", 60)))
        rights.append(await self._try("menu", get("menu/get")))
        rights.append(await self._try("web login", self.client.visitor("none")))
        return rights

    @staticmethod
    async def _try(name: str, asked: Any) -> Right:
        try:
            await asked
        except SendFailed as failed:
            may = {"no_right": False, "tokens": False, "later": None, "unknown": None}.get(failed.reason, True)
            return Right(name, may, failed.code, "" if may else str(failed))
        return Right(name, True)


def _word(said: Any, name: str) -> str:
    value = said.get(name) if isinstance(said, dict) else None
    if not isinstance(value, str) or not 0 < len(value) <= 1024:
        raise SendFailed("later", f"no {name} in the answer")
    return value
