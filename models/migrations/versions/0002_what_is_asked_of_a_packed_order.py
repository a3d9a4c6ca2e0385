"""What is asked of a packed order"""

import sqlalchemy as sa
from alembic import op

from models.base import Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "change_request",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("said", sa.LargeBinary(), nullable=False),
        sa.Column("made", Moment(), nullable=False),
        sa.Column("seen_at", Moment(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.CheckConstraint("kind IN ('address','note')", name=op.f("ck_change_request_kind_known")),
        sa.CheckConstraint("outcome IN ('','granted','refused')", name=op.f("ck_change_request_outcome_known")),
        sa.ForeignKeyConstraint(["order_id"], ["order.id"], name=op.f("fk_change_request_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change_request")),
        sqlite_strict=True,
    )
    op.create_index(
        "uq_change_request_open",
        "change_request",
        ["order_id", "kind"],
        unique=True,
        sqlite_where=sa.text("seen_at IS NULL"),
        postgresql_where=sa.text("seen_at IS NULL"),
    )
