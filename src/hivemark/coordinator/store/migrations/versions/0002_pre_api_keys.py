"""API keys, and under which of them a job runs."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002_pre_api_keys"
down_revision: str | None = "0001_pre_initial"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token_start", sa.Text(), nullable=False),
        sa.Column("token_sha256", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("models", sa.Text(), nullable=True),
        sa.Column("budget_micro", sa.BigInteger(), nullable=True),
        sa.Column("spent_micro", sa.BigInteger(), nullable=False),
        sa.Column("requests_per_minute", sa.BigInteger(), nullable=True),
        sa.Column("tokens_per_minute", sa.BigInteger(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_used_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "spent_micro >= 0 AND spent_micro <= budget_micro", name=op.f("ck_api_keys_within_budget")
        ),
        sa.CheckConstraint("requests_per_minute > 0", name=op.f("ck_api_keys_requests_per_minute")),
        sa.CheckConstraint("tokens_per_minute > 0", name=op.f("ck_api_keys_tokens_per_minute")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_api_keys_token_sha256")),
    )
    op.create_index("ix_api_keys_account", "api_keys", ["account", "id"], unique=False)
    op.add_column("jobs", sa.Column("api_key", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "api_key")
    op.drop_index("ix_api_keys_account", table_name="api_keys")
    op.drop_table("api_keys")
