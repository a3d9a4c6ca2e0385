"""The shop's own answers (问答): what the merchant says about freight, invoices, hours; facts, never invented."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Glance, Invariant, Work

TOPICS = (
    "发货时间",
    "快递",
    "运费",
    "偏远",
    "发票",
    "退换",
    "价保",
    "保存",
    "真伪",
    "营业时间",
    "电话",
    "地址",
    "执照",
)


class ShopAnswer(Base):
    """One answer, by topic."""

    __tablename__ = "shop_answer"

    topic: Mapped[str] = mapped_column(primary_key=True)
    words: Mapped[str]


async def remember(work: Work, answers: Mapping[str, str]) -> None:
    """Write answers; the newest of a topic counts."""
    insert = work.insert
    for topic, words in answers.items():
        statement = insert(ShopAnswer).values(topic=topic, words=words)
        await work.session.execute(statement.on_conflict_do_update(index_elements=["topic"], set_={"words": words}))


class AnswerGlance(Glance):
    """The shop's answers, read only."""

    async def of(self, topic: str) -> str:
        """The answer to a topic, "" when the merchant has not given one."""
        row = await self.reader.one(select(ShopAnswer.words).where(ShopAnswer.topic == topic))
        return str(row.words) if row is not None else ""


INVARIANTS = (
    Invariant(
        "answer_known",
        "every answer is to a known topic",
        select(ShopAnswer.topic).where(ShopAnswer.topic.not_in(TOPICS)),
    ),
)
