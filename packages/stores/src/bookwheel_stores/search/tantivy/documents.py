"""Compiles a book's content to the fields of the Tantivy mapping, as JSON.

Tantivy reads a document's JSON in 15 µs; a `tantivy.Document` that is filled field by field takes three times as long.
"""

import struct
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson
from bookwheel_contracts import BookState

from bookwheel_stores.search.digests import digest
from bookwheel_stores.search.folding import folded_text, folded_words
from bookwheel_stores.search.number_units import price_units, rating_units
from bookwheel_stores.search.tantivy.schema import (
    MAX_NUMBER,
    NUMBER_BITS,
    SORT_FIELDS,
    TITLE_KEYS,
    TITLE_START,
    TYPOS_FIELD,
)

Fields = dict[str, Any]
_LARGEST_VALUE = (1 << (64 - NUMBER_BITS)) - 2
_NO_VALUE = _LARGEST_VALUE + 1
_SUGGESTED_WORDS = 6
_TITLE_BYTES = 8 * len(TITLE_KEYS)
_TITLE_KEYS = struct.Struct(f">{len(TITLE_KEYS)}Q")


def document_json(book: BookState) -> str:
    """The document of a book that is not removed. Raises ValueError for a number beyond `MAX_NUMBER`."""
    fields = document_fields(book)
    fields["body"] = b2a_base64(book.content, newline=False).decode()
    return orjson.dumps(fields).decode()


def document_fields(book: BookState) -> Fields:
    """All fields but the body, each with its value or a list of values. ValueError as `document_json`."""
    number = book.number
    if number > MAX_NUMBER:  # sort keys have no room for it
        raise ValueError(f"book number {number} is beyond {MAX_NUMBER}: this catalog needs the cluster engine")
    content = orjson.loads(book.content)
    fields = {"number": number, "revision": book.revision, "id": book.book_id}
    fields["digest"] = digest(book.book_id, book.revision)
    _add_text(fields, number, content)
    _add_facts(fields, content)
    _add_numbers(fields, number, content)
    return fields


def _add_text(fields: Fields, number: int, content: Mapping[str, Any]) -> None:
    title = folded_words(content["title"])
    joined = " ".join(title)
    fields["title"] = f"{TITLE_START} {joined}"
    fields["title_exact"] = joined
    fields.update(zip(TITLE_KEYS, title_keys(joined), strict=True))
    fields["weight"] = _weight(len(title), number)
    fields["suggest_title"] = _suggestions(title)
    with_typos = [joined]
    if content["authors"]:
        authors = [folded_words(author) for author in content["authors"]]
        fields["authors"] = names = [" ".join(words) for words in authors]
        fields["suggest_author"] = [start for words in authors for start in _suggestions(words)]
        with_typos += names
    if content["category"] is not None:
        fields["category_text"], fields["suggest_category"] = _category(content["category"])
        with_typos.append(fields["category_text"])
    fields[TYPOS_FIELD] = with_typos
    if content["description"] is not None:
        fields["description"] = folded_text(content["description"])


def title_keys(folded_title: str) -> tuple[int, ...]:
    """Unsigned 64-bit numbers that compare as the beginnings of titles do."""
    return _TITLE_KEYS.unpack(folded_title.encode()[:_TITLE_BYTES].ljust(_TITLE_BYTES, b"\0"))


def _weight(title_words: int, number: int) -> float:
    """What a match's score is multiplied by, under Tantivy's `log2(2 + weight)`: 1.968 to 2, shorter titles first.

    Numbers spread what else would be ties: 2,048 values is what the 24 bits of a score can tell apart.
    """
    return float(2 ** (2 - (min(title_words, 31) + number % 2048 / 2048) / 1000) - 2)


def _suggestions(words: Sequence[str]) -> list[str]:
    """A name is completed from the start of each of its first words."""
    starts = range(min(len(words), _SUGGESTED_WORDS))
    return [" ".join(words[start : start + _SUGGESTED_WORDS]) for start in starts]


@lru_cache(maxsize=4096)
def _category(name: str) -> tuple[str, list[str]]:
    """Folded, and its completions. Many books share one."""
    words = folded_words(name)
    return " ".join(words), _suggestions(words)


def _add_facts(fields: Fields, content: Mapping[str, Any]) -> None:
    for field in ("category", "language", "isbn13"):
        if content[field] is not None:
            fields[field] = content[field]
    if content["authors"]:
        fields["author"] = list(dict.fromkeys(content["authors"]))
    if content["offers"]:
        fields["source"] = list({offer["source"]: None for offer in content["offers"]})
    if content["price"] is not None:
        fields["currency"] = content["price"]["currency"]
    fields["in_stock"] = content["in_stock"]


def _add_numbers(fields: Fields, number: int, content: Mapping[str, Any]) -> None:
    """The filterable integers, and each order's key."""
    price = None if content["price"] is None else price_units(content["price"]["amount"])
    rating = None if content["rating"] is None else rating_units(content["rating"])
    stock = content["stock"]
    seen, changed = _milliseconds(content["first_seen"]), _milliseconds(content["last_changed"])
    for field, units in (
        ("price", price),
        ("rating", rating),
        ("rating_count", content["rating_count"]),
        ("stock", stock),
        ("first_seen", seen),
        ("last_changed", changed),
    ):
        if units is not None:
            fields[field] = units
    # keys have 38 bits for the value: cents up to 2.7 billion, and tenths of a second
    cents = None if price is None else price // 100
    for field, value in (("price", cents), ("rating", rating), ("stock", stock), ("last_changed", changed // 100)):
        up = down = _NO_VALUE
        if value is not None:
            up = min(max(value, 0), _LARGEST_VALUE)
            down = _LARGEST_VALUE - up
        fields[SORT_FIELDS[field]] = up << NUMBER_BITS | number
        fields[_DESCENDING[field]] = down << NUMBER_BITS | number
    newest = _LARGEST_VALUE - min(max(seen // 100, 0), _LARGEST_VALUE)
    fields[SORT_FIELDS["newest"]] = newest << NUMBER_BITS | number


_DESCENDING = {field: SORT_FIELDS[f"-{field}"] for field in ("price", "rating", "stock", "last_changed")}


def _milliseconds(moment: str) -> int:
    """From RFC 3339."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)
