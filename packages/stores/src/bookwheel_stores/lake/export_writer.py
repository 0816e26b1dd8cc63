"""Writes, lists and deletes exports. An export consists of data files and a manifest, which is written last."""

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
    for_csv,
    parse_contents,
    with_category_code,
)
from bookwheel_stores.lake.dictionary import dictionary_table
from bookwheel_stores.lake.files import Lake

if TYPE_CHECKING:
    from bookwheel_stores.lake.silver import SilverSnapshot

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,80}", re.ASCII)
_DICTIONARY_COLUMNS = [
    *("category", "category_code", "language", "price_currency", "rating", "stock", "in_stock", "source", "change"),
    *("sources.list.element", "authors.list.element"),
]
"""Columns with repeated values. Dictionary encoding of the other columns would add a tenth to the duration."""
_MAX_OPEN_FILES = 100
_COMPRESSION = "zstd"
T = TypeVar("T")
_END: Any = object()
TableName = Literal["books", "offers", "categories", "dictionary"]
FileFormat = Literal["csv", "parquet"]


def write_export(lake: Lake, silver: "SilverSnapshot", *, now: Callable[[], datetime]) -> Export:
    """Writes an export: its data files, then its manifest. Returns an existing export of the same sequence unchanged.

    An export exists if its manifest exists. If the process is killed before, the same files are written again.
    """
    version = silver.sequence
    existing = read_export(lake, version)
    if existing is not None:
        return existing
    codes, files = CategoryCodes(), ExportFiles(lake, version)
    books_schema, offers_schema = with_category_code(BOOKS), with_category_code(OFFERS)
    with files.open("books", "parquet", books_schema) as parquet, files.open("books", "csv", books_schema) as csv:
        add_books(silver, codes, [parquet, csv])
    sources: set[str] = set()
    with files.open("offers", "parquet", offers_schema) as offers:
        for table in prefetch(silver.offers()):
            offers.add(codes.add_to(table))
            sources.update(table["source"].unique().to_pylist())
    for start in range(0, len(sources), _MAX_OPEN_FILES):
        _write_sources(files, silver, codes, sorted(sources)[start : start + _MAX_OPEN_FILES])
    files.write_lookup_tables(codes.categories)
    rows = {file.table: file.rows for file in files.written if file.format == "parquet"}
    export = Export(
        version=version,
        created_at=now(),
        books=rows["books"],
        offers=rows["offers"],
        files=tuple(sorted(files.written, key=lambda file: file.path)),
    )
    lake.write(manifest_path(version), export.model_dump_json().encode())
    return export


def _write_sources(
    files: "ExportFiles", silver: "SilverSnapshot", codes: CategoryCodes, sources: Sequence[str]
) -> None:
    """Writes one CSV file per source in a single pass over the offers."""
    with ExitStack() as open_files:
        files_by_source = {
            source: open_files.enter_context(files.open("offers", "csv", with_category_code(OFFERS), source=source))
            for source in sources
        }
        for table in prefetch(silver.offers()):
            offers = codes.add_to(table)
            for source in table["source"].unique().to_pylist():
                if source in files_by_source:
                    files_by_source[source].add(offers.filter(pc.equal(offers["source"], source)))


def add_books(silver: "SilverSnapshot", codes: CategoryCodes, files: Sequence["TableFile"]) -> None:
    """Writes the books table to each file, bucket by bucket."""
    for table in prefetch(silver.books()):
        rows = codes.add_to(table)
        for file in files:
            file.add(rows)


def read_export(lake: Lake, version: int) -> Export | None:
    path = manifest_path(version)
    return Export.model_validate_json(lake.read(path)) if lake.size(path) is not None else None


def export_versions(lake: Lake) -> list[int]:
    """Returns the versions of existing exports, newest first."""
    names = (file.path.rpartition("/")[2].removesuffix(".json") for file in lake.list("exports/versions"))
    return sorted((int(name) for name in names if name.isdecimal()), reverse=True)


def delete_export(lake: Lake, export: Export) -> None:
    """Deletes the manifest, then the data files. If the process is killed, the export does not exist any more."""
    lake.delete([manifest_path(export.version), *(file.path for file in export.files)])


