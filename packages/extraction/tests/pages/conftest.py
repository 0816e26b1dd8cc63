"""Reads tables of pages with the fields that they must give."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from bookwheel_extraction.pages import ExtractedBook, PageHints, PageKind, PageResult, read_page

TABLES = Path(__file__).parent / "tables"
DEFAULT_URL = "https://shop.example/b/7"
_TODAY = date(2026, 11, 29)


@dataclass(frozen=True)
class PageCase:
    """A page, its URL and hints, and the expected lines: `outcome`, then the fields of each book."""

    name: str
    page: str
    url: str = DEFAULT_URL
    hints: PageHints = field(default_factory=lambda: PageHints(today=_TODAY))
    encoding: str = "utf-8"
    expected: tuple[str, ...] = ()

    @property
    def body(self) -> bytes:
        return self.page.replace(r"\0", "\0").encode(self.encoding)

    def read(self) -> PageResult:
        return read_page(self.body, self.url, self.hints)


def load_table(path: Path) -> Iterator[PageCase]:
    """Cases start with `=== name`; lines of `@` set the URL and hints; the expected lines follow `---`."""
    for section in path.read_text().split("\n=== ")[1:]:
        name, _, rest = section.partition("\n")
        page, _, expected = rest.partition("\n---\n")
        lines = page.split("\n")
        case = PageCase(name=f"{path.stem}: {name.strip()}", page="")
        while lines[0].startswith("@"):
            directive, _, value = lines.pop(0).partition(" ")
            case = _apply(case, directive, value.strip())
        text = "\n".join(lines)
        if text.lstrip()[:1] in {"{", "["}:
            text = f'<html><head><script type="application/ld+json">\n{text}\n</script></head><body></body></html>'
        yield replace(case, page=text, expected=tuple(line for line in expected.split("\n") if line.strip()))


def _apply(case: PageCase, directive: str, value: str) -> PageCase:
    if directive in {"@url", "@encoding"}:
        return replace(case, **{directive[1:]: value})  # type: ignore[arg-type]  # texts
    hints = case.hints
    changes: dict[str, dict[str, Any]] = {
        "@type": {"content_type": value},
        "@link": {"link_headers": (*hints.link_headers, value)},
        "@kind": {"kind": next((kind for kind in PageKind if kind == value), hints.kind)},
        "@currency": {"currency": value},
        "@country": {"country": value},
        "@redirect": {"other_urls": (*hints.other_urls, value)},
    }
    return replace(case, hints=replace(hints, **changes[directive]))


def render(page: PageResult) -> tuple[str, ...]:
    """Render a result as the tables state it."""
    lines = [page.outcome.value]
    if page.position:
        lines.append(f"at {page.position}")
    lines.extend(f"page fault {fault.code}" for fault in page.faults)
    lines.extend(f"link {url}" for url in page.book_links)
    lines.extend(f"next {url}" for url in page.next_pages)
    for book in page.books:
        lines.extend(render_book(book))
    return tuple(lines)


def render_book(book: ExtractedBook) -> Iterator[str]:
    yield f"* {book.value('title')}"
    if book.url != DEFAULT_URL:
        yield f"url {book.url}"
    if book.key is not None:
        yield f"key {book.key}"
    for name in sorted(book.fields):
        if name != "title":
            yield f"{name} {_render_value(name, book.value(name))}"
    for fault in book.faults:
        yield f"fault {fault.field} {fault.code}"


_RENDERERS: dict[str, Callable[[Any], str]] = {
    "contributors": lambda people: "; ".join(
        person.name if person.role == "author" else f"{person.name} ({person.role})" for person in people
    ),
    "categories": " > ".join,
    "price": lambda price: f"{price.amount} {price.currency}",
    "list_price": lambda price: f"{price.amount} {price.currency}",
    "language": lambda language: str(language.tag),
    "series": lambda series: f"{series.name} #{series.position}" if series.position else str(series.name),
    "published": lambda date: "-".join(f"{part:02}" for part in (date.year, date.month, date.day) if part is not None),
}


def _render_value(name: str, value: Any) -> str:
    return _RENDERERS.get(name, str)(value)


ALL_CASES = [case for path in sorted(TABLES.glob("*.txt")) for case in load_table(path)]


@pytest.fixture(params=ALL_CASES, ids=lambda case: case.name)
def page_case(request: pytest.FixtureRequest) -> PageCase:
    case: PageCase = request.param
    return case


@pytest.fixture
def render_page() -> object:
    return render


@pytest.fixture
def all_page_cases() -> list[PageCase]:
    return ALL_CASES
