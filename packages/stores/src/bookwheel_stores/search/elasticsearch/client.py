"""Connect to Elasticsearch, and classify its errors as transient or permanent."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import elasticsearch
from elasticsearch import ApiError, Elasticsearch, OrjsonSerializer

from bookwheel_stores.search.elasticsearch.address import ElasticAddress
from bookwheel_stores.search.ports import IndexRejectedError, IndexUnavailableError

CONNECTION_ERRORS = (elasticsearch.ConnectionError, elasticsearch.ConnectionTimeout)
_CONNECTIONS = 16
_TRANSIENT_STATUSES = frozenset({429, 500, 502, 503, 504})
_BLOCKED = "cluster_block_exception"  # 429 at a disk's flood stage, 403 for a read-only index
_REJECTED_STATUSES = frozenset({401, 403, 404})


def connect(address: ElasticAddress, *, timeout: float) -> Elasticsearch:
    """Return a client without retries, because callers retry. It connects on first use."""
    return Elasticsearch(
        address.server,
        basic_auth=address.credentials,
        serializer=OrjsonSerializer(),
        request_timeout=timeout,
        max_retries=0,
        retry_on_timeout=False,
        connections_per_node=_CONNECTIONS,
        http_compress=False,
    )


def is_transient(status: int, error_type: str) -> bool:
    """Return whether the same request may succeed later."""
    return status in _TRANSIENT_STATUSES and error_type != _BLOCKED


def is_rejection(status: int, error_type: str) -> bool:
    """Return whether every request fails until an operator intervenes."""
    return status in _REJECTED_STATUSES or error_type == _BLOCKED


def is_index_missing(error: ApiError) -> bool:
    return error.status_code == 404 and error.error == "index_not_found_exception"


def format_reason(error: Mapping[str, Any] | None) -> str:
    """Render type and reason of an error and of its causes on one line."""
    if not error:
        return "no reason given"
    reason = f"{error.get('type')}: {error.get('reason')}"
    cause = error.get("caused_by")
    return f"{reason} ({format_reason(cause)})" if isinstance(cause, Mapping) else reason


@contextmanager
def translate_errors(server: str) -> Iterator[None]:
    """Raise the client's errors as IndexUnavailableError or IndexRejectedError. Errors of invalid requests stay."""
    try:
        yield
    except CONNECTION_ERRORS as error:
        raise IndexUnavailableError(f"Elasticsearch at {server} is unavailable: {error.message}") from error
    except ApiError as error:
        reason = f"{error.status_code} {error.error}"
        if is_transient(error.status_code, error.error):
            raise IndexUnavailableError(f"Elasticsearch at {server} is overloaded or starting: {reason}") from error
        if is_rejection(error.status_code, error.error):
            raise IndexRejectedError(f"Elasticsearch at {server} rejects every request: {reason}") from error
        raise
