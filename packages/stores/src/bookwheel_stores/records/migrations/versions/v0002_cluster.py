"""The change feed carries what it tells of."""

import sqlalchemy as sa
from alembic import op

from bookwheel_stores.records.content import contents_now

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
"""Books in one step: SQLite takes 32,766 parameters in a statement."""


def upgrade() -> None:
    op.add_column("change", sa.Column("content", sa.Text(), nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        _order_keys_by_code_point()
    _fill_contents(op.get_bind())


def _order_keys_by_code_point() -> None:
    """As SQLite does it, whatever the database's own collation is; and faster."""
    for table, columns in _KEYS.items():
        for column, length in columns.items():
            op.alter_column(table, column, type_=sa.String(length, collation="C"))


def _fill_contents(connection: sa.Connection) -> None:
    """Each book's latest change gets the book as it is now: what it was before is not known any more."""
    latest = sa.text(
        "SELECT book_number, max(sequence) AS sequence FROM change WHERE book_number > :after"
        " GROUP BY book_number ORDER BY book_number LIMIT :books"
    )
    fill = sa.text("UPDATE change SET content = :content WHERE sequence = :sequence")
    after = 0
    while found := connection.execute(latest, {"after": after, "books": _BOOKS}).all():
        contents = contents_now(connection, [row.book_number for row in found])
        connection.execute(fill, [{"content": contents[row.book_number], "sequence": row.sequence} for row in found])
        after = found[-1].book_number
