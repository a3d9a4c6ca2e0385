"""What a change of mind costs more: supplements, and attempts and payments that are for one of them"""

import sqlalchemy as sa
from alembic import op

from models.base import Moment

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UNPAID = sa.text("state IN ('pending','closing')")
OPEN = sa.text("state IN ('new','live')")
OPEN_OF_ORDER = sa.text("state IN ('new','live') AND supplement_id IS NULL")
CREDITED = sa.text("state = 'credited'")
CREDITED_TO_ORDER = sa.text("state = 'credited' AND supplement_id IS NULL")


def upgrade() -> None:
    op.add_column("order", sa.Column("waits_until", Moment(), nullable=True))
    op.create_table(
        "supplement",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("follower_id", sa.BigInteger(), nullable=False),
        sa.Column("no", sa.String(), nullable=False),
        sa.Column("pay_code", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("total_fen", sa.BigInteger(), nullable=False),
        sa.Column("goods_fen", sa.BigInteger(), nullable=False),
        sa.Column("discount_fen", sa.BigInteger(), nullable=False),
        sa.Column("freight_fen", sa.BigInteger(), nullable=False),
        sa.Column("line_id", sa.BigInteger(), nullable=True),
        sa.Column("sku_id", sa.BigInteger(), nullable=True),
        sa.Column("spec", sa.String(), nullable=False),
        sa.Column("list_fen", sa.BigInteger(), nullable=False),
        sa.Column("receiver", sa.LargeBinary(), nullable=False),
        sa.Column("phone", sa.LargeBinary(), nullable=False),
        sa.Column("region", sa.LargeBinary(), nullable=False),
        sa.Column("detail", sa.LargeBinary(), nullable=False),
        sa.Column("made", Moment(), nullable=False),
        sa.Column("pay_until", Moment(), nullable=False),
        sa.Column("paid_at", Moment(), nullable=True),
        sa.Column("closed_cause", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN ('pending','closing','closed','paid')", name=op.f("ck_supplement_state_known")),
        sa.CheckConstraint(
            "(what = 'spec') = (sku_id IS NOT NULL AND line_id IS NOT NULL)", name=op.f("ck_supplement_what_known")
        ),
        sa.CheckConstraint("total_fen > 0", name=op.f("ck_supplement_total_positive")),
        sa.CheckConstraint(
            "total_fen = goods_fen - discount_fen + freight_fen", name=op.f("ck_supplement_total_adds_up")
        ),
        sa.CheckConstraint("(state = 'paid') = (paid_at IS NOT NULL)", name=op.f("ck_supplement_paid_dated")),
        sa.ForeignKeyConstraint(["follower_id"], ["follower.id"], name=op.f("fk_supplement_follower_id")),
        sa.ForeignKeyConstraint(["line_id"], ["order_line.id"], name=op.f("fk_supplement_line_id")),
        sa.ForeignKeyConstraint(["order_id"], ["order.id"], name=op.f("fk_supplement_order_id")),
        sa.ForeignKeyConstraint(["sku_id"], ["sku.id"], name=op.f("fk_supplement_sku_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_supplement")),
        sa.UniqueConstraint("pay_code", name=op.f("uq_supplement_pay_code")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_supplement_order_id"), "supplement", ["order_id"], unique=False)
    op.create_index(op.f("ix_supplement_state_pay_until"), "supplement", ["state", "pay_until"], unique=False)
    _one("uq_supplement_one_open", "supplement", "order_id", UNPAID)
    op.add_column("attempt", sa.Column("supplement_id", sa.BigInteger(), nullable=True))
    op.add_column("payment", sa.Column("supplement_id", sa.BigInteger(), nullable=True))
    op.drop_index("uq_attempt_one_open", table_name="attempt")
    op.drop_index("uq_payment_one_credited", table_name="payment")
    _one("uq_attempt_one_open", "attempt", "order_id", OPEN_OF_ORDER)
    _one("uq_attempt_one_open_supplement", "attempt", "supplement_id", OPEN)
    _one("uq_payment_one_credited", "payment", "order_id", CREDITED_TO_ORDER)
    _one("uq_payment_one_credited_supplement", "payment", "supplement_id", CREDITED)


def _one(name: str, table: str, column: str, where: sa.TextClause) -> None:
    op.create_index(name, table, [column], unique=True, sqlite_where=where, postgresql_where=where)
