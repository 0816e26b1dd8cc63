"""Runs the real scraper in its own processes, and reads what it publishes."""

import sys
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bookwheel_contracts import (
    CrawlRequest,
    FetchedPage,
    RawItem,
    RunFinished,
    RunPages,
    RunStarted,
    parse_stream_message,
)
from bookwheel_contracts.redis_keys import CRAWL_STREAM, RAW_STREAM
from redis import Redis

from bookwheel_testing.servers import Server, start

FULL_SPEED = "[politeness]\ndelay = 0\nconcurrency = 8\nautothrottle = false\n"
"""Politeness of a source on this machine, as TOML."""


@dataclass
class Messages:
    """The messages that a crawl published."""

    started: list[RunStarted]
    items: list[RawItem]
    finished: list[RunFinished]
    page_messages: list[RunPages] = field(default_factory=list)

    @property
    def end(self) -> RunFinished:
        assert len(self.finished) == 1
        return self.finished[0]

    @property
    def pages(self) -> dict[int, FetchedPage]:
        """The pages by number."""
        return {
            number: page
            for message in self.page_messages
            for number, page in enumerate(message.pages, start=message.first_page)
        }

    @property
    def keys(self) -> list[str]:
        return [str(item.payload.get("key")) for item in self.items]


def read_messages(redis_url: str) -> Messages:
    client = Redis.from_url(redis_url)
    entries: Any = client.xrange(RAW_STREAM)
    client.close()
    messages = Messages([], [], [])
    for _entry_id, fields in entries:
        message = parse_stream_message(fields[b"body"])
        if isinstance(message, RunStarted):
            messages.started.append(message)
        elif isinstance(message, RunFinished):
            messages.finished.append(message)
        elif isinstance(message, RunPages):
            messages.page_messages.append(message)
        else:
            messages.items.append(message)
    return messages


def crawl_request(source: str, start_url: str | None = None) -> CrawlRequest:
    traceparent = f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01"
    return CrawlRequest(
        run_id=str(uuid.uuid4()),
        source=source,
        start_url=start_url,
        requested_at=datetime.now(UTC),
        requested_by="test",
        traceparent=traceparent,
    )


@dataclass
class Crawls:
    """Starts crawls of the source `shop`, which is the test site."""

    folder: Path
    redis_url: str
    environment: dict[str, str]
    servers: list[Server] = field(default_factory=list)

    def declare(self, start_urls: list[str], *, keys: str = "", tables: str = FULL_SPEED) -> None:
        """Declares the source. `keys` and `tables` are additional TOML."""
        urls = ", ".join(f'"{url}"' for url in start_urls)
        text = f'name = "shop"\ntitle = "Shop"\nspider = "toscrape"\nstart_urls = [{urls}]\n{keys}\n{tables}'
        (self.folder / "shop.toml").write_text(text)

    def start(self, request: CrawlRequest, **settings: str) -> Server:
        module = "bookwheel_scraper.crawl.process"
        command = [sys.executable, "-m", module, "--request", request.model_dump_json()]
        self.servers.append(start(command, log=self.log, environment=self.environment | settings))
        return self.servers[-1]

    def serve(self, **settings: str) -> Server:
        command: list[str | Path] = [Path(sys.executable).parent / "bookwheel-scraper", "serve"]
        self.servers.append(start(command, log=self.log, environment=self.environment | settings))
        return self.servers[-1]

    def run(self, request: CrawlRequest | None = None, **settings: str) -> Messages:
        """Runs a crawl until it has ended, and returns its messages."""
        server = self.start(request or crawl_request("shop"), **settings)
        try:
            status = server.process.wait(120)
        finally:
            server.stop()
        assert status == 0, self.log.read_text()
        return read_messages(self.redis_url)

    def stop(self) -> None:
        """Stops all running scrapers."""
        for server in self.servers:
            server.stop(seconds=15)

    @property
    def log(self) -> Path:
        return self.folder / "scraper.log"


def request_crawl(redis_url: str, request: CrawlRequest) -> None:
    """Publishes a crawl request as the API does."""
    client = Redis.from_url(redis_url)
    client.xadd(CRAWL_STREAM, {b"body": request.model_dump_json()})
    client.close()
