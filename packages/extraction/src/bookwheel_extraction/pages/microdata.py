"""Parses the microdata of a page: https://html.spec.whatwg.org/multipage/microdata.html."""

from collections.abc import Iterable, Iterator

from lxml import etree
from lxml.etree import _Element as Element

from bookwheel_extraction.pages.elements import TextReader, is_aside, is_crossed_out, property_value
from bookwheel_extraction.pages.models import Syntax
from bookwheel_extraction.pages.nodes import Node, NodeBudget, absolute_id, short_name, short_type

MAX_REFERENCES = 1_000
MAX_REFERENCED_PROPERTIES = 10_000
"""Limits of `itemref` per page. Items can share properties, so the cost could be quadratic."""
_MARKED = etree.XPath("//*[@itemscope or @itemprop]")
_REFERRING = etree.XPath("//*[@itemref and @itemscope]")
_WITH_ID = etree.XPath("//*[@id]")
_PRICE_NAMES = frozenset({"price", "lowPrice", "highPrice"})


class _Scope:
    """An item, or a referenced element: its properties in the order of the page."""

    __slots__ = ("children", "element")

    def __init__(self, element: Element) -> None:
        self.element = element
        self.children: list[_Scope] = []


class MicrodataParser:
    """Builds the nodes of one page. `has_too_many_references`: a limit was exceeded, and some properties are lost."""

    def __init__(self, base_url: str, budget: NodeBudget, texts: TextReader) -> None:
        self._base_url = base_url
        self._budget = budget
        self._texts = texts
        self._nodes: dict[Element, Node] = {}
        self._references = NodeBudget(MAX_REFERENCED_PROPERTIES)
        self._scopes: dict[Element, _Scope] = {}
        self._nearest: dict[Element, tuple[_Scope | None, bool]] = {}
        self.roots: list[Node] = []
        self.has_too_many_references = False

    def parse(self, root: Element) -> None:
        marked = _MARKED(root)
        if not marked:
            return
        referenced = self._referenced_elements(root)
        elements = _in_page_order(root, marked, referenced.values()) if referenced else marked
        for element in elements:
            scope = _Scope(element)
            parent, is_in_aside = self._find_parent(element)
            self._scopes[element] = scope
            self._nearest[element] = (scope, is_in_aside or is_aside(element))
            if parent is not None:
                parent.children.append(scope)
        self._build_nodes(elements)
        self._add_properties(elements, referenced)
        used = {id(value) for node in self._nodes.values() for _, value in node.members if isinstance(value, Node)}
        for element, node in self._nodes.items():
            if element.get("itemprop") is None or id(node) not in used:
                self.roots.append(node)

    def _referenced_elements(self, root: Element) -> dict[str, Element]:
        names: set[str] = set()
        for element in _REFERRING(root):
            for name in element.get("itemref").split():
                if len(names) >= MAX_REFERENCES:
                    self.has_too_many_references = True
                    break
                names.add(name)
        if not names:
            return {}
        elements: dict[str, Element] = {}
        for element in _WITH_ID(root):
            name = element.get("id")
            if name in names:
                elements.setdefault(name, element)
        return elements

    def _find_parent(self, element: Element) -> tuple[_Scope | None, bool]:
        """Return the closest marked ancestor, and whether an ancestor is aside. Every ancestor is visited once."""
        path: list[Element] = []
        parent = element.getparent()
        while parent is not None and parent not in self._nearest:
            path.append(parent)
            parent = parent.getparent()
        scope, is_in_aside = self._nearest[parent] if parent is not None else (None, False)
        for ancestor in reversed(path):
            is_in_aside = is_in_aside or is_aside(ancestor)
            self._nearest[ancestor] = (scope, is_in_aside)
        return scope, is_in_aside

    def _build_nodes(self, elements: list[Element]) -> None:
        for element in elements:
            if element.get("itemscope") is None or not self._budget.take():
                continue
            types = tuple(dict.fromkeys(map(short_type, (element.get("itemtype") or "").split())))
            item_id = element.get("itemid") or ""
            self._nodes[element] = Node(
                Syntax.MICRODATA,
                types,
                absolute_id(item_id, self._base_url) if item_id.strip() else None,
                is_aside=self._nearest[element][1],
            )

    def _add_properties(self, elements: list[Element], referenced: dict[str, Element]) -> None:
        positions = {element: position for position, element in enumerate(elements)}
        for element in elements:
            node = self._nodes.get(element)
            if node is None:
                continue
            children = [scope.element for scope in _properties_below(self._scopes[element])]
            if referenced and (names := element.get("itemref")) is not None:
                children.extend(self._referenced_properties(element, names.split(), referenced))
                children = sorted(dict.fromkeys(children), key=positions.__getitem__)
            for child in children:
                self._add(node, child)

    def _referenced_properties(
        self, element: Element, names: list[str], referenced: dict[str, Element]
    ) -> Iterator[Element]:
        for name in dict.fromkeys(names[:MAX_REFERENCES]):
            other = referenced.get(name)
            if other is None or other is element:
                continue
            if other.get("itemprop") is not None and self._take_reference():
                yield other
            if other.get("itemscope") is not None:
                continue
            for scope in _properties_below(self._scopes[other]):
                if not self._take_reference():
                    return
                yield scope.element

    def _take_reference(self) -> bool:
        is_left = self._references.take()
        self.has_too_many_references |= not is_left
        return is_left

    def _add(self, node: Node, element: Element) -> None:
        names = [short_name(name) for name in (element.get("itemprop") or "").split()]
        if element.get("itemscope") is not None:
            value: Node | str | None = self._nodes.get(element)
            if value is None or value is node:
                return
        else:
            is_price = not _PRICE_NAMES.isdisjoint(names)
            if is_price and is_crossed_out(element):
                names = ["crossedOutPrice" if name in _PRICE_NAMES else name for name in names]
            value = property_value(element, self._texts, is_price=is_price)
        for name in names:
            node.add(name, value)


def _properties_below(scope: _Scope) -> Iterator[_Scope]:
    """Yield the properties in a scope, without those of its items."""
    pending = list(reversed(scope.children))
    while pending:
        child = pending.pop()
        if child.element.get("itemprop") is not None:
            yield child
        if child.element.get("itemscope") is None:
            pending.extend(reversed(child.children))


def _in_page_order(root: Element, marked: list[Element], referenced: Iterable[Element]) -> list[Element]:
    elements = {*marked, *referenced}
    return marked if len(elements) == len(marked) else [element for element in root.iter() if element in elements]