def delete_orphaned_files(lake: Lake, *, before: datetime) -> int:
    """Deletes files older than `before` that belong to no export. Returns their number.

    Interrupted writes and deletions leave such files.
    """
    files = [file for file_format in WRITERS for file in lake.list(f"exports/{file_format}") if file.modified < before]
    versions = {f"{version}" for version in export_versions(lake)}
    orphans = [file.path for file in files if (name := file.path.split("/")[2]).isdecimal() and name not in versions]
    lake.delete(orphans)
    return len(orphans)


def manifest_path(version: int) -> str:
    return f"exports/versions/{version}.json"


class ExportFiles:
    """Writes the files of one export. Each file is published at the end of its `with`."""

    def __init__(self, lake: Lake, version: int) -> None:
        self._lake = lake
        self._version = version
        self.written: list[ExportFile] = []

    @contextmanager
    def open(
        self, table: TableName, file_format: FileFormat, schema: pa.Schema, *, source: str | None = None
    ) -> Iterator["TableFile"]:
        name = table if source is None else f"sources/{source_name(source)}"
        path = f"exports/{file_format}/{self._version}/{name}.{file_format}"
        with self._lake.open_for_write(path) as file:
            sink = HashingSink(file)
            table_file = TableFile(WRITERS[file_format](sink, schema), as_text=file_format == "csv")
            try:
                yield table_file
            finally:
                table_file.close()  # also after an error, because a later close would write to a closed file
        statistics = {"rows": table_file.rows, "size": sink.size, "sha256": sink.digest()}
        self.written.append(ExportFile(path=path, format=file_format, table=table, source=source, **statistics))

    def write_lookup_tables(self, categories: dict[str, int]) -> None:
        codes = pa.array(categories.values(), pa.int32())
        category_table = pa.table({"category_code": codes, "category": pa.array(categories, pa.string())})
        tables: list[tuple[TableName, pa.Table]] = [("categories", category_table), ("dictionary", dictionary_table())]
        for name, table in tables:
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
    return pq.ParquetWriter(sink, schema, compression=_COMPRESSION, use_dictionary=_DICTIONARY_COLUMNS)


def csv_writer(sink: Any, schema: pa.Schema) -> pa_csv.CSVWriter:
    """Writes CSV (RFC 4180) in UTF-8 with a header row. A missing value is an empty field, an empty string is `""`."""
    return pa_csv.CSVWriter(sink, for_csv(schema.empty_table()).schema)


WRITERS: Mapping[FileFormat, Callable[[Any, pa.Schema], Any]] = MappingProxyType(
    {"csv": csv_writer, "parquet": parquet_writer}
)


class HashingSink:
    """A write-only file that computes the SHA-256 of its content."""

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
        """Does nothing, because the file is flushed when it is published."""

    def close(self) -> None:
        self.closed = True

    def digest(self) -> str:
        return self._hash.hexdigest()


def source_name(source: str) -> str:
    """Returns the file name of a source: the name of the source if it is safe, else its digest."""
    if _SAFE_NAME.fullmatch(source):
        return source
    return f"source.{hashlib.sha256(source.encode(errors='surrogatepass')).hexdigest()[:24]}"


def stream_books(pages: Iterable[list[bytes]], file_format: FileFormat) -> Iterator[bytes]:
    """Renders the books of a snapshot in chunks, for downloads without an export."""
    buffer, codes = DrainableBuffer(), CategoryCodes()
    with WRITERS[file_format](buffer, with_category_code(BOOKS)) as writer:
        for table in prefetch(books_table(parse_contents(page)) for page in pages if page):
            rows = codes.add_to(table)
            writer.write_table(for_csv(rows) if file_format == "csv" else rows)
            yield buffer.drain()
    yield buffer.drain()


class DrainableBuffer:
    """A write-only buffer. `drain` returns and removes its content."""

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
        """Does nothing, because `drain` returns the whole content."""

    def close(self) -> None:
        self.closed = True

    def drain(self) -> bytes:
        chunk = b"".join(self._parts)
        self._parts.clear()
        return chunk


def prefetch(items: Iterable[T]) -> Iterator[T]:
    """Yields the same items. Computes the next item in a background thread."""
    remaining = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as pool:
        next_item = pool.submit(next, remaining, _END)
        while (item := next_item.result()) is not _END:
            next_item = pool.submit(next, remaining, _END)
            yield item
