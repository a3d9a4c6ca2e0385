"""Evidence: the pictures that a buyer has shown of what is wrong."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint, func, select
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Invariant, Shelf
from models.product import Picture

PICTURES = 6  # of one case


class CasePicture(Base):
    """A picture of one case; `sha256` is None until it has been fetched."""

    __tablename__ = "aftersale_picture"
    __table_args__ = (UniqueConstraint("case_id", "media_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("aftersale.id"))
    media_id: Mapped[str]
    sha256: Mapped[str | None] = mapped_column(ForeignKey("picture.sha256"))
    at: Mapped[datetime]


class Evidence(Shelf[CasePicture]):
    """The pictures of cases, for the changing path."""

    entity = CasePicture

    async def show(self, case_id: int, media_id: str) -> bool:
        """Note a picture that is still to be fetched; False when it is known, or there are enough."""
        shown = await self.work.all(select(CasePicture.media_id).where(CasePicture.case_id == case_id))
        if len(shown) >= PICTURES:
            return False
        written = await self.session.execute(
            self.work.insert(CasePicture)
            .values(case_id=case_id, media_id=media_id, sha256=None, at=self.work.now)
            .on_conflict_do_nothing()
            .returning(CasePicture.id)
        )
        return written.first() is not None

    async def fetched(self, case_id: int, media_id: str, sha256: str, jpeg: bytes, thumb: bytes) -> bool:
        """The picture is here; False when that was known."""
        shown = await self._one(
            select(CasePicture).where(CasePicture.case_id == case_id, CasePicture.media_id == media_id), hold=True
        )
        if shown is None or shown.sha256 is not None:
            return False
        await self.session.execute(
            self.work.insert(Picture)
            .values(sha256=sha256, jpeg=jpeg, thumb=thumb, made=self.work.now)
            .on_conflict_do_nothing()
        )
        shown.sha256 = sha256
        return True


INVARIANTS = (
    Invariant(
        "evidence_within",
        "a case has so many pictures at most",
        select(CasePicture.case_id).group_by(CasePicture.case_id).having(func.count() > PICTURES),
    ),
)
