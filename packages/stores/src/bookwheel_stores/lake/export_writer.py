"""Writes a version of the catalog: every file in one pass over the books, the list of the files last."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, Literal, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from bookwheel_contracts.exports import Export, ExportFile

from bookwheel_stores.lake.book_tables import (
    BOOKS,
    OFFERS,
    CategoryCodes,
    books_table,
    coded,
    for_csv,
    parse_contents,
)
from bookwheel_stores.lake.dictionary import dictionary_table
from bookwheel_stores.lake.files import Lake

if TYPE_CHECKING:
    from bookwheel_stores.lake.silver import SilverSnapshot

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,80}", re.ASCII)
_REPEATED = [
    *("category", "category_code", "language", "price_currency", "rating", "stock", "in_stock", "source", "change"),
    *("sources.list.element", "authors.list.element"),
]
"""Columns whose values repeat. To try a dictionary on titles and descriptions as well took a tenth of the time."""
_OPEN_FILES = 100
_COMPRESSION = "zstd"
T = TypeVar("T")
_END: Any = object()
TableName = Literal["books", "offers", "categories", "dictionary"]
Kind = Literal["csv", "parquet"]


def write_export(lake: Lake, silver: "SilverSnapshot", *, now: Callable[[], datetime]) -> Export:
    """Writes the version of the snapshot's sequence. An existing version is left as it is.

    The version exists once its list of files does. After a kill it is written again, under the same names.
    """
    version = silver.sequence
    existing = read_export(lake, version)
    if existing is not None:
        return existing
    codes, files = CategoryCodes(), ExportFiles(lake, version)
    with files.open("books", "parquet", coded(BOOKS)) as parquet, files.open("books", "csv", coded(BOOKS)) as csv:
        add_books(silver, codes, [parquet, csv])
    sources: set[str] = set()
    with files.open("offers", "parquet", coded(OFFERS)) as offers:
        for table in prefetched(silver.offers()):
            offers.add(codes.add_to(table))
            sources.update(table["source"].unique().to_pylist())
    for start in range(0, len(sources), _OPEN_FILES):
        _write_sources(files, silver, codes, sorted(sources)[start : start + _OPEN_FILES])
    files.describe(codes.categories)
    rows = {file.table: file.rows for file in files.written if file.format == "parquet"}
    export = Export(
        version=version, created_at=now(), books=rows["books"], offers=rows["offers"], files=tuple(files.written)
    )
    lake.write(list_path(version), export.model_dump_json().encode())
    return export


def _write_sources(
    files: "ExportFiles", silver: "SilverSnapshot", codes: CategoryCodes, sources: Sequence[str]
) -> None:
    """A file for each source, all in one pass over the offers."""
    with ExitStack() as open_files:
        by_source = {
            source: open_files.enter_context(files.open("offers", "csv", coded(OFFERS), source=source))
            for source in sources
        }
        for table in prefetched(silver.offers()):
            offers = codes.add_to(table)
            for source in table["source"].unique().to_pylist():
                if source in by_source:
                    by_source[source].add(offers.filter(pc.equal(offers["source"], source)))


def add_books(silver: "SilverSnapshot", codes: CategoryCodes, files: Sequence["TableFile"]) -> None:
    """Writes the unified table to each of the files, a bucket at a time."""
    for table in prefetched(silver.books()):
        rows = codes.add_to(table)
        for file in files:
            file.add(rows)


def read_export(lake: Lake, version: int) -> Export | None:
    path = list_path(version)
    return Export.model_validate_json(lake.read(path)) if lake.size(path) is not None else None


def export_versions(lake: Lake) -> list[int]:
    """The versions there are, newest first."""
    names = (file.path.rpartition("/")[2].removesuffix(".json") for file in lake.list("exports/versions"))
    return sorted((int(name) for name in names if name.isdecimal()), reverse=True)


def delete_export(lake: Lake, export: Export) -> None:
    """The list of files first: what is left after a kill is no version any more."""
    lake.delete([list_path(export.version), *(file.path for file in export.files)])


def sweep_exports(lake: Lake, *, before: datetime) -> int:
    """Removes the files, written before that time, of versions that do not exist: whoever was killed while making or
    removing one has left them, and the next one may well have another number. Returns how many files."""
    files = [file for kind in WRITERS for file in lake.list(f"exports/{kind}") if file.modified < before]
    known = {f"{version}" for version in export_versions(lake)}
    left = [file.path for file in files if (name := file.path.split("/")[2]).isdecimal() and name not in known]
    lake.delete(left)
    return len(left)


def list_path(version: int) -> str:
    return f"exports/versions/{version}.json"


class ExportFiles:
    """The files of one version. Each is published when its `with` ends."""

    def __init__(self, lake: Lake, version: int) -> None:
        self._lake = lake
        self._version = version
        self.written: list[ExportFile] = []

    @contextmanager
    def open(
        self, table: TableName, kind: Kind, schema: pa.Schema, *, source: str | None = None
    ) -> Iterator["TableFile"]:
        name = table if source is None else f"sources/{source_name(source)}"
        path = f"exports/{kind}/{self._version}/{name}.{kind}"
        with self._lake.writing(path) as file:
            sink = HashingSink(file)
            opened = TableFile(WRITERS[kind](sink, schema), as_text=kind == "csv")
            try:
                yield opened
            finally:
                opened.close()  # in any case: a writer that is collected later would write to a closed file
        found = {"rows": opened.rows, "size": sink.size, "sha256": sink.digest()}
        self.written.append(ExportFile(path=path, format=kind, table=table, source=source, **found))

    def describe(self, categories: dict[str, int]) -> None:
        codes = pa.array(categories.values(), pa.int32())
        named = pa.table({"category_code": codes, "category": pa.array(categories, pa.string())})
        described: tuple[tuple[TableName, pa.Table], ...] = (("categories", named), ("dictionary", dictionary_table()))
        for name, table in described:
            with self.open(name, "csv", table.schema) as file:
                file.add(table)


class TableFile:
    def __init__(self, writer: Any, *, as_text: bool) -> None:
        self._writer = writer
        self._as_text = as_text
        self.rows = 0

    def add(self, table: pa.Table) -> None:
        self.rows += table.num_rows
        if table.num_rows:
            self._writer.write_table(for_csv(table) if self._as_text else table)

    def close(self) -> None:
        self._writer.close()


def parquet_writer(sink: Any, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(sink, schema, compression=_COMPRESSION, use_dictionary=_REPEATED)


def csv_writer(sink: Any, schema: pa.Schema) -> pa_csv.CSVWriter:
    """RFC 4180 in UTF-8 with a head line. A missing value is an empty field, an empty text is `""`."""
    return pa_csv.CSVWriter(sink, for_csv(schema.empty_table()).schema)


WRITERS: Mapping[Kind, Callable[[Any, pa.Schema], Any]] = MappingProxyType(
    {"csv": csv_writer, "parquet": parquet_writer}
)


class HashingSink:
    """A file for writing once from the beginning, which knows the SHA-256 of what it was given."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0
        self.closed = False

    def write(self, content: Any) -> int:
        self._hash.update(content)
        written = self._file.write(content)
        self.size += written
        return written

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        """The file is flushed when it is published."""

    def close(self) -> None:
        self.closed = True

    def digest(self) -> str:
        return self._hash.hexdigest()


