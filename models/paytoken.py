"""Pay tokens: a few characters by which whoever says them to the WeChat account may pay one order, once.

For people who sit where WeChat Pay cannot be called: on a phone, outside WeChat, in a shop without H5 pay.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint, and_, select, update
from sqlalchemy.orm import Mapped, mapped_column

from models.base import ALPHABET, Base, Invariant, Shelf

TOKEN_LIFE = timedelta(minutes=30)
TOKEN_TRIES = 5
TOKEN_LENGTH = 3  # beside an order number that is as hard to guess as the token is short
FRIEND_LENGTH = 6


class PayToken(Base):
    """The newest token of an order; only its hash is kept, and five wrong tries end it."""

    __tablename__ = "pay_token"
    __table_args__ = (
        UniqueConstraint("order_id"),
        CheckConstraint("tries_left >= 0", name="tries_not_negative"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
    hash: Mapped[str]
    made: Mapped[datetime]
    until: Mapped[datetime]
    tries_left: Mapped[int]
    used: Mapped[datetime | None]


def token_hash(no: str, token: str, key: bytes) -> str:
    """The keyed hash under which a token of this order is kept."""
    return hmac.new(key, f"{no}-{token}".encode(), hashlib.sha256).hexdigest()


def friend_mark(pay_code: str, key: bytes) -> str:
    """What makes a pay link one for a friend, which shows the goods and who asks; nobody else can make it."""
    digest = hmac.new(key, pay_code.encode(), hashlib.sha256).digest()
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:FRIEND_LENGTH])


def unspent(now: datetime) -> Any:
    """The guard of "once": not used, not too old, not guessed at too often."""
    return and_(PayToken.used.is_(None), PayToken.until > now, PayToken.tries_left > 0)


class PayTokens(Shelf[PayToken]):
    """Tokens, for the changing path."""

    entity = PayToken

    async def offer(self, order_id: int, hash: str) -> None:
        """Keep a new token, 30 minutes and five wrong tries long, in the place of the order's older one."""
        now = self.work.now
        fresh = {"hash": hash, "made": now, "until": now + TOKEN_LIFE, "tries_left": TOKEN_TRIES, "used": None}
        await self.session.execute(
            self.work.insert(PayToken)
            .values(order_id=order_id, **fresh)
            .on_conflict_do_update(index_elements=["order_id"], set_=fresh)
        )

    async def spend(self, order_id: int, hash: str) -> bool:
        """Use the token up; False when it does not fit, and then the order's token has a try less."""
        now = self.work.now
        live = (PayToken.order_id == order_id, unspent(now))
        taken = await self.session.execute(
            update(PayToken)
            .where(PayToken.hash == hash, *live)
            .values(used=now)
            .execution_options(synchronize_session=False)
        )
        if taken.rowcount == 1:  # type: ignore[attr-defined]
            return True
        await self.session.execute(
            update(PayToken)
            .where(*live)
            .values(tries_left=PayToken.tries_left - 1)
            .execution_options(synchronize_session=False)
        )
        return False


INVARIANTS = (
    Invariant(
        "pay_token_used_in_time",
        "nobody pays by a token that was too old",
        select(PayToken.id).where(PayToken.used >= PayToken.until),
    ),
)
