"""Compile the content of a book to the index fields that both engines use."""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import orjson
from bookwheel_contracts import BookState

from bookwheel_stores.search.fields import INDEX_FIELDS, TEXT_FIELDS, TITLE_START
from bookwheel_stores.search.ports import digest
from bookwheel_stores.search.queries import TITLE_PARTS
from bookwheel_stores.search.text import fold_quickly, fold_words

Fields = dict[str, Any]
_COMPLETED_WORDS = 6
_TITLE_BYTES = 8 * TITLE_PARTS
_TITLE_KEYS = struct.Struct(f">{TITLE_PARTS}Q")
_VALUES = tuple((name, field.read) for name, field in INDEX_FIELDS.items())
_UNSUGGESTED_TEXTS = tuple((field.index_name, field.read) for field in TEXT_FIELDS.values() if not field.is_suggested)
_SUGGESTED_TEXTS = tuple(
    (field.index_name, f"suggest_{name}", field.read, field.allows_typos)
    for name, field in TEXT_FIELDS.items()
    if field.is_suggested
)


def build_fields(book: BookState) -> tuple[Fields, list[str], int]:
    """Return the index fields of an existing book, its folded texts for matches with typos, and its title's word count.

    Raises ValueError, KeyError or TypeError if the content is not a `BookContent`.
    """
    content = orjson.loads(book.content)
    fields: Fields = {
        "number": book.number,
        "revision": book.revision,
        "id": book.book_id,
        "digest": digest(book.book_id, book.revision),
    }
    typo_texts: list[str] = []
    title_words = 0
    for index_name, read in _UNSUGGESTED_TEXTS:
        texts = read(content)
        if texts:
            fields[index_name] = [fold_quickly(text) for text in texts]
    for index_name, suggest_name, read, allows_typos in _SUGGESTED_TEXTS:
        texts = read(content)
        if not texts:
            continue
        folded = [_fold(text) for text in texts]
        fields[index_name] = joined = [text for text, _, _ in folded]
        fields[suggest_name] = (
            folded[0][1] if len(folded) == 1 else [start for _, starts, _ in folded for start in starts]
        )
        if allows_typos:
            typo_texts += joined
        if index_name == "title":
            title_words = folded[0][2]
            fields["title_exact"] = joined[0]
            fields["title"] = f"{TITLE_START} {joined[0]}"
    for name, read in _VALUES:
        value = read(content)
        if value is not None:
            fields[name] = value
    return fields, typo_texts, title_words


@lru_cache(maxsize=8192)
def _fold(text: str) -> tuple[str, Sequence[str], int]:
    """Return the joined folded words, the completions that start at each of the first words, and the word count."""
    words = fold_words(text)
    starts = range(min(len(words), _COMPLETED_WORDS))
    completions = [" ".join(words[start : start + _COMPLETED_WORDS]) for start in starts]
    return " ".join(words), completions, len(words)


def title_keys(folded_title: str) -> tuple[int, ...]:
    """Return unsigned 64-bit integers with the same order as the first 32 bytes of the title."""
    return _TITLE_KEYS.unpack(folded_title.encode()[:_TITLE_BYTES].ljust(_TITLE_BYTES, b"\0"))
