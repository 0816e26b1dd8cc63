"""Adds the content of books to the change feed, removed offers, webhooks, approvals and the quality of runs."""

from typing import Any

import orjson
import sqlalchemy as sa
from alembic import op

from bookwheel_stores.records.migrations.book_content_0002 import render_contents

revision = "0002"
down_revision = "0001"

_KEYS = {
    "book": {"book_id": 512},
    "offer": {"source": 512, "source_key": 512},
    "change": {"run_id": 512},
    "crawl_run": {"run_id": 512, "source": 512},
    "quarantine": {"entry_id": 64, "run_id": 512, "source": 512},
    "projection": {"name": 64},
    "prediction": {"prediction_id": 512, "book_id": 512},
}
_BOOKS = 1000
"""The number of books in one statement, because SQLite allows 32,766 parameters."""


def upgrade() -> None:
    op.add_column("change", sa.Column("content", sa.Text(), nullable=True))
    op.add_column("offer", sa.Column("removed_at", sa.BigInteger(), nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        _order_keys_by_code_point()
    _fill_contents(op.get_bind())
    _create_webhooks()
    _extend_runs()
    _extend_quarantine(op.get_bind())


def _order_keys_by_code_point() -> None:
    """Like SQLite, independent of the collation of the database. This is also faster."""
    for table, columns in _KEYS.items():
        for column, length in columns.items():
            op.alter_column(table, column, type_=sa.String(length, collation="C"))


def _fill_contents(connection: sa.Connection) -> None:
    """Stores the current content of each book in its latest change. Earlier contents are unknown."""
    latest = sa.text(
        "SELECT book_number, max(sequence) AS sequence FROM change WHERE book_number > :after"
        " GROUP BY book_number ORDER BY book_number LIMIT :books"
    )
    fill = sa.text("UPDATE change SET content = :content WHERE sequence = :sequence")
    after = 0
    while rows := connection.execute(latest, {"after": after, "books": _BOOKS}).all():
        contents = render_contents(connection, [row.book_number for row in rows])
        connection.execute(fill, [{"content": contents[row.book_number], "sequence": row.sequence} for row in rows])
        after = rows[-1].book_number


def _create_webhooks() -> None:
    op.create_table(
        "webhook",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("webhook_id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=512), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("wants_changes", sa.Boolean(), nullable=False),
        sa.Column("wants_runs", sa.Boolean(), nullable=False),
        sa.Column("filters", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("claimed_until", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_webhook")),
        sa.UniqueConstraint("webhook_id", name=op.f("uq_webhook_webhook_id")),
    )
    op.create_index(op.f("ix_webhook_owner"), "webhook", ["owner"])
    op.create_table(
        "webhook_delivery",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("delivery_id", sa.String(length=64), nullable=False),
        sa.Column("webhook_number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("after", sa.BigInteger(), nullable=True),
        sa.Column("through", sa.BigInteger(), nullable=True),
        sa.Column("run_id", sa.String(length=512), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("tried_since", sa.BigInteger(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["webhook_number"], ["webhook.number"], name=op.f("fk_webhook_delivery_webhook_number")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_webhook_delivery")),
        sa.UniqueConstraint("delivery_id", name=op.f("uq_webhook_delivery_delivery_id")),
        sa.UniqueConstraint("webhook_number", "run_id", name=op.f("uq_webhook_delivery_webhook_number_run_id")),
    )
    op.create_index("ix_webhook_delivery_webhook", "webhook_delivery", ["webhook_number", "number"])
    op.create_index("ix_webhook_delivery_state", "webhook_delivery", ["state", "next_attempt_at"])


def _key(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _extend_runs() -> None:
    """Adds the approval and the quality of runs."""
    for name in ("staged", "missed", "removed", "valid", "invalid"):
        op.add_column("crawl_run", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("crawl_run", sa.Column("gate", sa.String(length=16), nullable=False, server_default="shut"))
    op.add_column("crawl_run", sa.Column("whole_source", sa.Boolean(), nullable=True))
    for name in ("known", "removes_before"):
        op.add_column("crawl_run", sa.Column(name, sa.BigInteger(), nullable=True))
    for name in ("expect", "hold"):
        op.add_column("crawl_run", sa.Column(name, sa.Text(), nullable=True))
    op.create_index("ix_crawl_run_state", "crawl_run", ["state", "number"])
    op.create_index("ix_crawl_run_started", "crawl_run", ["source", "started_at"])
    _create_run_table(
        "held_item",
        sa.Column("item_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source_key", _key(512), nullable=False),
        sa.Column("entry_id", _key(64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        key=("item_number",),
    )
    _create_run_table(
        "run_field",
        sa.Column("field", sa.String(length=64), nullable=False),
        sa.Column("filled", sa.BigInteger(), nullable=False),
        key=("field",),
    )
    _create_run_table(
        "run_fault",
        sa.Column("field", sa.String(length=64), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        key=("field", "code"),
    )


def _create_run_table(table: str, *columns: sa.Column[Any], key: tuple[str, ...]) -> None:
    op.create_table(
        table,
        sa.Column("run_number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        *columns,
        sa.PrimaryKeyConstraint("run_number", *key, name=op.f(f"pk_{table}")),
        sa.ForeignKeyConstraint(["run_number"], ["crawl_run.number"], name=op.f(f"fk_{table}_run_number")),
    )


def _extend_quarantine(connection: sa.Connection) -> None:
    op.add_column("quarantine", sa.Column("source_key", _key(512), nullable=True))
    op.add_column("quarantine", sa.Column("code", sa.String(length=64), nullable=False, server_default=""))
    op.add_column("quarantine", sa.Column("verdict", sa.String(length=16), nullable=True))
    op.create_index("ix_quarantine_run", "quarantine", ["run_id", "number"])
    page = sa.text("SELECT number, reasons FROM quarantine WHERE number > :after ORDER BY number LIMIT :items")
    fill = sa.text("UPDATE quarantine SET code = :code WHERE number = :number")
    after = 0
    while rows := connection.execute(page, {"after": after, "items": _BOOKS}).all():
        reasons = {row.number: orjson.loads(row.reasons) for row in rows}
        codes = [{"number": number, "code": entry[0]["code"][:64]} for number, entry in reasons.items() if entry]
        if codes:
            connection.execute(fill, codes)
        after = rows[-1].number
