"""After-sale: cases about lines of orders, their steps and pictures"""

import sqlalchemy as sa
from alembic import op

from models.base import Moment

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

OPEN = sa.text("state IN ('applied','agreed','returned','refunding')")


def upgrade() -> None:
    op.add_column("product", sa.Column("returns", sa.String(), nullable=True))
    op.add_column("order_line", sa.Column("returns", sa.String(), nullable=True))
    op.add_column("order_line", sa.Column("back_at", Moment(), nullable=True))
    op.add_column("parcel", sa.Column("again", sa.String(), nullable=True))
    op.create_table(
        "aftersale",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("line_id", sa.BigInteger(), nullable=False),
        sa.Column("follower_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("words", sa.LargeBinary(), nullable=False),
        sa.Column("pieces", sa.BigInteger(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("freight_fen", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("made", Moment(), nullable=False),
        sa.Column("due_at", Moment(), nullable=True),
        sa.Column("offer", sa.String(), nullable=False),
        sa.Column("offer_fen", sa.BigInteger(), nullable=False),
        sa.Column("offer_pieces", sa.BigInteger(), nullable=False),
        sa.Column("offered_at", Moment(), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("back_no", sa.String(), nullable=False),
        sa.Column("parcel_id", sa.BigInteger(), nullable=True),
        sa.Column("steps", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('refund','return','resend','part')", name=op.f("ck_aftersale_kind_known")),
        sa.CheckConstraint(
            "state IN ('applied','agreed','returned','refunding','done','refused','withdrawn')",
            name=op.f("ck_aftersale_state_known"),
        ),
        sa.CheckConstraint(
            "pieces >= 0 AND amount_fen >= 0 AND freight_fen >= 0", name=op.f("ck_aftersale_sums_not_negative")
        ),
        sa.CheckConstraint("offer IN ('','part','resend')", name=op.f("ck_aftersale_offer_known")),
        sa.ForeignKeyConstraint(["follower_id"], ["follower.id"], name=op.f("fk_aftersale_follower_id")),
        sa.ForeignKeyConstraint(["line_id"], ["order_line.id"], name=op.f("fk_aftersale_line_id")),
        sa.ForeignKeyConstraint(["order_id"], ["order.id"], name=op.f("fk_aftersale_order_id")),
        sa.ForeignKeyConstraint(["parcel_id"], ["parcel.id"], name=op.f("fk_aftersale_parcel_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_aftersale")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_aftersale_follower_id"), "aftersale", ["follower_id"], unique=False)
    op.create_index(op.f("ix_aftersale_order_id"), "aftersale", ["order_id"], unique=False)
    op.create_index(op.f("ix_aftersale_state_due_at"), "aftersale", ["state", "due_at"], unique=False)
    op.create_index(
        "uq_aftersale_one_open", "aftersale", ["line_id"], unique=True, sqlite_where=OPEN, postgresql_where=OPEN
    )
    op.create_table(
        "aftersale_move",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=False),
        sa.Column("before", sa.String(), nullable=False),
        sa.Column("after", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["aftersale.id"], name=op.f("fk_aftersale_move_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_aftersale_move")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_aftersale_move_case_id"), "aftersale_move", ["case_id"], unique=False)
    op.create_table(
        "aftersale_picture",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("case_id", sa.BigInteger(), nullable=False),
        sa.Column("media_id", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=True),
        sa.Column("at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["aftersale.id"], name=op.f("fk_aftersale_picture_case_id")),
        sa.ForeignKeyConstraint(["sha256"], ["picture.sha256"], name=op.f("fk_aftersale_picture_sha256")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_aftersale_picture")),
        sa.UniqueConstraint("case_id", "media_id", name=op.f("uq_aftersale_picture_case_id_media_id")),
        sqlite_strict=True,
    )
