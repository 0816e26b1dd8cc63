"""Adds the subtitle of books. Renames the tables `receipt` and `held_item` to the terms of the glossary."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TABLES = {"receipt": "processed_item", "held_item": "staged_item"}


def upgrade() -> None:
    op.add_column("book", sa.Column("subtitle", sa.Text(), nullable=True))
    for old, new in _TABLES.items():
        op.rename_table(old, new)
        if op.get_bind().dialect.name == "postgresql":  # SQLite cannot rename constraints
            op.execute(f'ALTER TABLE "{new}" RENAME CONSTRAINT pk_{old} TO pk_{new}')
            op.execute(f'ALTER TABLE "{new}" RENAME CONSTRAINT fk_{old}_run_number TO fk_{new}_run_number')
