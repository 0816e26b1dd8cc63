"""Adds an index for price trends: it finds the observations that were current in an interval."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_index("ix_observation_in_force", "observation", ["superseded_at", "observed_at"])
