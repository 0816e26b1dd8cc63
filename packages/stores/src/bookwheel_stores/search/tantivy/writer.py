"""Writes books to a Tantivy folder."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import tantivy
from bookwheel_contracts import BookState

from bookwheel_stores.search.digests import RangeSum
from bookwheel_stores.search.index_writer import IndexBusyError, RejectedBook
from bookwheel_stores.search.tantivy.contents import digests_of, sums_of
from bookwheel_stores.search.tantivy.documents import document_json
from bookwheel_stores.search.tantivy.schema import build_schema, register_tokenizer

_HEAP_BYTES = 64_000_000


class TantivyIndexWriter:
    """See `IndexWriter`. The lock is the operating system's: it ends with the process that held it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._schema = build_schema()
        index = tantivy.Index(self._schema, path=str(folder))
        register_tokenizer(index)
        index.config_reader("manual")
        try:
            # one thread: more would leave a segment each at every commit
            self._writer: tantivy.IndexWriter | None = index.writer(_HEAP_BYTES, 1)
        except ValueError as error:
            if "LockBusy" not in str(error):
                raise
            raise IndexBusyError(f"another writer holds {folder}") from error
        index.reload()
        self._index = index
        self._waiting: dict[int, int] = {}  # the revisions of what is not committed yet

    def apply(self, books: Sequence[BookState], *, commit: bool = True) -> list[RejectedBook]:
        writer = self._open_writer()
        indexed = self._indexed_revisions([book.number for book in books])
        indexed |= {book.number: self._waiting[book.number] for book in books if book.number in self._waiting}
        latest: dict[int, BookState] = {}
        for book in books:
            if book.revision >= indexed.get(book.number, 0):
                known = latest.setdefault(book.number, book)
                if book.revision > known.revision:
                    latest[book.number] = book
        try:
            for book in latest.values():
                if book.removed or book.number in indexed:
                    writer.delete_documents_by_term("id", book.book_id)
                if not book.removed:
                    writer.add_json(document_json(book))
                self._waiting[book.number] = book.revision
        except BaseException:
            writer.rollback()
            self._waiting.clear()
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

    def sums(self) -> dict[int, RangeSum]:
        return sums_of(self._index.searcher())

    def digests(self, numbers: range) -> dict[int, int]:
        return digests_of(self._index.searcher(), self._schema, numbers)

    def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.wait_merging_threads()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open_writer(self) -> tantivy.IndexWriter:
        if self._writer is None:
            raise ValueError("the index writer is closed")
        return self._writer

    def _commit(self, writer: tantivy.IndexWriter) -> None:
        writer.commit()
        self._waiting.clear()
        self._index.reload()

    def _indexed_revisions(self, numbers: Sequence[int]) -> dict[int, int]:
        searcher = self._index.searcher()
        if not numbers or not searcher.num_docs:
            return {}
        query = tantivy.Query.term_set_query(self._schema, "number", numbers)
        found = [address for _, address in searcher.search(query, limit=len(numbers), count=False).hits]
        revisions = searcher.fast_field_values("revision", found)
        return {
            int(number or 0): int(revision or 0)
            for number, revision in zip(searcher.fast_field_values("number", found), revisions, strict=True)
        }
