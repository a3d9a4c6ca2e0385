"""What every channel can do for the shop: say something, keep a picture, make a scene that can be scanned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

from bot.face import Answer

Reason = Literal[
    "closed",  # the window in which one may speak is closed (45015)
    "used_up",  # nothing may be said until the follower does something (45047)
    "gone",  # no longer a follower (43004, 50005, 46004)
    "muted",  # the follower switched messages off (48002)
    "later",  # not taken, safe to repeat: busy, over a rate, refused before it was sent
    "bad",  # our data; repeating the same will not help
    "no_right",  # this account may not do it (48001, 48004)
    "unknown",  # sent, and no answer came: it may have arrived
    "tokens",  # secret, token or address list: nobody can be reached until the owner acts
]


class SendFailed(Exception):
    """The platform did not take it, or we cannot know; `reason` says what follows from that.

    `code` is the platform's own number, None when there was none; `retry_after` is in seconds, None when
    the platform's rules name no time. The text is for logs: no token, no secret, at most 300 characters.
    """

    def __init__(
        self, reason: Reason, words: str = "", *, code: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{reason}: {words}"[:300] if words else reason)
        self.reason: Reason = reason
        self.code = code
        self.retry_after = retry_after


OFF = timedelta(hours=1)
"""How long a call that this account may not make is left alone; the owner may have got the right meanwhile."""


@dataclass
class Rights:
    """What the account may not do: refused once, it is off for an hour instead of failing each time, and is told."""

    now: Callable[[], datetime]
    lost: Callable[[str], None] = lambda call: None
    _until: dict[str, datetime] = field(default_factory=dict)

    def check(self, call: str) -> None:
        """Raises SendFailed ("no_right") while the call is off."""
        if (until := self._until.get(call)) is not None and self.now() < until:
            raise SendFailed("no_right", f"{call} is switched off")

    def switch_off(self, call: str) -> None:
        """The platform has said that this account may not make this call."""
        self._until[call] = self.now() + OFF
        self.lost(call)


@dataclass(frozen=True)
class Media:
    """A picture kept by the platform; `good_until` (aware UTC) is a safe while before it forgets it."""

    media_id: str
    good_until: datetime


class Channel(Protocol):
    """A platform the shop speaks on; `room` is the longest text in `unit`s."""

    name: str
    account: str
    signed: bool
    tappable: bool
    room: int
    unit: Literal["bytes", "characters"]

    async def say(self, who: str, answer: Answer, *, key: str) -> None:
        """Send one message of its own (customer message, active send); raises SendFailed."""
        ...

    async def upload(self, jpeg: bytes, name: str) -> Media:
        """Hand a JPEG to the platform; raises SendFailed ("no_right" where only URLs show)."""
        ...

    async def fetch(self, media_id: str) -> bytes:
        """The picture behind the id that came with a message; raises SendFailed ("bad" for one that is not there)."""

    async def scene_url(self, scene: str, seconds: int) -> str:
        """Ask for a QR code with a parameter, good for `seconds`; gives the URL that it encodes."""
        ...
