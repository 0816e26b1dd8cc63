"""Parses the schema.org data of a page's RDFa in the order of the page.

It reads what pages use of https://www.w3.org/TR/rdfa-core/: vocab, prefix, typeof, property, resource, about, rel,
href, src and content. Other vocabularies are ignored.
"""

import re

from lxml import etree
from lxml.etree import _Element as Element

from bookwheel_extraction.pages.elements import TextReader, is_aside, is_crossed_out, property_value
from bookwheel_extraction.pages.models import Syntax
from bookwheel_extraction.pages.nodes import Node, NodeBudget, Value, absolute_id, short_name, short_type

_MARKED = etree.XPath("//*[@typeof or @property or @resource or @about or @rel or @vocab or @prefix]")
_SCHEMA_ORG = re.compile(r"(?:https?:)?//(?:www\.)?schema\.org/?", re.IGNORECASE)
_PREFIX = re.compile(r"([\w-]*):\s+(\S+)")
_LINK_RELATIONS = frozenset({"canonical", "next", "prev", "stylesheet", "icon", "nofollow", "noopener", "alternate"})


class _Context:
    """What an element passes on to the elements in it."""

    __slots__ = ("is_aside", "names", "prefixes", "subject", "vocabulary")

    def __init__(
        self,
        subject: Node | None = None,
        vocabulary: str | None = None,
        prefixes: frozenset[str] = frozenset({"schema"}),
        names: tuple[str, ...] = (),
        *,
        is_aside: bool = False,
    ) -> None:
        self.subject = subject
        self.vocabulary = vocabulary
        self.prefixes = prefixes
        self.names = names
        """Properties of `subject` whose values are the next things below (`rel` without a target)."""
        self.is_aside = is_aside


class RdfaParser:
    def __init__(self, base_url: str, budget: NodeBudget, texts: TextReader) -> None:
        self._base_url = base_url
        self._budget = budget
        self._texts = texts
        self._nodes_by_id: dict[str, Node] = {}
        self._contexts: dict[Element, _Context] = {}
        self.roots: list[Node] = []

    def parse(self, root: Element) -> None:
        nodes: list[Node] = []
        for element in _MARKED(root):
            self._contexts[element] = self._read(element, self._find_context(element), nodes)
        used = {id(value) for node in nodes for _, value in node.members if isinstance(value, Node)}
        self.roots = [node for node in nodes if id(node) not in used and (node.types or node.members)]

    def _find_context(self, element: Element) -> _Context:
        """Return the context of the closest marked ancestor. Every ancestor is visited once."""
        path: list[Element] = []
        parent = element.getparent()
        while parent is not None and parent not in self._contexts:
            path.append(parent)
            parent = parent.getparent()
        context = self._contexts[parent] if parent is not None else _Context()
        for ancestor in reversed(path):
            if not context.is_aside and is_aside(ancestor):
                context = _Context(context.subject, context.vocabulary, context.prefixes, context.names, is_aside=True)
            self._contexts[ancestor] = context
        return context

    def _read(self, element: Element, outer: _Context, nodes: list[Node]) -> _Context:
        context = _Context(
            outer.subject,
            outer.vocabulary,
            outer.prefixes,
            outer.names,
            is_aside=outer.is_aside or is_aside(element),
        )
        if (vocabulary := element.get("vocab")) is not None:
            context.vocabulary = vocabulary.strip()
        if (prefixes := element.get("prefix")) is not None:
            declared = {name for name, url in _PREFIX.findall(prefixes) if _SCHEMA_ORG.fullmatch(url)}
            context.prefixes = context.prefixes | declared
        types = tuple(
            short_type(name) for token in (element.get("typeof") or "").split() if (name := self._term(token, context))
        )
        names = self._terms(element.get("property"), context)
        relations = [name for name in self._terms(element.get("rel"), context) if name not in _LINK_RELATIONS]
        about, target = element.get("about"), self._target(element)
        is_typed = element.get("typeof") is not None
        if about is not None:
            context.subject = self._node(about, types, context, nodes)
            context.names = ()
        if names:
            self._add_property(element, names, types if about is None else (), context, nodes)
        elif is_typed and about is None:
            node = self._node(target, types, context, nodes)
            self._attach(node, [*relations, *context.names], context.subject)
            context.subject, context.names = node, ()
        elif relations:
            if target is not None:
                self._attach(self._reference(target), relations, context.subject)
            else:
                context.names = tuple(relations)
        elif about is None and (resource := element.get("resource")) is not None:
            node = self._node(resource, (), context, nodes)
            self._attach(node, list(context.names), context.subject)
            context.subject, context.names = node, ()
        return context

    def _add_property(
        self, element: Element, names: list[str], types: tuple[str, ...], context: _Context, nodes: list[Node]
    ) -> None:
        subject = context.subject
        if element.get("typeof") is not None and types:
            node = self._node(self._target(element), types, context, nodes)
            self._attach(node, names, subject)
            context.subject, context.names = node, ()
            return
        if subject is None:
            return
        is_price = "price" in names
        if is_price and is_crossed_out(element):
            names = ["crossedOutPrice" if name == "price" else name for name in names]
        value: Value
        resource = element.get("resource")
        if resource is not None and element.get("content") is None:
            value = self._reference(resource)
        else:
            value = property_value(element, self._texts, is_price=is_price)
        for name in names:
            subject.add(name, value)

    def _attach(self, node: Node | None, names: list[str], subject: Node | None) -> None:
        if node is not None and subject is not None and node is not subject:
            for name in names:
                subject.add(name, node)

    def _node(self, target: str | None, types: tuple[str, ...], context: _Context, nodes: list[Node]) -> Node | None:
        node_id = absolute_id(target, self._base_url) if target is not None else None
        node = self._nodes_by_id.get(node_id) if node_id is not None else None
        if node is None:
            if not self._budget.take():
                return None
            node = Node(Syntax.RDFA, types, node_id, is_aside=context.is_aside)
            nodes.append(node)
            if node_id is not None:
                self._nodes_by_id[node_id] = node
        elif types:
            node.types = tuple(dict.fromkeys((*node.types, *types)))
        return node

    def _reference(self, target: str) -> Node:
        node_id = absolute_id(target, self._base_url)
        return self._nodes_by_id.get(node_id) or Node(Syntax.RDFA, (), node_id)

    def _target(self, element: Element) -> str | None:
        for name in ("resource", "href", "src"):
            if (value := element.get(name)) is not None:
                return _safe_curie(value)
        return None

    def _terms(self, value: str | None, context: _Context) -> list[str]:
        if value is None:
            return []
        return [name for token in value.split() if (name := self._term(token, context))]

    def _term(self, token: str, context: _Context) -> str | None:
        """Return the term of schema.org; None for another vocabulary."""
        prefix, separator, name = token.partition(":")
        if separator:
            if name.startswith("//"):
                return short_name(token) if _SCHEMA_ORG.match(token) else None
            return name if prefix in context.prefixes else None
        if context.vocabulary and not _SCHEMA_ORG.fullmatch(context.vocabulary):
            return None
        return token


def _safe_curie(value: str) -> str:
    return value[1:-1] if value.startswith("[") and value.endswith("]") else value
