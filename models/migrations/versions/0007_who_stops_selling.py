"""停售 全店: a shop may stop taking orders, on the same row that says what it promises"""

import sqlalchemy as sa
from alembic import op

from models.base import Moment

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("promise", sa.Column("stopped", Moment(), nullable=True))
