"""What went wrong at Elasticsearch, and whether asking again may help."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import elasticsearch
from elasticsearch import ApiError

from bookwheel_stores.search.index_writer import IndexRejectedError, IndexUnavailableError

NO_ANSWER = (elasticsearch.ConnectionError, elasticsearch.ConnectionTimeout)
PASSING = frozenset({429, 500, 502, 503, 504})
"""Statuses that say nothing about what was sent: the same request may succeed later."""
_BLOCKED = "cluster_block_exception"  # 429 of a disk at its flood stage, 403 of an index made read-only
_HOPELESS = frozenset({401, 403, 404})


def is_passing(status: int, kind: str) -> bool:
    return status in PASSING and kind != _BLOCKED


def is_refusal(status: int, kind: str) -> bool:
    """Nobody's document is at fault, and trying again is of no use until an operator has done something."""
    return status in _HOPELESS or kind == _BLOCKED


def is_missing(error: ApiError) -> bool:
    return error.status_code == 404 and error.error == "index_not_found_exception"


def reason_of(error: Mapping[str, Any] | None) -> str:
    """One line of an error's JSON: its type and reason, and those of its cause."""
    if not error:
        return "no reason given"
    own = f"{error.get('type')}: {error.get('reason')}"
    cause = error.get("caused_by")
    return f"{own} ({reason_of(cause)})" if isinstance(cause, Mapping) else own


@contextmanager
def translated(server: str) -> Iterator[None]:
    """Raises what the client raises as an IndexAway or IndexRefused; but a bug of ours stays one."""
    try:
        yield
    except NO_ANSWER as error:
        raise IndexUnavailableError(f"Elasticsearch at {server} does not answer: {error.message}") from error
    except ApiError as error:
        told = f"{error.status_code} {error.error}"
        if is_passing(error.status_code, error.error):
            raise IndexUnavailableError(f"Elasticsearch at {server} is busy or starting: {told}") from error
        if is_refusal(error.status_code, error.error):
            raise IndexRejectedError(f"Elasticsearch at {server} refuses: {told}") from error
        raise
