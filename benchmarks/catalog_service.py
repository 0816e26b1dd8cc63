"""The catalog API without the rest of the suite, on the stores that a processor filled, and words to search for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bookwheel_testing.internal_tokens import internal_token, serving_keys
from bookwheel_testing.servers import answers, free_port, running

from benchmarks.processor_service import Processor
from benchmarks.sample_items import longest_words, scraped_books

NUMBERS = count(1000)
"""Each number is above every book's stock. So the filter `stock:0..number` matches all books, and is not cached."""
_COMMAND = Path(sys.prefix) / "bin" / "bookwheel-catalog"


@dataclass(frozen=True, slots=True)
class Catalog:
    url: str
    headers: dict[str, str]


@contextmanager
def running_catalog(processor: Processor) -> Iterator[Catalog]:
    with serving_keys() as jwks:
        url = f"http://127.0.0.1:{free_port()}"
        environment = processor.environment | {"BOOKWHEEL_JWKS_URL": jwks, "BOOKWHEEL_PORT": url.rpartition(":")[2]}
        log = processor.folder / "catalog.log"
        ready = f"{url}/livez"
        with running([_COMMAND, "serve"], log=log, ready=lambda: answers(ready), seconds=90, environment=environment):
            yield Catalog(url, {"Authorization": f"Bearer {internal_token()}"})


def search_words() -> list[str]:
    return longest_words(str(book.payload["title"]) for book in scraped_books(0, 300))
