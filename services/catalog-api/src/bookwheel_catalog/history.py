"""Pages of a book's history: its prices and stocks as observed, and its entries in the change feed."""

from bookwheel_contracts.problems import InvalidCursorError, NotFoundError
from bookwheel_stores.records import BookReader
from bookwheel_stores.records.catalog.book_reader import ObservationCursor

from bookwheel_catalog.cursors import decode, encode
from bookwheel_catalog.models import BookHistory

_NO_MORE = -1  # in a cursor: this kind has been shown to its end


def read_history(books: BookReader, book_id: str, *, cursor: str | None, limit: int) -> BookHistory:
    """Up to `limit` of each kind, newest first. Raises NotFound for a book that never was, InvalidCursor."""
    before, sequence = _read_cursor(cursor, book_id)
    # one more than shown, to know whether there are more
    is_observed = before is None or before.observed_at != _NO_MORE
    observations = books.list_observations(book_id, limit=limit + 1, before=before) if is_observed else []
    changes = [] if sequence == _NO_MORE else books.list_changes(book_id, limit=limit + 1, before_sequence=sequence)
    if cursor is None and not observations and not changes:
        raise NotFoundError(f"There is no book {book_id}.")
    more_observations, more_changes = len(observations) > limit, len(changes) > limit
    observations, changes = observations[:limit], changes[:limit]
    following = None
    if more_observations or more_changes:
        oldest = observations[-1].cursor if more_observations else (_NO_MORE, _NO_MORE)
        following = encode([book_id, *oldest, changes[-1].sequence if more_changes else _NO_MORE])
    return BookHistory(book_id=book_id, observations=tuple(observations), changes=tuple(changes), next=following)


def _read_cursor(cursor: str | None, book_id: str) -> tuple[ObservationCursor | None, int | None]:
    if cursor is None:
        return None, None
    owner, observed_at, number, sequence = decode(cursor, least=4, most=4)
    if owner != book_id or not all(type(part) is int for part in (observed_at, number, sequence)):
        raise InvalidCursorError("The cursor belongs to another book's history.")
    if not (-1 <= observed_at < 1 << 45 and -1 <= number < 1 << 62 and -1 <= sequence < 1 << 62):
        raise InvalidCursorError("The cursor is malformed.")
    return ObservationCursor(observed_at, number), sequence
