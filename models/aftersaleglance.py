"""After-sale cases as they are shown, to the one who complains and to those who answer; nothing is changed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from models.aftersale import CHANGE_OF_MIND, OPEN, WORDS, Case
from models.base import Glance, Invariant
from models.evidence import CasePicture
from models.order import Order, OrderLine
from models.talk import LIST_SECONDS, Talking

KINDS = {"refund": "退款", "return": "退货退款", "resend": "补发", "part": "退一部分钱"}
REASONS = {
    "broken": "坏了、破了",
    "short": "少了、漏了",
    "wrong": "发错了",
    "bad": "质量不好",
    "mind": "不想要了",
    "mistake": "买错了",
    "late": "等太久了",
    "shop": "店主主动",
}


@dataclass(frozen=True)
class CaseSeen:
    """One case. `place` is its line's number in the order, from 1; `pictures` are sha256 of what was fetched."""

    id: int
    order_id: int
    line_id: int
    follower_id: int
    no: str
    order_state: str
    kind: str
    reason: str
    words: str
    pieces: int
    amount_fen: int
    freight_fen: int
    state: str
    turn: int
    made: datetime
    due_at: datetime | None
    offer: str
    offer_fen: int
    offer_pieces: int
    offered_at: datetime | None
    answer: str
    back_no: str
    steps: int
    name: str
    spec: str
    quantity: int
    returns: str | None
    place: int = 0
    places: int = 1
    pictures: tuple[str, ...] = ()
    unseen: int = 0  # pictures that are still on their way

    @property
    def word(self) -> str:
        return WORDS[self.state]

    @property
    def kind_word(self) -> str:
        return KINDS[self.kind]

    @property
    def reason_word(self) -> str:
        return REASONS.get(self.reason, "其他")

    @property
    def line(self) -> str:
        """龙井 250g ×2: the pieces that it is about."""
        many = self.pieces or self.quantity
        return " ".join(p for p in (self.name, self.spec, f"×{many}") if p)

    @property
    def fault(self) -> bool:
        return self.reason != CHANGE_OF_MIND

    @property
    def open(self) -> bool:
        return self.state in OPEN

    @property
    def sending(self) -> bool:
        """Agreed to be sent again, and not gone: a parcel is the answer, not a word."""
        return self.kind == "resend" and self.state == "agreed"

    @property
    def back_fen(self) -> int:
        return self.amount_fen + self.freight_fen

    @property
    def numbered(self) -> str:
        """K7M2P9QA, or K7M2P9QA 2 where the order has several lines: how staff name it."""
        return self.no if self.places == 1 else f"{self.no} {self.place}"


_CASE = (
    "id",
    "order_id",
    "line_id",
    "follower_id",
    "kind",
    "reason",
    "words",
    "pieces",
    "amount_fen",
    "freight_fen",
    "state",
    "turn",
    "made",
    "due_at",
    "offer",
    "offer_fen",
    "offer_pieces",
    "offered_at",
    "answer",
    "back_no",
    "steps",
)
_COLUMNS = [
    *(getattr(Case, name) for name in _CASE),
    Order.no,
    Order.state.label("order_state"),
    OrderLine.name,
    OrderLine.spec,
    OrderLine.quantity,
    OrderLine.returns,
]
_READ = select(*_COLUMNS).join(Order, Order.id == Case.order_id).join(OrderLine, OrderLine.id == Case.line_id)


