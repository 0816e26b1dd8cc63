"""Adds the pages of runs, the faults of fields, and the examples of held runs."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_COUNTS = ("book_pages", "list_pages", "other_pages", "unreadable_pages", "failed_pages", "faults")


def upgrade() -> None:
    for name in _COUNTS:
        op.add_column("crawl_run", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("crawl_run", sa.Column("published_pages", sa.BigInteger(), nullable=True))
    op.add_column("crawl_run", sa.Column("hold_examples", sa.Text(), nullable=True))
    op.create_table(
        "crawl_page",
        sa.Column("run_number", sa.BigInteger(), nullable=False),
        sa.Column("page_number", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("position", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["run_number"], ["crawl_run.number"], name="fk_crawl_page_run_number"),
        sa.PrimaryKeyConstraint("run_number", "page_number", name="pk_crawl_page"),
    )
    op.create_index("ix_crawl_page_outcome", "crawl_page", ["run_number", "outcome", "page_number"])
    serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "field_fault",
        sa.Column("number", serial, nullable=False),
        sa.Column("run_number", sa.BigInteger(), nullable=False),
        sa.Column("field", sa.String(64), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_number"], ["crawl_run.number"], name="fk_field_fault_run_number"),
        sa.PrimaryKeyConstraint("number", name="pk_field_fault"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_field_fault_run", "field_fault", ["run_number", "number"])
    op.create_table(
        "run_field_fault",
        sa.Column("run_number", sa.BigInteger(), nullable=False),
        sa.Column("field", sa.String(64), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("faults", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_number"], ["crawl_run.number"], name="fk_run_field_fault_run_number"),
        sa.PrimaryKeyConstraint("run_number", "field", "code", name="pk_run_field_fault"),
    )
