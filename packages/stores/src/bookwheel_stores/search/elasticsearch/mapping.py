"""The Elasticsearch mapping, and the documents that fill it.

After a change of the fields, increment `fields.ELASTICSEARCH_INDEX`, the name of the alias and the indices.
"""

from typing import Any

from bookwheel_contracts import BookState

from bookwheel_stores.search.documents import Fields, build_fields, title_keys
from bookwheel_stores.search.fields import NUMERIC_SCALES, SORT_PRECISIONS, TERM_FIELDS, TEXT_FIELDS, to_sort_value
from bookwheel_stores.search.queries import SuggestionKind
from bookwheel_stores.search.scoring import title_factor

TITLE_KEY_FIELDS = ("by_title_1", "by_title_2", "by_title_3", "by_title_4")
"""The first 32 bytes of the folded title, eight per field, minus `TITLE_KEY_OFFSET` because integers are signed."""
TITLE_KEY_OFFSET = 1 << 63
TYPO_FIELD = "words_with_typos"
"""The field for matches with typos."""
_MAX_TERM_LENGTH = 8191  # characters: Lucene's terms have up to 32,766 bytes
_MAX_COMPLETION_LENGTH = 400

_TEXT = {"type": "text", "analyzer": "whitespace", "norms": False}
_KEYWORD = {"type": "keyword", "ignore_above": _MAX_TERM_LENGTH}
_VALUE_ONLY = {"type": "long", "index": False}  # for sorting and aggregations
_COMPLETION = {
    "type": "completion",
    "analyzer": "keyword",
    "preserve_separators": True,
    "max_input_length": _MAX_COMPLETION_LENGTH,
}


def prefix_field(kind: SuggestionKind) -> str:
    """Return the field for completion of exact prefixes."""
    return f"suggest_{kind}"


def completion_field(kind: SuggestionKind) -> str:
    """Return the field for completion of prefixes with typos."""
    return f"complete_{kind}"


def sort_field(name: str) -> str:
    return f"by_{name}"


_SORT_FIELDS = tuple((name, sort_field(name), precision) for name, precision in SORT_PRECISIONS.items())
_COMPLETION_FIELDS = tuple((prefix_field(kind), completion_field(kind)) for kind in SuggestionKind)


def index_body() -> dict[str, Any]:
    """Return settings and mappings of a new index.

    With one shard, the counts of terms aggregations are exact. Only writers refresh the index, after each batch.
    """
    properties: dict[str, Any] = {
        "number": {"type": "long"},
        "revision": _VALUE_ONLY,
        "digest": _VALUE_ONLY,  # checksum of id and revision, for the index sweep
        "removed": {"type": "boolean"},
        "id": _KEYWORD,
        "body": {"type": "text", "index": False, "store": True},
        "title_exact": _KEYWORD,
        "weight": {"type": "double", "index": False},  # `title_factor`: multiplies the score
        "in_stock": {"type": "boolean"},
        **{field.index_name: _TEXT for field in TEXT_FIELDS.values()},
        TYPO_FIELD: {**_TEXT, "index_options": "docs"},
        **dict.fromkeys(TERM_FIELDS, _KEYWORD),
        **{name: {"type": "long"} for name in NUMERIC_SCALES},
        **dict.fromkeys((*map(sort_field, SORT_PRECISIONS), *TITLE_KEY_FIELDS), _VALUE_ONLY),
    }
    for kind in SuggestionKind:
        properties[prefix_field(kind)] = {**_KEYWORD, "doc_values": False}
        properties[completion_field(kind)] = _COMPLETION
    return {
        "settings": {"number_of_shards": 1, "auto_expand_replicas": "0-1", "refresh_interval": "-1"},
        "mappings": {"dynamic": "strict", "_source": {"enabled": False}, "properties": properties},
    }


def build_document(book: BookState) -> Fields:
    """Return the document of a book. A removed book has a hidden document, so that a late write cannot restore it.

    Raises ValueError, KeyError or TypeError if the content is not a `BookContent`.
    """
    if book.removed:
        return {"number": book.number, "revision": book.revision, "removed": True, "id": book.book_id}
    fields, typo_texts, title_words = build_fields(book)
    fields["removed"] = False
    fields["body"] = book.content.decode()
    fields[TYPO_FIELD] = typo_texts
    fields["weight"] = title_factor(title_words, book.number)
    for name, key in zip(TITLE_KEY_FIELDS, title_keys(fields["title_exact"]), strict=True):
        fields[name] = key - TITLE_KEY_OFFSET
    for name, sort_name, precision in _SORT_FIELDS:
        units = fields.get(name)
        if units is not None:
            fields[sort_name] = to_sort_value(units, precision)
    for prefix_name, completion_name in _COMPLETION_FIELDS:
        inputs = fields.get(prefix_name)
        if inputs:
            fields[completion_name] = inputs
    return fields