class CaseGlance(Glance):
    """Cases, read only."""

    async def of_follower(self, follower_id: int, limit: int = 8) -> list[CaseSeen]:
        """One person's cases, the open ones first, then the newest."""
        rows = await self.reader.all(_READ.where(Case.follower_id == follower_id).order_by(Case.id.desc()).limit(40))
        seen = await self._whole(rows)
        return sorted(seen, key=lambda case: not case.open)[:limit]

    async def meant(self, follower_id: int, no: str, place: int, *states: str) -> CaseSeen | list[CaseSeen]:
        """This person's one case in these states, of the order and line if named (else "", 0); else all of them."""
        found = [
            case
            for case in await self.of_follower(follower_id, 20)
            if case.state in states and no in ("", case.no) and place in (0, case.place)
        ]
        return found[0] if len(found) == 1 else found

    async def of_order(self, order_id: int) -> list[CaseSeen]:
        """The newest case of each line of an order, in the order of its lines."""
        rows = await self.reader.all(_READ.where(Case.order_id == order_id).order_by(Case.line_id, Case.id))
        return list({case.line_id: case for case in await self._whole(rows)}.values())

    async def by_id(self, case_id: int) -> CaseSeen | None:
        found = await self._whole(await self.reader.all(_READ.where(Case.id == case_id)))
        return found[0] if found else None

    async def offered_to(self, follower_id: int, talk: Talking, now: datetime) -> tuple[CaseSeen, bool] | None:
        """The newest proposal that waits for this person's yes, and whether it was the last thing that was shown."""
        open_ = (Case.follower_id == follower_id, Case.state == "applied", Case.offer != "")
        found = await self._whole(await self.reader.all(_READ.where(*open_).order_by(Case.offered_at.desc()).limit(1)))
        if not found or found[0].offered_at is None:
            return None
        return found[0], now.timestamp() - LIST_SECONDS <= found[0].offered_at.timestamp() >= talk.offered_at

    async def waiting(self, after: int = 0, size: int = 8) -> tuple[list[CaseSeen], bool]:
        """What is open in the shop, oldest first, after the case of this id; True when there are more."""
        statement = _READ.where(Case.state.in_(OPEN), Case.id > after).order_by(Case.id).limit(size + 1)
        rows = await self.reader.all(statement)
        return await self._whole(rows[:size]), len(rows) > size

    async def open_in(self, order_ids: Sequence[int]) -> dict[int, list[CaseSeen]]:
        """The open cases of these orders."""
        if not order_ids:
            return {}
        rows = await self.reader.all(_READ.where(Case.order_id.in_(order_ids), Case.state.in_(OPEN)).order_by(Case.id))
        found: dict[int, list[CaseSeen]] = {}
        for case in await self._whole(rows):
            found.setdefault(case.order_id, []).append(case)
        return found

    async def to_resend(self, limit: int = 8) -> list[CaseSeen]:
        """What was agreed to be sent again and has not left, oldest first."""
        rows = await self.reader.all(
            _READ.where(Case.kind == "resend", Case.state == "agreed").order_by(Case.id).limit(limit)
        )
        return await self._whole(rows)

    async def due(self, now: datetime, limit: int = 100) -> list[int]:
        """The ids of the cases in which silence speaks now, longest silent first."""
        rows = await self.reader.all(
            select(Case.id)
            .where(Case.state.in_(["applied", "agreed", "returned"]), Case.due_at <= now)
            .order_by(Case.due_at, Case.id)
            .limit(limit)
        )
        return [row.id for row in rows]

    async def _whole(self, rows: Sequence[Row[Any]]) -> list[CaseSeen]:
        if not rows:
            return []
        lines = await self.reader.all(
            select(OrderLine.id, OrderLine.order_id)
            .where(OrderLine.order_id.in_({row.order_id for row in rows}))
            .order_by(OrderLine.id)
        )
        of: dict[int, list[int]] = {}
        for line in lines:
            of.setdefault(line.order_id, []).append(line.id)
        shown: dict[int, list[str | None]] = {}
        for one in await self.reader.all(
            select(CasePicture.case_id, CasePicture.sha256)
            .where(CasePicture.case_id.in_([row.id for row in rows]))
            .order_by(CasePicture.id)
        ):
            shown.setdefault(one.case_id, []).append(one.sha256)
        return [
            CaseSeen(
                **row._mapping,
                place=of[row.order_id].index(row.line_id) + 1,
                places=len(of[row.order_id]),
                pictures=tuple(p for p in shown.get(row.id, ()) if p),
                unseen=sum(p is None for p in shown.get(row.id, ())),
            )
            for row in rows
        ]


INVARIANTS: tuple[Invariant, ...] = ()
