"""Reads the schema.org data of a page from JSON-LD, microdata and RDFa into one kind of node."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bookwheel_runtime.logs import get_logger
from extruct.jsonld import JsonLdExtractor
from extruct.w3cmicrodata import MicrodataExtractor
from scrapy.http import HtmlResponse

logger = get_logger(__name__)
MAX_DEPTH = 30
MAX_NODES = 20_000
"""Limits per page; data beyond them is ignored."""
_PREFIX = re.compile(r"^(https?://(www\.)?schema\.org/|schema:)")


@dataclass(slots=True, eq=False)
class Node:
    """A schema.org thing: its types and its properties by short name. A value is text as written or another node."""

    types: frozenset[str] = frozenset()
    id: str | None = None
    properties: dict[str, list["Node | str"]] = field(default_factory=dict)

    @property
    def is_reference(self) -> bool:
        return self.id is not None and not self.types and not self.properties

    def values(self, *names: str) -> list["Node | str"]:
        """The values of the first of these properties with values."""
        for name in names:
            if values := self.properties.get(name):
                return values
        return []

    def nodes(self, *names: str) -> list["Node"]:
        """The nodes among the values of all these properties."""
        return [value for name in names for value in self.properties.get(name, ()) if isinstance(value, Node)]

    def text(self, *names: str) -> str | None:
        """The first text among the values of these properties, in order. A node counts by its name or value."""
        return next(self.texts(*names), None)

    def texts(self, *names: str) -> Iterator[str]:
        for name in names:
            for value in self.properties.get(name, ()):
                if isinstance(value, str):
                    yield value
                elif (text := value.text("name", "value")) is not None:
                    yield text

    def address(self, *names: str) -> str | None:
        """The first URL among the values of these properties."""
        for name in names:
            for value in self.properties.get(name, ()):
                address = value if isinstance(value, str) else value.text("url", "contentUrl") or value.id
                if address:
                    return address
        return None


def page_syntaxes(response: HtmlResponse) -> Iterator[list[Node]]:
    """The page's top-level nodes with resolved references, per syntax, fastest syntax first."""
    yield _linked(_json_ld(response))
    if b"itemscope" in response.body:
        yield _linked(_microdata(response))
    if b"typeof" in response.body:
        yield _sorted_by_content(_linked(_rdfa(response)))


def _json_ld(response: HtmlResponse) -> list[Node]:
    build = _Builder()
    for script in response.xpath('//script[starts-with(normalize-space(@type), "application/ld+json")]'):
        script.root.set("type", "application/ld+json")  # without parameters, which extruct does not match
        build.add(_extract(response, partial(JsonLdExtractor().extract_items, script.root)))
    return build.roots


def _microdata(response: HtmlResponse) -> list[Node]:
    build = _Builder()
    build.add(_extract(response, lambda: MicrodataExtractor().extract_items(response.selector.root, response.url)))
    return build.roots


def _rdfa(response: HtmlResponse) -> list[Node]:
    from extruct.rdfa import RDFaExtractor  # noqa: PLC0415 - rdflib takes a second to import, few pages need it

    build = _Builder()
    build.add(_extract(response, lambda: RDFaExtractor().extract(response.text, base_url=response.url)))
    return build.roots


def _sorted_by_content(roots: list[Node]) -> list[Node]:
    """Sorts nodes and values by content: RDFa yields an unordered graph, and pyRdfa's order differs per process.

    An unchanged page must give the same payload in every crawl.
    """
    for node in _walk(roots):
        for values in node.properties.values():
            values.sort(key=_content)
    return sorted(roots, key=_content)


def _content(value: Node | str) -> str:
    if isinstance(value, str):
        return value
    return " ".join(f"{name}={text}" for name in sorted(value.properties) for text in sorted(value.texts(name)))


def _extract(response: HtmlResponse, extractor: Callable[[], Any]) -> Any:
    try:
        return extractor()
    except Exception as error:  # noqa: BLE001 - parsers fail in any way on broken pages; the page's other data still counts
        logger.info("structured data unreadable", url=response.url, error=f"{type(error).__name__}: {error}"[:200])
        return []


class _Builder:
    """Builds nodes from the extractors' nested lists and dictionaries."""

    def __init__(self) -> None:
        self.roots: list[Node] = []
        self._nodes = 0

    def add(self, data: Any) -> None:
        for item in data if isinstance(data, list) else [data]:
            if not isinstance(item, dict):
                continue
            if isinstance(graph := item.get("@graph"), list):
                self.add(graph)
            elif isinstance(root := self._value(item, 0), Node):
                self.roots.append(root)

    def _value(self, data: Any, depth: int) -> Node | str | None:
        if isinstance(data, bool) or data is None or depth > MAX_DEPTH:
            return None
        if isinstance(data, str | int | float):
            return str(data)
        if not isinstance(data, dict):
            return None
        if "@value" in data:
            return self._value(data["@value"], depth)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            return None
        identity = data.get("@id", data.get("id") if "properties" in data else None)
        node = Node(_types(data), identity if isinstance(identity, str) else None)
        properties = data["properties"] if isinstance(data.get("properties"), dict) else data
        for name, values in properties.items():
            if name.startswith("@") or (properties is data and name == "type"):
                continue
            parsed = (self._value(value, depth + 1) for value in _flat(values))
            node.properties.setdefault(_short(name), []).extend(value for value in parsed if value is not None)
        return node


def _types(data: dict[str, Any]) -> frozenset[str]:
    return frozenset(_short(kind) for kind in _flat(data.get("@type", data.get("type"))) if isinstance(kind, str))


def _short(name: str) -> str:
    return _PREFIX.sub("", name)


def _flat(values: Any) -> Iterator[Any]:
    """The value itself, or the values of a list or `{"@list": […]}`, flattened by one level."""
    if isinstance(values, dict) and "@list" in values:
        values = values["@list"]
    if not isinstance(values, list):
        yield values
        return
    for value in values:
        if isinstance(value, list):
            yield from value
        else:
            yield value


def _linked(roots: list[Node]) -> list[Node]:
    """Replaces references by the nodes they name; returns the roots that no other node refers to."""
    by_id = {node.id: node for node in _walk(roots) if node.id is not None and not node.is_reference}
    referenced: set[int] = set()
    for node in _walk(roots):
        for values in node.properties.values():
            for position, value in enumerate(values):
                if isinstance(value, Node) and value.is_reference and value.id in by_id:
                    values[position] = by_id[value.id]
                    referenced.add(id(by_id[value.id]))
    return [root for root in roots if id(root) not in referenced] or roots


def _walk(roots: list[Node]) -> list[Node]:
    """All nodes below the roots, each once. Linked nodes may form cycles."""
    seen: dict[int, Node] = {}
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen[id(node)] = node
        waiting.extend(value for values in node.properties.values() for value in values if isinstance(value, Node))
    return list(seen.values())
