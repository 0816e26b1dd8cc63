"""Pages of a book's history: its prices and stocks as observed, and its entries in the change feed."""

from datetime import UTC, datetime

from bookwheel_contracts.problems import InvalidCursor, NotFound
from bookwheel_stores.records import BookReader

from bookwheel_catalog.cursors import decode, encode
from bookwheel_catalog.models import BookHistory


def read_history(books: BookReader, book_id: str, *, cursor: str | None, limit: int) -> BookHistory:
    """Up to `limit` of each kind, newest first. Raises NotFound for a book that never was, InvalidCursor."""
    before, sequence = _read_cursor(cursor, book_id)
    # one more than shown, to know whether there are more; -1 ends a kind that has been shown to its end
    observations = [] if before == -1 else books.observations(book_id, limit=limit + 1, before=_moment(before))
    changes = [] if sequence == -1 else books.changes(book_id, limit=limit + 1, before_sequence=sequence)
    if cursor is None and not observations and not changes:
        raise NotFound(f"There is no book {book_id}.")
    more_observations, more_changes = len(observations) > limit, len(changes) > limit
    observations, changes = observations[:limit], changes[:limit]
    following = None
    if more_observations or more_changes:
        oldest = round(observations[-1].observed_at.timestamp() * 1000) if more_observations else -1
        following = encode([book_id, oldest, changes[-1].sequence if more_changes else -1])
    return BookHistory(book_id=book_id, observations=tuple(observations), changes=tuple(changes), next=following)


def _read_cursor(cursor: str | None, book_id: str) -> tuple[int | None, int | None]:
    if cursor is None:
        return None, None
    owner, before, sequence = decode(cursor, least=3, most=3)
    if owner != book_id or type(before) is not int or type(sequence) is not int:
        raise InvalidCursor("The cursor belongs to another book's history.")
    if not (-1 <= before < 1 << 45 and -1 <= sequence < 1 << 62):
        raise InvalidCursor("The cursor is malformed.")
    return before, sequence


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
