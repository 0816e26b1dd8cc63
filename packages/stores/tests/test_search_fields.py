"""The index fields of both engines come from one declaration, and each adapter works without the other's library."""

import hashlib
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
import tantivy
from bookwheel_contracts import BookContent, BookState, Money
from bookwheel_stores.search.elasticsearch.mapping import build_document, index_body
from bookwheel_stores.search.fields import ELASTICSEARCH_INDEX, INDEX_FIELDS, TANTIVY_INDEX, TEXT_FIELDS
from bookwheel_stores.search.queries import SuggestionKind
from bookwheel_stores.search.scoring import FIELD_WEIGHTS
from bookwheel_stores.search.tantivy.schema import build_schema, document_json
from bookwheel_testing.sample_books import sample_book, sample_offer, state_of

FINGERPRINTS = {"books-v4": "e0e6278540af1ee2", "books-v2": "6c251d1f11b611b8"}
"""The fields of each index name."""


@pytest.fixture
def complete_book() -> BookState:
    """A book with a value in every field."""
    book = sample_book(
        1,
        subtitle="Poems",
        authors=("Ann Lee",),
        isbn13="9780306406157",
        category="Poetry",
        description="A quiet book.",
        language="en",
        price=Money(amount=Decimal("9.99"), currency="GBP"),
        rating=4.5,
        rating_count=3,
        stock=1,
        in_stock=True,
        image_url="http://shop/1.jpg",
        offers=(sample_offer(1, source="demo"),),
    )
    assert all(value not in (None, ()) for value in book.model_dump().values())
    return state_of(book)


def tantivy_schema(folder: Path) -> list[dict[str, Any]]:
    tantivy.Index(build_schema(), path=str(folder))
    schema: list[dict[str, Any]] = json.loads((folder / "meta.json").read_text())["schema"]
    return schema


def test_a_complete_book_fills_every_field_of_both_indices(tmp_path: Path, complete_book: BookState) -> None:
    assert set(orjson.loads(document_json(complete_book))) == {field["name"] for field in tantivy_schema(tmp_path)}
    assert set(build_document(complete_book)) == set(index_body()["mappings"]["properties"])


def test_every_declared_field_is_indexed_and_read_from_a_field_of_the_book(complete_book: BookState) -> None:
    content = orjson.loads(complete_book.content)
    assert set(content) == set(BookContent.model_fields)
    assert all(field.read(content) is not None for field in INDEX_FIELDS.values())
    assert all(field.read(content) for field in TEXT_FIELDS.values())
    document = build_document(complete_book)
    assert set(INDEX_FIELDS) <= set(document)
    assert {field.index_name for field in TEXT_FIELDS.values()} <= set(document)


def test_every_text_field_has_a_weight_and_every_suggested_field_a_kind() -> None:
    assert list(FIELD_WEIGHTS) == list(TEXT_FIELDS)
    assert [str(kind) for kind in SuggestionKind] == [name for name, field in TEXT_FIELDS.items() if field.is_suggested]


def test_changed_fields_need_a_new_index_name(tmp_path: Path) -> None:
    """After a change of the fields, increment the name in `fields` and replace its fingerprint here."""
    declared = {TANTIVY_INDEX: tantivy_schema(tmp_path), ELASTICSEARCH_INDEX: index_body()}
    fingerprints = {
        name: hashlib.sha256(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
        for name, fields in declared.items()
    }
    assert fingerprints == FINGERPRINTS


def search_without(library: str, url: str) -> None:
    """Build, write and search an index in a process where the library cannot be imported."""
    program = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {library!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocker())
from bookwheel_stores.search import open_index_build, open_index_reader, open_index_writer
from bookwheel_stores.search.fields import FACETS
from bookwheel_stores.search.queries import SearchQuery, SearchCriteria, Sort, SuggestionKind
from bookwheel_stores.search.text import parse_text
from bookwheel_testing.sample_books import sample_state

books = [sample_state(1), sample_state(2)]
with open_index_writer({url!r}) as writer:
    assert writer.apply(books[:1]) == []
with open_index_build({url!r}) as build:
    assert build.apply(books) == []
    build.lock()
    build.publish()
reader = open_index_reader({url!r})
page = reader.search(SearchQuery(SearchCriteria(parse_text("mon moon")), Sort.RELEVANCE, 10, facets=FACETS))
assert (page.total, len(page.items)) == (0, 0)
page = reader.search(SearchQuery(SearchCriteria(parse_text("mooon")), Sort.RELEVANCE, 10, facets=FACETS))
assert (page.total, len(page.items)) == (2, 2)
assert reader.statistics(SearchCriteria()).books == 2
assert [item.text for item in reader.suggest(["mo"], list(SuggestionKind), limit=3)] == ["The Moon"]
assert {library!r} not in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_elasticsearch_works_without_tantivy(elasticsearch_prefix: str, elasticsearch_server: str) -> None:
    search_without("tantivy", f"{elasticsearch_server.replace('http', 'elasticsearch')}/{elasticsearch_prefix}")


def test_tantivy_works_without_the_client_of_elasticsearch(tmp_path: Path) -> None:
    search_without("elasticsearch", f"tantivy://{tmp_path}/index")
