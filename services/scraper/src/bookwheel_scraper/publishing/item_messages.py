"""Encodes scraped books as item messages for the raw stream."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from bookwheel_contracts import FetchedPage, FieldFault, PageOutcome, RunPages
from bookwheel_contracts.crawls import SCHEMA_VERSION
from bookwheel_contracts.model import format_time
from pydantic import JsonValue

Payload = dict[str, JsonValue]
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class ScrapedBook(NamedTuple):
    """A book as a spider yields it: the URL of its page and a payload with the keys of `RAW_FIELDS`.

    `faults` are the fields that could not be read.
    """

    url: str
    payload: Payload
    faults: tuple[FieldFault, ...] = ()


def canonical_json(payload: Payload) -> bytes:
    """Encodes a payload as UTF-8 JSON with sorted keys and no spaces.

    Lone surrogates are replaced, because UTF-8 cannot encode them.
    """
    try:
        return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return orjson.dumps(_replace_lone_surrogates(payload), option=orjson.OPT_SORT_KEYS)


def _replace_lone_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_replace_lone_surrogates(element) for element in value]
    if isinstance(value, dict):
        return {name: _replace_lone_surrogates(element) for name, element in value.items()}
    return value


class ItemMessageBuilder:
    """Encodes the scraped books of one run as `RawItem` messages, and its pages as `RunPages` messages.

    `site` is the site of the run's start URL if the source does not declare it; otherwise None.
    """

    def __init__(self, *, run_id: str, source: str, traceparent: str, site: str | None = None) -> None:
        self._run_id = run_id
        self._source_name = source
        self._source = {"source": source} if site is None else {"source": source, "site": site}
        self._traceparent = traceparent

    def build(self, book: ScrapedBook, *, item_number: int) -> bytes:
        """Returns a `RawItem` as JSON.

        It does not use the model, which takes ten times as long. A test checks that both give the same fields.
        """
        payload = canonical_json(book.payload)
        faults = {"faults": [fault.model_dump() for fault in book.faults]} if book.faults else {}
        return orjson.dumps(
            {
                "kind": "item",
                "schema_version": SCHEMA_VERSION,
                "run_id": self._run_id,
                "item_number": item_number,
                **self._source,
                "url": book.url,
                "scraped_at": format_time(datetime.now(UTC)),
                "payload": orjson.Fragment(payload),
                "fingerprint": hashlib.sha256(payload).hexdigest(),
                **faults,
                "traceparent": self._traceparent,
            }
        )

    def build_pages(self, pages: Sequence[FetchedPage], *, first_page: int) -> bytes:
        """Builds a RunPages as JSON. `first_page` is the number of the first page."""
        message = RunPages(
            run_id=self._run_id,
            source=self._source_name,
            first_page=first_page,
            pages=tuple(pages),
            traceparent=self._traceparent,
        )
        return message.model_dump_json(exclude_none=True).encode()


def build_page(
    url: str,
    outcome: PageOutcome,
    *,
    reason: str | None = None,
    position: str | None = None,
    faults: Iterable[FieldFault] = (),
) -> FetchedPage:
    return FetchedPage(
        url=_shorten(url, 4096),
        outcome=outcome,
        reason=None if reason is None else _shorten(reason, 1000),
        position=None if position is None else _shorten(position, 200),
        faults=tuple(faults),
    )


def build_fault(field: str, code: str, text: str) -> FieldFault:
    return FieldFault(field=_shorten(field, 64), code=_shorten(code, 64), text=_shorten(text, 1000))


def _shorten(text: str, length: int) -> str:
    """Cuts a text of a page and replaces the characters that UTF-8 or a database cannot store."""
    return _LONE_SURROGATE.sub("\ufffd", text[:length]).replace("\0", "\ufffd")
