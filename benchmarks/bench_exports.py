"""An export of 100,000 books, compared with a pyarrow write of the same table, and its memory in a large catalog.

`python -m benchmarks.bench_exports peak-memory FOLDER` exports the lake in a folder and prints the peak memory in MB.
"""

import random
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from bookwheel_stores.lake import Lake, LakeAddress
from bookwheel_stores.lake.book_tables import BOOKS, CategoryCodes, with_category_code
from bookwheel_stores.lake.export_writer import ExportFiles, add_books, write_export
from bookwheel_stores.lake.silver import BUCKET_SIZE, Silver

from benchmarks.harness import compare, result, run
from benchmarks.results import Result, save

BOOKS_EXPORTED = 100_000
SMALL, LARGE = 10_000, 1_000_000
PEAK_MEMORY = "peak-memory"
_WORDS = [f"{first}{last}" for first in "bcdfghklmnprst" for last in ("a", "er", "ing", "one", "ul", "ish", "ave")]


def contents(first: int, books: int) -> list[bytes]:
    """Returns books of the change feed: descriptions of 60 words, 50 categories, one offer. Deterministic."""
    numbers = random.Random(first)
    return [_content(number, numbers) for number in range(first, first + books)]


def _content(number: int, numbers: random.Random) -> bytes:
    price = {"amount": f"{numbers.randint(100, 9999) / 100:.2f}", "currency": "GBP"}
    seen = "2026-01-31T08:15:00.000Z"
    facts = {"price": price, "stock": numbers.randint(0, 30), "in_stock": True}
    url = f"http://shop.example/catalogue/{number:016x}/index.html"
    book = {
        "id": f"demo:{number:016x}",
        "title": f"The {numbers.choice(_WORDS)} {numbers.choice(_WORDS)} {number}",
        "authors": [f"{numbers.choice(_WORDS)} {numbers.choice(_WORDS)}"],
        "isbn13": None,
        "category": f"Category {number % 50}",
        "description": " ".join(numbers.choices(_WORDS, k=60)),
        "language": None,
        "rating": float(numbers.randint(1, 5)),
        "rating_count": None,
        "image_url": f"http://shop.example/media/{number:016x}.jpg",
        "offers": [{"source": "demo", "url": url, "first_seen": seen, **facts}],
        "first_seen": seen,
        "last_changed": seen,
        "revision": 1,
        **facts,
    }
    return orjson.dumps(book)


def create_silver(folder: Path, books: int) -> Silver:
    """Creates a lake with this number of books in silver, as the processor writes it."""
    silver = Silver(Lake(LakeAddress(folder.as_uri())))
    silver.load_books()
    for bucket in range(0, books, BUCKET_SIZE):
        last = min(bucket + BUCKET_SIZE, books)
        pages = (contents(first, min(5000, last - first)) for first in range(bucket, last, 5000))
        silver.write_books(bucket // BUCKET_SIZE, pages, cursor=1)
    return silver


def compare_with_pyarrow(folder: Path) -> Result:
    silver = create_silver(folder, BOOKS_EXPORTED)
    table = CategoryCodes().add_to(pa.concat_tables(silver.snapshot().books()))
    versions = count(1)

    def ours() -> float:
        """Writes the unified table of an export: reads silver, computes a checksum, flushes and publishes the file."""
        started = time.perf_counter()
        with ExportFiles(silver.lake, next(versions)).open("books", "parquet", with_category_code(BOOKS)) as file:
            add_books(silver.snapshot(), CategoryCodes(), [file])
        return BOOKS_EXPORTED / (time.perf_counter() - started)

    def bare() -> float:
        started = time.perf_counter()
        pq.write_table(table, folder / "bare.parquet", compression="zstd")
        return BOOKS_EXPORTED / (time.perf_counter() - started)

    return compare("export of 100,000 books as Parquet", ours=ours, floor=bare, bound=0.5, unit="books/s", rounds=9)


def compare_memory(folder: Path) -> Result:
    """Compares the peak memory of a process that writes an export of a large and of a small catalog."""
    peaks = []
    for books in (SMALL, LARGE):
        create_silver(folder / str(books), books)
        command = [sys.executable, "-m", "benchmarks.bench_exports", PEAK_MEMORY, str(folder / str(books))]
        peaks.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        print(f"{books:,} books: {peaks[-1]:,.0f} MB", flush=True)
    name = f"memory of an export, {SMALL:,} books over {LARGE:,}"
    return result(name, [1000 / peaks[1]], [1000 / peaks[0]], bound=0.5, unit="1/GB")


def print_peak_memory(folder: Path) -> None:
    lake = Lake(LakeAddress(folder.as_uri()))
    write_export(lake, Silver(lake).snapshot(), now=lambda: datetime.now(UTC))
    # Not getrusage: after fork and exec it still reports the parent's peak.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(int(peak[1]) / 1024 if peak else "unknown")


def main(arguments: list[str]) -> None:
    if arguments[:1] == [PEAK_MEMORY]:
        print_peak_memory(Path(arguments[1]))
        return
    with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as name:
        save([compare_with_pyarrow(Path(name) / "pyarrow"), compare_memory(Path(name) / "memory")])


if __name__ == "__main__":
    run(main)
