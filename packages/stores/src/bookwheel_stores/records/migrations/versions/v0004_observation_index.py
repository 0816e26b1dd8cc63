"""An index finds the observations in force in an interval, for price trends."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_index("ix_observation_in_force", "observation", ["superseded_at", "observed_at"])
