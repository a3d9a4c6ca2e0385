"""Who pays, and where: an attempt is for a way and a payer; pay tokens"""

import sqlalchemy as sa
from alembic import op

from models.base import Moment

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempt", sa.Column("payer", sa.String(), nullable=True))
    op.add_column("attempt", sa.Column("code_until", Moment(), nullable=True))
    op.create_table(
        "pay_token",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("made", Moment(), nullable=False),
        sa.Column("until", Moment(), nullable=False),
        sa.Column("tries_left", sa.BigInteger(), nullable=False),
        sa.Column("used", Moment(), nullable=True),
        sa.CheckConstraint("tries_left >= 0", name=op.f("ck_pay_token_tries_not_negative")),
        sa.ForeignKeyConstraint(["order_id"], ["order.id"], name=op.f("fk_pay_token_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pay_token")),
        sa.UniqueConstraint("order_id", name=op.f("uq_pay_token_order_id")),
        sqlite_strict=True,
    )
