"""Parses the JSON-LD blocks of a page."""

import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

from bookwheel_extraction.pages.models import FieldFault, Origin, Syntax
from bookwheel_extraction.pages.nodes import (
    MAX_DEPTH,
    Node,
    NodeBudget,
    Value,
    absolute_id,
    short_name,
    short_type,
)
from bookwheel_extraction.pages.tolerant_json import JsonError, parse_json

MAX_UNREADABLE = 20
"""Limit of the reported blocks with errors."""
_BLOCKS = etree.XPath(
    "//script[starts-with(translate(normalize-space(@type), 'APLICTONDJSX', 'aplictondjsx'), 'application/ld+json')]"
)
_BOOK_DATA = re.compile(r"(?i)\b(?:Book|Audiobook|Product|ProductGroup|ItemList|isbn|gtin13)\b")
_KEYWORDS = frozenset({"@id", "@type", "@value", "@graph", "@list", "@set", "@reverse"})


class Block:
    """A block that could not be read. `may_be_book`: its text names a book, a product or a list."""

    __slots__ = ("fault", "may_be_book", "position")

    def __init__(self, fault: FieldFault, position: str, *, may_be_book: bool) -> None:
        self.fault = fault
        self.position = position
        self.may_be_book = may_be_book


class JsonLdParser:
    """Builds nodes from the blocks of one page. `unreadable` are the blocks with errors."""

    def __init__(self, base_url: str, budget: NodeBudget) -> None:
        self._base_url = base_url
        self._budget = budget
        self._aliases: dict[str, str] = {}
        self.roots: list[Node] = []
        self.unreadable: list[Block] = []

    def parse(self, root: etree._Element) -> None:
        for number, script in enumerate(_BLOCKS(root), start=1):
            text = script.text or script.get("content") or ""
            try:
                values = parse_json(text)
            except JsonError as error:
                blank_lines = text[: len(text) - len(text.lstrip())].count("\n")
                line = (script.sourceline or 1) + blank_lines + error.line - 1
                position = f"JSON-LD block {number}, line {line} of the page"
                if len(self.unreadable) >= MAX_UNREADABLE:
                    continue
                fault = FieldFault("page", "unreadable_json_ld", f"{position}: {error}", Origin(Syntax.JSON_LD, ""))
                self.unreadable.append(Block(fault, position, may_be_book=_BOOK_DATA.search(text) is not None))
                continue
            for value in values:
                self._add_roots(value, 0)

    def _add_roots(self, data: Any, depth: int) -> None:
        if depth > MAX_DEPTH:
            return
        if isinstance(data, list):
            for value in data:
                self._add_roots(value, depth + 1)
        elif isinstance(data, dict):
            self._read_context(data.get("@context"))
            graph = data.get("@graph")
            if any(not name.startswith("@") or name == "@reverse" for name in data) or graph is None:
                node = self._value(data, depth)
                if isinstance(node, Node) and not node.is_reference:
                    self.roots.append(node)
            if graph is not None:
                self._add_roots(graph, depth + 1)

    def _read_context(self, context: Any) -> None:
        """Read the aliases of keywords and schema.org terms: `{"id": "@id", "s": "https://schema.org/"}`."""
        for entry in context if isinstance(context, list) else [context]:
            if not isinstance(entry, dict):
                continue
            for alias, definition in entry.items():
                term = definition.get("@id") if isinstance(definition, dict) else definition
                if not isinstance(term, str) or alias.startswith("@"):
                    continue
                short = short_name(term)
                if term in _KEYWORDS or short not in {term, alias}:
                    self._aliases[alias] = short

    def _name(self, name: str) -> str:
        if not self._aliases:
            return short_name(name)
        if (term := self._aliases.get(name)) is not None:
            return term or name
        prefix, separator, rest = name.partition(":")
        if separator and self._aliases.get(prefix) == "":
            return rest
        return short_name(name)

    def _value(self, data: Any, depth: int) -> Value | None:
        if isinstance(data, str):
            return data
        if not isinstance(data, dict) or depth > MAX_DEPTH:
            return None  # null, true and false state nothing about a book
        if self._aliases:
            data = {
                term if (term := self._aliases.get(name, "")).startswith("@") else name: value
                for name, value in data.items()
            }
        if "@value" in data:
            return self._value(data["@value"], depth + 1)
        return self._node(data, depth) if self._budget.take() else None

    def _node(self, data: dict[str, Any], depth: int) -> Node:
        node_id = data.get("@id")
        types = (short_type(self._name(name)) for name in _texts(data.get("@type", data.get("type"))))
        node = Node(
            Syntax.JSON_LD,
            tuple(dict.fromkeys(types)),
            absolute_id(node_id, self._base_url) if isinstance(node_id, str) and node_id.strip() else None,
        )
        for name, values in data.items():
            if name.startswith("@"):
                continue
            short = self._name(name)
            for value in _flatten(values):
                parsed = self._value(value, depth + 1)
                if parsed is not None:
                    node.add(short, parsed)
        reverse = data.get("@reverse")
        if isinstance(reverse, dict):
            self._add_reverse(node, reverse, depth)
        return node

    def _add_reverse(self, node: Node, reverse: dict[str, Any], depth: int) -> None:
        for name, values in reverse.items():
            for value in _flatten(values):
                subject = self._value(value, depth + 1)
                if isinstance(subject, Node):
                    subject.add(self._name(name), node)
                    self.roots.append(subject)


def _texts(value: Any) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str) and item.strip():
            yield item


def _flatten(values: Any, depth: int = 0) -> Iterator[Any]:
    """Yield the values of nested lists and of `{"@list": […]}`."""
    if isinstance(values, dict):
        for name in ("@list", "@set"):
            if name in values:
                values = values[name]
                break
    if not isinstance(values, list):
        yield values
    elif depth <= MAX_DEPTH:
        for value in values:
            yield from _flatten(value, depth + 1)
