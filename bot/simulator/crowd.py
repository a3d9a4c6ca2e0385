"""The people whom the fake platforms know: who follows, who may still be told what, QR codes, media."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

WINDOWS: dict[tuple[str, str], tuple[timedelta, int | None]] = {
    # doc: customer messages, service account (figures since 2023-05)
    ("wechat", "message"): (48 * HOUR, 5),
    ("wechat", "click"): (MINUTE, 3),
    ("wechat", "follow"): (MINUTE, 3),
    ("wechat", "scan"): (MINUTE, 3),
    # doc: messages/reply, fans service: as many as one likes, but one only after a mention
    ("weibo", "message"): (48 * HOUR, None),
    ("weibo", "click"): (48 * HOUR, None),
    ("weibo", "follow"): (48 * HOUR, None),
    ("weibo", "scan"): (48 * HOUR, None),
    ("weibo", "subscribe"): (48 * HOUR, None),
    ("weibo", "mention"): (48 * HOUR, 1),
}
"""What an act of a person opens: for how long, and for how many messages (None: any number)."""

KINDS = {
    **dict.fromkeys(("text", "image", "voice", "video", "shortvideo", "location", "link", "position"), "message"),
    # a tap on a msgmenu item counts as a menu, not as a message (doc: customer messages, special notes)
    **dict.fromkeys(("menu_tap", "CLICK", "scancode_push", "scancode_waitmsg"), "click"),
    "scan_follow": "follow",
    "SCAN": "scan",
}

MEDIA_DAYS = 3
Said = Literal["ok", "stranger", "gone", "closed", "used_up"]


@dataclass(slots=True)
class Window:
    until: datetime
    left: int | None


@dataclass(slots=True)
class Fan:
    """One person on one platform; `credits` are unspent consents to a notification, by template."""

    who: str
    name: str = ""
    follows: bool = False
    since: datetime | None = None
    scene: str = ""
    muted: bool = False
    subscribes: bool = False
    windows: dict[str, Window] = field(default_factory=dict)
    credits: dict[str, int] = field(default_factory=dict)


class Crowd:
    """Everything the platforms know of people, in memory; `channel` is "wechat" or "weibo"."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._fans: dict[tuple[str, str], Fan] = {}
        self._codes: dict[str, tuple[str, datetime | None]] = {}
        self._media: dict[str, tuple[bytes, datetime]] = {}

    def fan(self, channel: str, who: str) -> Fan | None:
        return self._fans.get((channel, who))

    def fans(self, channel: str) -> list[Fan]:
        return [fan for (where, _), fan in self._fans.items() if where == channel]

    def know(self, channel: str, who: str, name: str = "") -> Fan:
        """The person, met for the first time or again."""
        fan = self._fans.setdefault((channel, who), Fan(who))
        fan.name = name or fan.name
        return fan

    def heard(self, channel: str, who: str, kind: str = "text") -> None:
        """The person did something; that opens its window anew, at its full measure, and opens no other.

        `kind`: a message's or event's type, menu_tap for a msgmenu item; others (VIEW, event …) open nothing.
        """
        fan, act = self.know(channel, who), KINDS.get(kind, kind)
        if channel == "weibo" and act in ("subscribe", "unsubscribe"):  # not the same as following
            fan.subscribes = act == "subscribe"
        if (channel, act) in WINDOWS:
            lasts, count = WINDOWS[channel, act]
            fan.windows[act] = Window(self._now() + lasts, count)

    def follow(self, channel: str, who: str, scene: str = "") -> None:
        fan = self.know(channel, who)
        fan.follows, fan.since, fan.scene = True, self._now(), scene
        self.heard(channel, who, "follow")

    def unfollow(self, channel: str, who: str) -> None:
        """Windows, quota and consents die with it."""
        fan = self.know(channel, who)
        fan.follows = False
        fan.windows.clear()
        fan.credits.clear()

    def follows(self, channel: str, who: str) -> bool:
        fan = self.fan(channel, who)
        return fan is not None and fan.follows

    def may_tell(self, channel: str, who: str) -> Said:
        """Whether one more message may go to this person now; spends nothing.

        Allowances are not added up: a message spends from every open window, and one with something left is
        enough.
        """
        fan = self.fan(channel, who)
        if fan is None:
            return "stranger"
        if not fan.follows:
            return "gone"
        still = [window for window in fan.windows.values() if self._now() < window.until]
        if not still:
            return "closed"
        return "ok" if any(window.left is None or window.left > 0 for window in still) else "used_up"

    def told(self, channel: str, who: str) -> None:
        """One message went."""
        for window in self.know(channel, who).windows.values():
            if window.left is not None:
                window.left = max(0, window.left - 1)

    def make_code(self, scene: str, seconds: int | None, base: str) -> tuple[str, str]:
        """A QR's ticket and the URL that it encodes; None seconds: for good."""
        ticket, tail = f"gQ{secrets.token_urlsafe(48)}", secrets.token_urlsafe(15)
        until = None if seconds is None else self._now() + timedelta(seconds=seconds)
        url = f"{base}/q/02{tail}"
        self._codes[ticket] = self._codes[url] = (scene, until)
        return ticket, url

    def scene_of(self, found: str) -> str | None:
        """The scene behind a QR's URL, a ticket, or a ticket picture's address; None: unknown or expired."""
        ticket = parse_qs(urlsplit(found).query).get("ticket", [""])[0]
        scene, until = self._codes.get(found) or self._codes.get(ticket) or ("", None)
        return (scene or None) if until is None or self._now() < until else None

    def url_of(self, ticket: str) -> str | None:
        """The URL that a living ticket's QR encodes."""
        kept = self._codes.get(ticket)
        if kept is None or self.scene_of(ticket) is None:
            return None
        return next(words for words, code in self._codes.items() if code is kept and words != ticket)

    def keep(self, picture: bytes) -> str:
        """A media_id, good for 3 days."""
        media_id = secrets.token_urlsafe(48)
        self._media[media_id] = (picture, self._now() + MEDIA_DAYS * DAY)
        return media_id

    def media(self, media_id: str) -> bytes | None:
        """The picture's bytes; None: unknown or expired."""
        picture, until = self._media.get(media_id, (None, None))
        return picture if until is not None and self._now() < until else None

    # For a demo that starts again: see memory.py

    def dump(self) -> dict[str, Any]:
        """People and codes as plain values (moments stay datetime), and until when which picture is kept."""
        codes = [(ticket, self.url_of(ticket), *self._codes[ticket]) for ticket in self._codes if "://" not in ticket]
        return {
            "fans": [(channel, asdict(fan)) for (channel, _), fan in self._fans.items()],
            "codes": [code for code in codes if code[1] is not None],
            "media": [(media_id, until) for media_id, (_, until) in self._media.items()],
        }

    def load(self, kept: Mapping[str, Any], picture: Callable[[str], bytes | None]) -> None:
        """Takes in what `dump` gave; `picture` gives the bytes of a media_id, None when they are lost."""
        for channel, fan in kept["fans"]:
            windows = {act: Window(**window) for act, window in fan["windows"].items()}
            self._fans[channel, fan["who"]] = Fan(**{**fan, "windows": windows})
        for ticket, url, scene, until in kept["codes"]:
            self._codes[ticket] = self._codes[url] = (scene, until)
        for media_id, until in kept["media"]:
            if until > self._now() and (found := picture(media_id)) is not None:
                self._media[media_id] = (found, until)
