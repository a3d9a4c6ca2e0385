"""What the shop and one follower are in the middle of: the list on screen, the open question, the thing last shown."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Invariant
from models.seal import SealedJson

LIST_SECONDS = 30 * 60
SEEN_SECONDS = 10 * 60
PENDING_SECONDS = 3 * 60
HASTE = 3  # seconds: what is said sooner than that answers the list before


class Talk(Base):
    """The talk as the last changing answer left it; a reading answer's overlay lives in `bot/shared.py`."""

    __tablename__ = "talk"

    follower_id: Mapped[int] = mapped_column(ForeignKey("follower.id"), primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(default=0)  # counts changing answers; an overlay names the one it was built on
    state: Mapped[dict[str, Any]] = mapped_column(SealedJson, default=dict)
    missed: Mapped[int] = mapped_column(default=0)  # notices that could not be sent and are shown first next time


@dataclass
class Talking:
    """The state of one talk; times are Unix seconds of the shop's clock."""

    offered: list[dict[str, Any]] = field(default_factory=list)  # what the numbers mean
    offered_at: float = 0.0
    steps: dict[str, int] = field(default_factory=dict)  # words of what was offered -> its number
    listing: dict[str, Any] | None = None  # what to ask again when the numbers have gone stale
    labels: list[str] = field(default_factory=list)  # what was offered is called so, where nothing can be asked again
    shelf: dict[str, Any] | None = None  # the last list of things, as against the choices under one: 返回
    more: dict[str, Any] | None = None
    question: dict[str, Any] | None = None  # {"intent": …, "field": …, "options": […], "at": …}
    pending: dict[str, Any] | None = None  # {"intent": …, "code": …, "until": …}
    seen: dict[str, list[Any]] = field(default_factory=dict)  # thing -> [code, at]
    many: int = 0  # so many of the product last shown are wanted, until they are bought or in the cart
    rest: str = ""  # the part of the last answer that did not fit
    last: str = ""  # the answer last shown: its template, for a refusal also its facts
    times: int = 0  # how often it was shown in a row
    simple: bool = False  # three digits at a time, until the next order
    cart: list[dict[str, Any]] = field(default_factory=list)  # what the cart's numbers meant when it was last shown
    cart_at: float = 0.0
    dropped: list[float] = field(default_factory=list)  # the cart's line that was last taken out, and when
    hushed: float = 0.0  # when 退订 or 不用 was last said: what was offered before it is no longer an offer

    @classmethod
    def load(cls, state: dict[str, Any] | str | None) -> Talking:
        """The talk from its row or overlay; what a newer or older shop wrote and we do not know is left out."""
        found: dict[str, Any] = json.loads(state) if isinstance(state, str) else state or {}
        return cls(**{k: v for k, v in found.items() if k in cls.__dataclass_fields__})

    def dump(self) -> dict[str, Any]:
        """Only what differs from an empty talk."""
        return {k: v for k, v in vars(self).items() if v != _BLANK[k]}

    def line(self, n: int, now: datetime) -> dict[str, Any] | None:
        """What number `n` means; None beyond the list or when the list is older than 30 minutes."""
        if self.fresh(now) and 1 <= n <= len(self.offered):
            return self.offered[n - 1]
        return None

    def in_cart(self, n: int, now: datetime) -> dict[str, Any] | None:
        """What number `n` of the cart meant when it was last shown, whatever was shown since; 30 minutes long.

        None for a line that has just been taken out: said again at once, its number was read off the list before.
        """
        at = now.timestamp()
        if at - self.cart_at > LIST_SECONDS or self.doubled(n, now) or not 1 <= n <= len(self.cart):
            return None
        return self.cart[n - 1]

    def doubled(self, n: int, now: datetime) -> bool:
        """Whether line `n` of the cart was taken out so shortly before that nobody can mean the one there now."""
        return bool(self.dropped) and self.dropped[0] == n and now.timestamp() - self.dropped[1] <= HASTE

    def step(self, words: str, now: datetime) -> int | None:
        """The number of the next step on screen that is called so, None for none."""
        return self.steps.get(words) if self.fresh(now) else None

    def drop(self) -> None:
        """A no: what was offered to choose from is not chosen by a number that comes later."""
        self.offered, self.steps, self.labels = [], {}, []

    def fresh(self, now: datetime) -> bool:
        return bool(self.offered) and now.timestamp() - self.offered_at <= LIST_SECONDS

    def asked(self, now: datetime) -> dict[str, Any] | None:
        """The open question, 30 minutes long."""
        if self.question and now.timestamp() - float(self.question["at"]) <= LIST_SECONDS:
            return self.question
        return None

    def waiting(self, now: datetime) -> dict[str, Any] | None:
        """The staff command that waits for 确认, 3 minutes long."""
        if self.pending and now.timestamp() <= float(self.pending["until"]):
            return self.pending
        return None

    def shown(self, thing: str, now: datetime) -> str:
        """The code of the thing of this kind that was shown within 10 minutes, or ""."""
        code, at = self.seen.get(thing, ("", 0.0))
        return str(code) if now.timestamp() - float(at) <= SEEN_SECONDS else ""

    def saw(self, thing: str, code: str, now: datetime, many: int = 0) -> None:
        """This is on screen now; `many` are wanted of a product. Another product takes over no number from the last."""
        if thing == "product":
            self.many = many or self.wanted(code, now)
        self.seen[thing] = [code, now.timestamp()]

    def wanted(self, product: str, now: datetime) -> int:
        """How many of this product were asked for when it was found or shown, 0 when nobody has said."""
        return self.many if product and self.shown("product", now) == product else 0

    def had(self, product: str, now: datetime) -> None:
        """What was wanted of this product is bought, or in the cart."""
        self.many = 0 if self.wanted(product, now) else self.many


_BLANK = vars(Talking())

INVARIANTS = (
    Invariant(
        "talk_number",
        "a talk counts its changing answers upward",
        select(Talk.follower_id).where(Talk.number < 0),
    ),
)
