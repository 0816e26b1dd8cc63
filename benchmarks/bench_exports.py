"""An export of 100,000 books beside a bare pyarrow write of the same table, and memory as the catalog grows."""

import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from bookwheel_stores.lake import Lake, LakeAddress, Silver
from bookwheel_stores.lake.book_tables import BOOKS, CategoryCodes, coded
from bookwheel_stores.lake.export_writer import ExportFiles, add_books
from bookwheel_stores.lake.silver import BUCKET, COMPRESSION

from benchmarks.book_contents import contents
from benchmarks.harness import Result, compare, result, save

BOOKS_EXPORTED = 100_000
SMALL, LARGE = 10_000, 1_000_000


def lake_of(folder: Path, books: int) -> Lake:
    """A lake whose silver holds that many books, as the processor writes it."""
    lake = Lake(LakeAddress(folder.as_uri()))
    for bucket in range(0, books, BUCKET):
        last = min(bucket + BUCKET, books)
        pages = (contents(first, min(5000, last - first)) for first in range(bucket, last, 5000))
        Silver(lake).write_books(bucket // BUCKET, pages)
    return lake


def beside_pyarrow(folder: Path) -> Result:
    lake = lake_of(folder, BOOKS_EXPORTED)
    table = CategoryCodes().add_to(pa.concat_tables(Silver(lake).catalog()))
    versions = count(1)

    def ours() -> float:
        """As a version's unified table is made: read from silver, hashed, flushed to the disk, published."""
        began = time.perf_counter()
        with ExportFiles(lake, next(versions)).open("books", "parquet", coded(BOOKS)) as file:
            add_books(lake, CategoryCodes(), [file])
        return BOOKS_EXPORTED / (time.perf_counter() - began)

    def bare() -> float:
        began = time.perf_counter()
        pq.write_table(table, folder / "bare.parquet", compression=COMPRESSION)
        return BOOKS_EXPORTED / (time.perf_counter() - began)

    return compare("export of 100,000 books as Parquet", ours=ours, floor=bare, bound=0.5, unit="books/s", rounds=9)


def memory(folder: Path) -> Result:
    """Peak memory of a process that makes a whole version: of the small catalog over that of the large one."""
    peaks = []
    for books in (SMALL, LARGE):
        lake_of(folder / str(books), books)
        command = [sys.executable, "-m", "benchmarks.export_once", str(folder / str(books))]
        peaks.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        print(f"{books:,} books: {peaks[-1]:,.0f} MB", flush=True)
    name = f"memory of an export, {SMALL:,} books over {LARGE:,}"
    return result(name, [1000 / peaks[1]], [1000 / peaks[0]], bound=0.5, unit="1/GB")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as name:
        save([beside_pyarrow(Path(name) / "beside"), memory(Path(name) / "memory")])
