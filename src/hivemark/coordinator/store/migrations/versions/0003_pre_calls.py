"""Calls of the OpenAI endpoints: who holds their client, and the salts of texts that are not kept."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003_pre_calls"
down_revision: str | None = "0002_pre_api_keys"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("held_by", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("disclosed", sa.LargeBinary(), nullable=True))
    op.create_index(
        "ix_jobs_held",
        "jobs",
        ["held_by"],
        unique=False,
        sqlite_where=sa.text("finished_ms IS NULL AND held_by IS NOT NULL"),
        postgresql_where=sa.text("finished_ms IS NULL AND held_by IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_held", table_name="jobs")
    op.drop_column("attempts", "disclosed")
    op.drop_column("jobs", "held_by")
