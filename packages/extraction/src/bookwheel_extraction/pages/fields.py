"""Reads the fields of one book from the nodes that describe it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bookwheel_extraction.pages.document import Document, clean_url, join_url
from bookwheel_extraction.pages.identifiers import KEY_PROPERTIES, isbn_texts, stated_isbns
from bookwheel_extraction.pages.models import MAX_FAULT_TEXT, FieldFault, FieldValue, Origin, Series, Syntax
from bookwheel_extraction.pages.nodes import ElementText, LinkText, Node, Value, text_of, url_of
from bookwheel_extraction.values.categories import parse_categories
from bookwheel_extraction.values.contributors import Contributor, Role, merge_contributors, parse_contributors
from bookwheel_extraction.values.counts import parse_count, parse_page_count
from bookwheel_extraction.values.dates import parse_date
from bookwheel_extraction.values.formats import BookFormat, parse_format
from bookwheel_extraction.values.identifiers import parse_isbn
from bookwheel_extraction.values.languages import parse_language
from bookwheel_extraction.values.parsed import Parsed
from bookwheel_extraction.values.ratings import parse_rating
from bookwheel_extraction.values.text import parse_prose, parse_text

MAX_VALUES = 200
_ROLES = {
    "author": Role.AUTHOR,
    "authors": Role.AUTHOR,
    "creator": Role.AUTHOR,
    "editor": Role.EDITOR,
    "translator": Role.TRANSLATOR,
    "illustrator": Role.ILLUSTRATOR,
    "readBy": Role.NARRATOR,
    "narrator": Role.NARRATOR,
    "contributor": Role.OTHER,
}


@dataclass(slots=True)
class FieldReader:
    """Collects the fields of a book. `own` are the nodes of the book or edition, `inherited` those of its work.

    Fields of one edition (ISBN, format, price, pages, date, key) are read from `own` only.
    """

    document: Document
    own: Sequence[Node]
    inherited: Sequence[Node] = ()
    breadcrumbs: Sequence[Node] = ()
    fields: dict[str, FieldValue] = field(default_factory=dict)
    faults: list[FieldFault] = field(default_factory=list)

    def read_all(self) -> None:
        nodes = (*self.own, *self.inherited)
        self._read("title", nodes, ("name", "headline"), parse_text)
        if "title" not in self.fields and self.document.headings:
            self._set("title", self.document.headings[0], (self.document.headings[0],), Syntax.HTML, "h1")
        self._read("subtitle", nodes, ("alternativeHeadline", "subtitle"), parse_text)
        self._read_contributors(nodes)
        self._read("publisher", nodes, ("publisher",), parse_text)
        self._read("published", self.own, ("datePublished", "releaseDate"), parse_date)
        self._read("pages", self.own, ("numberOfPages",), parse_page_count)
        self._read_format()
        self._read_series(nodes)
        self._read_categories(nodes)
        self._read("description", nodes, ("description", "abstract"), parse_prose)
        self._read("language", nodes, ("inLanguage", "language"), parse_language)
        self._read_isbn()
        self._read_rating(nodes)
        self._read_image(nodes)
        self._read("key", [node for node in self.own if node.syntax is not Syntax.CITATION], KEY_PROPERTIES, parse_text)

    def _set(self, name: str, value: Any, raw: Iterable[str], syntax: Syntax, path: str) -> None:
        self.fields[name] = FieldValue(value, tuple(raw), Origin(syntax, path))

    def _fault(self, name: str, code: str, text: str, syntax: Syntax, path: str) -> None:
        self.faults.append(FieldFault(name, code, text[:MAX_FAULT_TEXT], Origin(syntax, path)))

    def _read(
        self, name: str, nodes: Sequence[Node], properties: Sequence[str], parse: Callable[[str], Parsed[Any]]
    ) -> None:
        """Read a field with one value: the first readable text. Its faults count only if no text is readable."""
        faults: list[tuple[Parsed[Any], Node, str]] = []
        for node in nodes:
            for property_name in properties:
                for value in node.properties.get(property_name, ())[:MAX_VALUES]:
                    text = text_of(value)
                    if text is None or not text.strip():
                        continue
                    parsed = parse(text)
                    if parsed.value is not None:
                        self._set(name, parsed.value, (text,), node.syntax, _path(node, property_name))
                        return
                    if parsed.fault is not None:
                        faults.append((parsed, node, property_name))
        for parsed, node, property_name in faults[:1]:
            if parsed.fault is not None:
                self._fault(name, parsed.fault.code, parsed.fault.text, node.syntax, _path(node, property_name))

    def _read_contributors(self, nodes: Sequence[Node]) -> None:
        """Read the contributors of the first syntax that names an author, in the order of the page."""
        groups: list[tuple[Node, list[Contributor], list[str]]] = []
        for node in nodes:
            contributors: list[Contributor] = []
            raw: list[str] = []
            for name, value in node.members:
                role = _ROLES.get(name)
                if role is None or len(raw) >= MAX_VALUES:
                    continue
                text, own_role = _contributor_text(value)
                if text is None or not text.strip():
                    continue
                raw.append(text)
                parsed = parse_contributors(f"{text} ({own_role})" if own_role else text, role)
                if parsed.value is not None:
                    contributors.extend(parsed.value)
                elif parsed.fault is not None:
                    self._fault("contributors", parsed.fault.code, parsed.fault.text, node.syntax, _path(node, name))
            if contributors:
                groups.append((node, contributors, raw))
        if not groups:
            return
        # The first description that names an author wins. The others complete the roles.
        first = next((group for group in groups if _has_author(group[1])), groups[0])
        others = [
            [contributor for contributor in group[1] if contributor.role is not Role.AUTHOR]
            for group in groups
            if group is not first
        ]
        merged = merge_contributors([first[1], *others])
        self._set("contributors", merged, first[2], first[0].syntax, _path(first[0], "author"))
        self.faults = [fault for fault in self.faults if fault.field != "contributors"]

    def _read_format(self) -> None:
        self._read("format", self.own, ("bookFormat",), parse_format)
        if "format" not in self.fields:
            for node in self.own:
                if "Audiobook" in node.types:
                    self._set("format", BookFormat.AUDIOBOOK, ("Audiobook",), node.syntax, f"{node.type_name}.@type")
                    return

    def _read_series(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            for property_name in ("isPartOf", "series", "partOfSeries"):
                for value in node.properties.get(property_name, ())[:MAX_VALUES]:
                    is_series = property_name != "isPartOf"
                    position = None
                    if isinstance(value, Node):
                        is_series = is_series or any("Series" in type_name for type_name in value.types)
                        position = value.text("position", "volumeNumber")
                    name = parse_text(text_of(value) or "").value
                    if not is_series or not name:
                        continue
                    position = position or node.text("position", "volumeNumber", "seriesPosition")
                    clean_position = parse_text(position).value if position else None
                    self._set("series", Series(name, clean_position), (name,), node.syntax, _path(node, property_name))
                    return

    def _read_categories(self, nodes: Sequence[Node]) -> None:
        title = self.fields["title"].value if "title" in self.fields else None
        for breadcrumb in self.breadcrumbs:
            texts = _breadcrumb_texts(breadcrumb)
            parsed = parse_categories(texts, title=title)
            if parsed.value:
                self._set("categories", parsed.value, texts, breadcrumb.syntax, "BreadcrumbList.itemListElement")
                return
        for property_name in ("genre", "about", "category", "articleSection"):
            for node in nodes:
                values = node.properties.get(property_name, ())[:MAX_VALUES]
                texts = [text for value in values if (text := _category_text(value)) and text.strip()]
                parsed = parse_categories(texts, title=title)
                if parsed.value:
                    self._set("categories", parsed.value, texts, node.syntax, _path(node, property_name))
                    return

    def _read_isbn(self) -> None:
        texts = [(node, name, text) for node in self.own for name, text in isbn_texts(node) if text.strip()]
        for node, name, text in texts:
            isbns = stated_isbns(name, text)
            if len(isbns) > 1:
                isbns = tuple(isbn for isbn in isbns if isbn in self.document.url) or isbns
            if isbns:
                self._set("isbn", isbns[0], (text,), node.syntax, _path(node, name))
                return
        for node, name, text in texts:
            fault = parse_isbn(text).fault
            if fault is not None:
                self._fault("isbn", fault.code, fault.text, node.syntax, _path(node, name))
                return

    def _read_rating(self, nodes: Sequence[Node]) -> None:
        ratings = [(node, value) for node in nodes for value in node.properties.get("aggregateRating", ())[:MAX_VALUES]]
        faults: list[FieldFault] = []
        for node, value in ratings:
            rating = value if isinstance(value, Node) else Node(node.syntax)
            path = _path(node, "aggregateRating")
            count_text = rating.text("ratingCount", "reviewCount")
            if count_text and "rating_count" not in self.fields:
                count = parse_count(count_text)
                self._keep("rating_count", count, (count_text,), Origin(node.syntax, f"{path}.ratingCount"), faults)
            text = rating.text("ratingValue") if isinstance(value, Node) else text_of(value)
            if text and text.strip() and "rating" not in self.fields:
                best, worst = rating.text("bestRating"), rating.text("worstRating")
                raw = (text,) if best is None else (text, best)
                parsed = parse_rating(text, best, worst, count_text)
                self._keep("rating", parsed, raw, Origin(node.syntax, f"{path}.ratingValue"), faults)
        self.faults.extend(fault for fault in faults if fault.field not in self.fields)

    def _keep(
        self, name: str, parsed: Parsed[Any], raw: tuple[str, ...], origin: Origin, faults: list[FieldFault]
    ) -> None:
        if parsed.value is not None:
            self.fields[name] = FieldValue(parsed.value, raw, origin)
        elif parsed.fault is not None:
            faults.append(FieldFault(name, parsed.fault.code, parsed.fault.text, origin))

    def _read_image(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            for value in node.properties.get("image", ())[:MAX_VALUES]:
                href = url_of(value)
                url = join_url(self.document.base_url, href) if href else None
                if url is not None and urlsplit(url).path not in {"", "/"}:
                    self._set("image_url", clean_url(url), (href or "",), node.syntax, _path(node, "image"))
                    return


def _has_author(contributors: Sequence[Contributor]) -> bool:
    return any(contributor.role is Role.AUTHOR for contributor in contributors)


def _path(node: Node, name: str) -> str:
    return f"{node.type_name}.{name}"


def _contributor_text(value: Value, depth: int = 0) -> tuple[str | None, str | None]:
    """Return the name of a person and the role that the entity states."""
    if isinstance(value, LinkText):
        return value.text or None, None  # a URL is not a name
    if isinstance(value, ElementText):
        return value, None
    if isinstance(value, str):
        return (None if value.startswith(("http://", "https://", "//", "#", "_:")) else value), None
    role = value.text("roleName")
    name = value.text("name", "alternateName")
    if not name or not name.strip():
        parts = [value.text("givenName"), value.text("additionalName"), value.text("familyName")]
        name = " ".join(part.strip() for part in parts if part and part.strip()) or None
    if name is None and depth < 3:
        # A Role repeats the property: {"@type": "Role", "roleName": "translator", "author": {...}}
        for property_name in _ROLES:
            for inner in value.properties.get(property_name, ()):
                text, inner_role = _contributor_text(inner, depth + 1)
                if text:
                    return text, role or inner_role
    return name, role


def _category_text(value: Value) -> str | None:
    if isinstance(value, str) and not isinstance(value, LinkText) and value.startswith(("http://", "https://")):
        return None
    text = text_of(value)
    return None if text and text.startswith(("http://", "https://")) else text


def _breadcrumb_texts(node: Node) -> list[str]:
    """Return the names of a breadcrumb trail by their positions."""
    entries: list[tuple[int, int, str]] = []
    for order, element in enumerate(node.values("itemListElement")[:MAX_VALUES]):
        text: str | None
        position = None
        if isinstance(element, Node):
            position = parse_count(element.text("position") or "").value
            text = element.text("name")
            if not text or not text.strip():
                text = next((inner for item in element.values("item") if (inner := _category_text(item))), None)
        else:
            text = text_of(element)
        if text and text.strip():
            entries.append((order if position is None else position, order, text))
    if len({position for position, _, _ in entries}) < len(entries):
        entries.sort(key=lambda entry: entry[1])
    else:
        entries.sort()
    return [text for _, _, text in entries]