def source_name(source: str) -> str:
    """A file's name for a source, whatever it is called: its own where that is a plain one."""
    if _SAFE_NAME.fullmatch(source):
        return source
    return f"source.{hashlib.sha256(source.encode(errors='surrogatepass')).hexdigest()[:24]}"


def chunks(pages: Iterable[list[bytes]], kind: Kind) -> Iterator[bytes]:
    """The unified table as a stream, for whoever downloads a point of the feed of which no version is kept."""
    outbox, codes = Outbox(), CategoryCodes()
    with WRITERS[kind](outbox, coded(BOOKS)) as writer:
        for table in prefetched(books_table(parse_contents(page)) for page in pages if page):
            whole = codes.add_to(table)
            writer.write_table(for_csv(whole) if kind == "csv" else whole)
            yield outbox.take()
    yield outbox.take()


class Outbox:
    """A file for writing whose content is taken away piece by piece."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0
        self.closed = False

    def write(self, content: Any) -> int:
        self._parts.append(bytes(content))
        self._written += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        """What is written is taken by `take`."""

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def prefetched(items: Iterable[T]) -> Iterator[T]:
    """The same items, each produced by another thread while the one before is used."""
    remaining = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as pool:
        coming = pool.submit(next, remaining, _END)
        while (item := coming.result()) is not _END:
            coming = pool.submit(next, remaining, _END)
            yield item
