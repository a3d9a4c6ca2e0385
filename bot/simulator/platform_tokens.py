"""The fake platform's access tokens: who gets one, for how long it is good, and how often one may ask."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from aiohttp import web

from bot.clock import Clock
from bot.pay.wxpay import CHINA

TOKEN_SECONDS = 7200
OVERLAP = timedelta(minutes=5)
TOKENS_A_DAY = 2000
FORCED_A_DAY = 20
FORCED_APART = timedelta(seconds=30)

_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u[0-9a-fA-F]{4}")


class Refused(Exception):
    """errcode and errmsg, sent with HTTP 200 as all of WeChat's errors are (doc: global return codes)."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code, self.words = code, words


class Tokens:
    """Until when each token is good (docs: get access token; get stable access token).

    token: each call makes a new one, the one before lives 5 minutes more. stable_token: the same one until 5
    minutes before its end, by force a new one and the old one dead. The two never touch each other.
    """

    def __init__(self, clock: Clock, app_id: str, app_secret: str) -> None:
        self._clock, self._app_id, self._secret = clock, app_id, app_secret
        self._good: dict[str, datetime] = {}
        self._plain = self._stable = ""
        self._forced_at: datetime | None = None
        self._counted: dict[tuple[str, date], int] = {}

    def revoke(self) -> None:
        """Every token is invalid at once."""
        self._good.clear()

    def give(self, request: web.Request, raw: bytes, call: str) -> dict[str, Any]:
        """The reply of `token` or `stable_token`; raises Refused."""
        asked: Mapping[str, Any] = request.query
        if call == "stable_token":
            if request.method != "POST":
                raise Refused(43002, "require POST method")
            asked = read_json(raw)
        if asked.get("grant_type") != "client_credential":
            raise Refused(40002, "invalid grant_type")
        if asked.get("appid") != self._app_id:
            raise Refused(40013, "invalid appid")
        if asked.get("secret") != self._secret:
            raise Refused(40125, "invalid appsecret")
        return self._give_plain() if call == "token" else self._give_stable(asked.get("force_refresh") is True)

    def check(self, token: str) -> None:
        """Raises Refused: 41001 missing, 40001 unknown, 42001 expired."""
        if not token:
            raise Refused(41001, "access_token missing")
        if token not in self._good:
            raise Refused(40001, "invalid credential, access_token is invalid or not latest")
        if self._clock.now() >= self._good[token]:
            raise Refused(42001, "access_token expired")

    def _give_plain(self) -> dict[str, Any]:
        self._count("token", TOKENS_A_DAY)
        if self._plain in self._good:
            self._good[self._plain] = min(self._good[self._plain], self._clock.now() + OVERLAP)
        self._plain = self._fresh()
        return {"access_token": self._plain, "expires_in": TOKEN_SECONDS}

    def _give_stable(self, force: bool) -> dict[str, Any]:
        now = self._clock.now()
        left = self._good.get(self._stable, now) - now
        if force:
            if self._forced_at is not None and now - self._forced_at < FORCED_APART:
                raise Refused(45011, "api minute-quota reach limit, must slower, retry next minute")
            self._count("forced", FORCED_A_DAY)
            self._good.pop(self._stable, None)
            self._forced_at = now
        if force or left <= OVERLAP:
            self._stable, left = self._fresh(), timedelta(seconds=TOKEN_SECONDS)
        return {"access_token": self._stable, "expires_in": int(left.total_seconds())}

    def _fresh(self) -> str:
        token = secrets.token_urlsafe(96)
        self._good[token] = self._clock.now() + timedelta(seconds=TOKEN_SECONDS)
        return token

    def _count(self, what: str, most: int) -> None:
        key = (what, self._clock.now().astimezone(CHINA).date())
        self._counted[key] = self._counted.get(key, 0) + 1
        if self._counted[key] > most:
            raise Refused(45009, "reach max api daily quota limit")


def read_json(raw: bytes) -> dict[str, Any]:
    """A request's body; raises Refused 47001, or 40033 where characters are escaped as \\uxxxx."""
    if _ESCAPE.search(raw):
        raise Refused(40033, "invalid charset. please check your request, if include \\uxxxx will create fail!")
    try:
        found = json.loads(raw.decode())
    except ValueError:
        raise Refused(47001, "data format error") from None
    if not isinstance(found, dict):
        raise Refused(47001, "data format error")
    return found
