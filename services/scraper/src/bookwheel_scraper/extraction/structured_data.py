"""Parses the schema.org data of a page (JSON-LD, microdata and RDFa) into nodes."""

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
"""Limits per page. Data that exceeds them is ignored."""
_PREFIX = re.compile(r"^(https?://(www\.)?schema\.org/|schema:)")


@dataclass(slots=True, eq=False)
class Node:
    """A schema.org node: its types, and its properties by short name.

    A value is another node, or text of the page without cleaning.
    """

    types: frozenset[str] = frozenset()
    id: str | None = None
    properties: dict[str, list["Node | str"]] = field(default_factory=dict)

    @property
    def is_reference(self) -> bool:
        return self.id is not None and not self.types and not self.properties

    def values(self, *names: str) -> list["Node | str"]:
        """The values of the first named property that has any."""
        for name in names:
            if values := self.properties.get(name):
                return values
        return []

    def nodes(self, *names: str) -> list["Node"]:
        """The values of all named properties that are nodes."""
        return [value for name in names for value in self.properties.get(name, ()) if isinstance(value, Node)]

    def text(self, *names: str) -> str | None:
        """The first text of the named properties. For a node, its `name` or `value` is used."""
        return next(self.texts(*names), None)

    def texts(self, *names: str) -> Iterator[str]:
        for name in names:
            for value in self.properties.get(name, ()):
                if isinstance(value, str):
                    yield value
                elif (text := value.text("name", "value")) is not None:
                    yield text

    def first_url(self, *names: str) -> str | None:
        """The first URL of the named properties."""
        for name in names:
            for value in self.properties.get(name, ()):
                url = value if isinstance(value, str) else value.text("url", "contentUrl") or value.id
                if url:
                    return url
        return None


def parse_nodes_by_syntax(response: HtmlResponse) -> Iterator[list[Node]]:
    """Yields the top-level nodes of each syntax with resolved references, the fastest syntax first."""
    yield _resolve_references(_parse_json_ld(response))
    if b"itemscope" in response.body:
        yield _resolve_references(_parse_microdata(response))
    if b"typeof" in response.body:
        yield _sort_by_content(_resolve_references(_parse_rdfa(response)))


def _parse_json_ld(response: HtmlResponse) -> list[Node]:
    builder = _NodeBuilder()
    for script in response.xpath('//script[starts-with(normalize-space(@type), "application/ld+json")]'):
        # extruct does not recognize the type if it has parameters, for example a charset.
        script.root.set("type", "application/ld+json")
        builder.add(_extract(response, partial(JsonLdExtractor().extract_items, script.root)))
    return builder.roots


def _parse_microdata(response: HtmlResponse) -> list[Node]:
    builder = _NodeBuilder()
    builder.add(_extract(response, lambda: MicrodataExtractor().extract_items(response.selector.root, response.url)))
    return builder.roots


def _parse_rdfa(response: HtmlResponse) -> list[Node]:
    from extruct.rdfa import RDFaExtractor  # noqa: PLC0415 - the import of rdflib takes a second, and few pages need it

    builder = _NodeBuilder()
    builder.add(_extract(response, lambda: RDFaExtractor().extract(response.text, base_url=response.url)))
    return builder.roots


def _sort_by_content(roots: list[Node]) -> list[Node]:
    """Sorts nodes and values, so that an unchanged page has the same payload in every crawl.

    RDFa is an unordered graph, and the order of pyRdfa differs between processes.
    """
    for node in _walk(roots):
        for values in node.properties.values():
            values.sort(key=_sort_key)
    return sorted(roots, key=_sort_key)


def _sort_key(value: Node | str) -> str:
    if isinstance(value, str):
        return value
    return " ".join(f"{name}={text}" for name in sorted(value.properties) for text in sorted(value.texts(name)))


def _extract(response: HtmlResponse, extract: Callable[[], Any]) -> Any:
    try:
        return extract()
    except Exception as error:  # noqa: BLE001 - on broken pages the parsers raise arbitrary errors; the other syntaxes are still read
        logger.info("structured data unreadable", url=response.url, error=f"{type(error).__name__}: {error}"[:200])
        return []


class _NodeBuilder:
    """Builds nodes from the output of extruct.

    JSON-LD and RDFa have the keys `@id` and `@type`; microdata has `id`, `type` and `properties`.
    """

    def __init__(self) -> None:
        self.roots: list[Node] = []
        self._node_count = 0

    def add(self, data: Any) -> None:
        for item in data if isinstance(data, list) else [data]:
            if not isinstance(item, dict):
                continue
            if isinstance(graph := item.get("@graph"), list):
                self.add(graph)
            elif isinstance(root := self._build_value(item, 0), Node):
                self.roots.append(root)

    def _build_value(self, data: Any, depth: int) -> Node | str | None:
        if isinstance(data, bool) or data is None or depth > MAX_DEPTH:
            return None
        if isinstance(data, str | int | float):
            return str(data)
        if not isinstance(data, dict):
            return None
        if "@value" in data:
            return self._build_value(data["@value"], depth)
        self._node_count += 1
        if self._node_count > MAX_NODES:
            return None
        node_id = data.get("@id", data.get("id") if "properties" in data else None)
        node = Node(_parse_types(data), node_id if isinstance(node_id, str) else None)
        properties = data["properties"] if isinstance(data.get("properties"), dict) else data
        for name, values in properties.items():
            if name.startswith("@") or (properties is data and name == "type"):
                continue
            parsed = (self._build_value(value, depth + 1) for value in _flatten(values))
            node.properties.setdefault(_remove_prefix(name), []).extend(value for value in parsed if value is not None)
        return node


def _parse_types(data: dict[str, Any]) -> frozenset[str]:
    return frozenset(
        _remove_prefix(name) for name in _flatten(data.get("@type", data.get("type"))) if isinstance(name, str)
    )


def _remove_prefix(name: str) -> str:
    return _PREFIX.sub("", name)


def _flatten(values: Any) -> Iterator[Any]:
    """Yields the value, or the values of a list or `{"@list": […]}`, flattened by one level."""
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


def _resolve_references(roots: list[Node]) -> list[Node]:
    """Replaces each reference with its node.

    Returns the roots that no node refers to; all roots if there is no such root.
    """
    nodes_by_id = {node.id: node for node in _walk(roots) if node.id is not None and not node.is_reference}
    referenced_ids: set[int] = set()
    for node in _walk(roots):
        for values in node.properties.values():
            for position, value in enumerate(values):
                if isinstance(value, Node) and value.is_reference and value.id in nodes_by_id:
                    values[position] = nodes_by_id[value.id]
                    referenced_ids.add(id(nodes_by_id[value.id]))
    return [root for root in roots if id(root) not in referenced_ids] or roots


def _walk(roots: list[Node]) -> list[Node]:
    """Returns the roots and all nodes below them, without duplicates. The graph can have cycles."""
    seen: dict[int, Node] = {}
    pending = list(roots)
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen[id(node)] = node
        pending.extend(value for values in node.properties.values() for value in values if isinstance(value, Node))
    return list(seen.values())
