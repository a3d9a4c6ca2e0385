"""What was said of a case stays as it was said: aftersale_move takes rows and lets none be changed"""

from alembic import op

from models.base import append_only

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    append_only(op.get_bind(), "aftersale_move")
