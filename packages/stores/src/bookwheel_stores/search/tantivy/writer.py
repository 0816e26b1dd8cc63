"""Write books to a Tantivy folder."""

from collections.abc import Sequence
from pathlib import Path

import tantivy
from bookwheel_contracts import BookState
from tantivy import FieldType, Query

from bookwheel_stores.search.ports import RANGE_SIZE, IndexBusyError, IndexWriter, RangeSum, RejectedBook
from bookwheel_stores.search.tantivy.queries import numbers_of
from bookwheel_stores.search.tantivy.schema import build_schema, document_json, index_folder, register_tokenizer

_HEAP_BYTES = 64_000_000


class TantivyIndexWriter(IndexWriter):
    """See `IndexWriter`. The operating system releases the lock of the folder when the process ends."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._schema = build_schema()
        index = tantivy.Index(self._schema, path=str(folder))
        register_tokenizer(index)
        index.config_reader("manual")
        try:
            # One thread, because each thread writes its own segment per commit.
            self._writer: tantivy.IndexWriter | None = index.writer(_HEAP_BYTES, 1)
        except ValueError as error:
            if "LockBusy" not in str(error):
                raise
            raise IndexBusyError(f"{folder} is unavailable: another writer holds its lock") from error
        index.reload()
        self._index = index
        self._uncommitted: dict[int, int] = {}  # revisions by book number

    def apply(self, books: Sequence[BookState], *, commit: bool = True) -> list[RejectedBook]:
        writer = self._open_writer()
        indexed = self._indexed_revisions([book.number for book in books])
        indexed |= {book.number: self._uncommitted[book.number] for book in books if book.number in self._uncommitted}
        latest: dict[int, BookState] = {}
        for book in books:
            if book.revision >= indexed.get(book.number, 0):
                previous = latest.setdefault(book.number, book)
                if book.revision > previous.revision:
                    latest[book.number] = book
        try:
            for book in latest.values():
                if book.removed or book.number in indexed:
                    writer.delete_documents_by_term("id", book.book_id)
                if not book.removed:
                    writer.add_json(document_json(book))
                self._uncommitted[book.number] = book.revision
        except BaseException:
            writer.rollback()
            self._uncommitted.clear()
            raise
        if commit:
            self._commit(writer)
        return []

    def clear(self) -> None:
        writer = self._open_writer()
        writer.delete_all_documents()
        self._commit(writer)

    def count(self) -> int:
        return self._index.searcher().num_docs

    def range_sums(self) -> dict[int, RangeSum]:
        searcher = self._index.searcher()
        if not searcher.num_docs:
            return {}
        ranges = {"histogram": {"field": "number", "interval": RANGE_SIZE, "min_doc_count": 1}}
        request = {"ranges": {**ranges, "aggs": {"digests": {"sum": {"field": "digest"}}}}}
        response = searcher.aggregate(Query.all_query(), request)
        return {
            int(bucket["key"]) // RANGE_SIZE: RangeSum(int(bucket["doc_count"]), int(bucket["digests"]["value"]))
            for bucket in response["ranges"]["buckets"]
        }

    def digests(self, numbers: range) -> dict[int, int]:
        searcher = self._index.searcher()
        if not numbers or not searcher.num_docs:
            return {}
        in_range = Query.range_query(
            self._schema,
            "number",
            FieldType.Unsigned,
            lower_bound=numbers.start,
            upper_bound=numbers.stop,
            include_upper=False,
        )
        return _values_by_number(searcher, in_range, "digest", limit=len(numbers))

    def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.wait_merging_threads()

    def _open_writer(self) -> tantivy.IndexWriter:
        if self._writer is None:
            raise ValueError("the index writer is closed")
        return self._writer

    def _commit(self, writer: tantivy.IndexWriter) -> None:
        writer.commit()
        self._uncommitted.clear()
        self._index.reload()

    def _indexed_revisions(self, numbers: Sequence[int]) -> dict[int, int]:
        searcher = self._index.searcher()
        if not numbers or not searcher.num_docs:
            return {}
        query = Query.term_set_query(self._schema, "number", numbers)
        return _values_by_number(searcher, query, "revision", limit=len(numbers))


def _values_by_number(searcher: tantivy.Searcher, query: Query, field: str, *, limit: int) -> dict[int, int]:
    addresses = [address for _, address in searcher.search(query, limit=limit, count=False).hits]
    values = searcher.fast_field_values(field, addresses)
    return {number: int(value or 0) for number, value in zip(numbers_of(searcher, addresses), values, strict=True)}


def open_writer(path: Path) -> TantivyIndexWriter:
    """Open the serving folder. Raises IndexBusyError."""
    while True:
        folder = index_folder(path)
        writer = TantivyIndexWriter(folder)
        if index_folder(path) == folder:  # the lock now prevents a switch to another folder
            return writer
        writer.close()
