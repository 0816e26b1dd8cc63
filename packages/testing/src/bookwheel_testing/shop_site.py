"""A small bookshop on loopback. Tests configure failures of its pages."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Exchange(BaseHTTPRequestHandler):
    """One request and its response."""

    protocol_version = "HTTP/1.1"
    server: "ShopServer"

    def do_GET(self) -> None:
        site = self.server.site
        with site.lock:
            site.hits[self.path] += 1
            site.user_agents.add(self.headers.get("User-Agent", ""))
        time.sleep(site.delay)
        page = site.pages.get(self.path)
        if page is None:
            self.answer(b"<html>not here", status=404)
        elif callable(page):
            page(self, site.hits[self.path])
        else:
            self.answer(page)

    def answer(self, body: bytes, *, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        all_headers = {"Content_Type": "text/html; charset=utf-8", "Content_Length": str(len(body))} | headers
        for name, value in all_headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - name of the base class
        pass


Page = bytes | Callable[[Exchange, int], None]


class ShopServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    site: "Site"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # killed clients break their connections


@dataclass
class Site:
    """Pages by path, and the requests. A page is bytes or a function of the exchange and its number of requests."""

    url: str = ""
    pages: dict[str, Page] = field(default_factory=dict)
    delay: float = 0.0
    hits: Counter[str] = field(default_factory=Counter)
    user_agents: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fill(self, books: int, *, list_size: int = 20) -> None:
        """Adds the pages of a shop with toscrape markup."""
        numbers = list(range(1, books + 1))
        lists = [numbers[start : start + list_size] for start in range(0, books, list_size)] or [[]]
        for index, listed_numbers in enumerate(lists):
            next_path = f"/page-{index + 2}.html" if index + 1 < len(lists) else None
            links = [f"/books/{number}/index.html" for number in listed_numbers]
            self.pages["/" if index == 0 else f"/page-{index + 1}.html"] = list_page(links, next_path)
        for number in numbers:
            self.pages[f"/books/{number}/index.html"] = product_page(number)


def list_page(links: list[str], next_path: str | None = None) -> bytes:
    products = "".join(f'<article class="product_pod"><h3><a href="{link}">x</a></h3></article>' for link in links)
    pager = f'<ul class="pager"><li class="next"><a href="{next_path}">next</a></li></ul>' if next_path else ""
    return f"<html><body>{products}{pager}</body></html>".encode()


def product_page(number: int | str, *, title: str | None = None, price: str = "9.99", stock: int = 3) -> bytes:
    return (
        f'<html><body><div class="product_main"><h1>{title or f"Book {number}"}</h1><p class="price_color">£{price}</p>'
        f'<p class="star-rating Four"></p></div><table class="table table-striped"><tr><th>UPC</th><td>u{number}</td>'
        f"</tr><tr><th>Availability</th><td>In stock ({stock} available)</td></tr></table></body></html>"
    ).encode()


@contextmanager
def serving_site() -> Iterator[Site]:
    """Serves an empty site on a free port."""
    server = ShopServer(("127.0.0.1", 0), Exchange)
    server.site = Site(url=f"http://127.0.0.1:{server.server_address[1]}/")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
