"""Reads pages of a book's history: its observed prices and stocks, and its changes."""

from bookwheel_contracts.problems import InvalidCursorError, NotFoundError
from bookwheel_stores.records import BookReader
from bookwheel_stores.records.catalog.book_reader import ObservationCursor

from bookwheel_catalog.books.models import BookHistory
from bookwheel_catalog.search.cursors import decode_cursor, encode_cursor

_EXHAUSTED = -1
"""In a cursor: the previous page had the last entry of this kind."""


def read_history(books: BookReader, book_id: str, *, cursor: str | None, limit: int) -> BookHistory:
    """Returns up to `limit` observations and changes each, newest first. Raises NotFoundError or InvalidCursorError."""
    before_observation, before_sequence = _decode(cursor, book_id)
    has_observations = before_observation is None or before_observation.observed_at != _EXHAUSTED
    # an additional row shows that there is a next page
    observations = (
        books.list_observations(book_id, limit=limit + 1, before=before_observation) if has_observations else []
    )
    changes = (
        []
        if before_sequence == _EXHAUSTED
        else books.list_changes(book_id, limit=limit + 1, before_sequence=before_sequence)
    )
    if cursor is None and not observations and not changes:
        raise NotFoundError(f"Book {book_id} does not exist.")
    has_more_observations, has_more_changes = len(observations) > limit, len(changes) > limit
    observations, changes = observations[:limit], changes[:limit]
    next_cursor = None
    if has_more_observations or has_more_changes:
        observation_cursor = observations[-1].cursor if has_more_observations else (_EXHAUSTED, _EXHAUSTED)
        next_cursor = encode_cursor(
            [book_id, *observation_cursor, changes[-1].sequence if has_more_changes else _EXHAUSTED]
        )
    return BookHistory(book_id=book_id, observations=tuple(observations), changes=tuple(changes), next=next_cursor)


def _decode(cursor: str | None, book_id: str) -> tuple[ObservationCursor | None, int | None]:
    if cursor is None:
        return None, None
    cursor_book_id, observed_at, number, sequence = decode_cursor(cursor, min_parts=4, max_parts=4)
    if cursor_book_id != book_id or not all(type(part) is int for part in (observed_at, number, sequence)):
        raise InvalidCursorError("`cursor` is invalid: it belongs to another book's history.")
    if not (-1 <= observed_at < 1 << 45 and -1 <= number < 1 << 62 and -1 <= sequence < 1 << 62):
        raise InvalidCursorError("`cursor` is invalid: use `next` of the previous page.")
    return ObservationCursor(observed_at, number), sequence
