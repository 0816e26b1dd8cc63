"""Joins the nodes of a page: references, equal identifiers, and properties stated at the other end."""

from bookwheel_extraction.pages.nodes import Node, Value, absolute_id, walk

_ENTITY_PROPERTIES = frozenset(
    [
        "author",
        "authors",
        "creator",
        "editor",
        "translator",
        "illustrator",
        "readBy",
        "contributor",
        "publisher",
        "offers",
        "workExample",
        "exampleOfWork",
        "hasVariant",
        "isVariantOf",
        "mainEntity",
        "mainEntityOfPage",
        "about",
        "itemOffered",
        "itemReviewed",
        "aggregateRating",
        "isPartOf",
        "breadcrumb",
        "priceSpecification",
        "seller",
        "item",
        "subjectOf",
    ]
)
"""Properties whose texts can be references to nodes."""
MAX_MERGED_VALUES = 200
_INVERSE_PROPERTIES = {"itemOffered": "offers", "itemReviewed": "aggregateRating"}
_INVERSE_TYPES = {"itemOffered": frozenset({"Offer", "AggregateOffer"}), "itemReviewed": frozenset({"AggregateRating"})}


def join_nodes(roots: list[Node], base_url: str) -> list[Node]:
    """Replace references by their nodes. Return the roots that no other node refers to."""
    nodes = walk(roots)
    nodes_by_id: dict[str, Node] = {}
    merged: dict[int, Node] = {}
    for node in nodes:
        if node.id is None or node.is_reference:
            continue
        first = nodes_by_id.setdefault(node.id, node)
        if first is not node and _describe_same_thing(first, node):
            merged[id(node)] = first
            _add_missing(first, node)
    referenced: set[int] = set()
    for node in nodes:
        if any(True for _, value in node.members if isinstance(value, Node) or value[:1] in {"#", "_", "h", "/", "u"}):
            _resolve_members(node, nodes_by_id, merged, base_url)
        referenced.update(id(value) for _, value in node.members if isinstance(value, Node) and value is not node)
    top = [root for root in roots if id(root) not in merged]
    _add_inverse_properties(nodes)
    return [root for root in top if id(root) not in referenced] or top


def _describe_same_thing(node: Node, other: Node) -> bool:
    """Return False if a page uses one identifier for different things, as some shops do for all products."""
    if node.syntax is not other.syntax:
        return False
    for name in ("name", "isbn", "sku"):
        text, other_text = node.text(name), other.text(name)
        if text is not None and other_text is not None and text.strip() != other_text.strip():
            return False
    return True


def _add_missing(node: Node, other: Node) -> None:
    node.types = tuple(dict.fromkeys((*node.types, *other.types)))
    for name, value in other.members:
        values = node.properties.get(name, ())
        if len(values) < MAX_MERGED_VALUES and value not in values:
            node.add(name, value)


def _resolve_members(node: Node, nodes_by_id: dict[str, Node], merged: dict[int, Node], base_url: str) -> None:
    members: list[tuple[str, Value]] = []
    is_changed = False
    for name, value in node.members:
        resolved: Value = value
        if isinstance(value, Node):
            if value.is_reference:
                resolved = nodes_by_id.get(value.id or "", value)
            resolved = merged.get(id(resolved), resolved)
        elif name in _ENTITY_PROPERTIES and value[:1] in {"#", "_", "h", "/", "u"} and len(value) < 2000:
            resolved = nodes_by_id.get(absolute_id(value, base_url), value)
        is_changed |= resolved is not value
        members.append((name, resolved))
    if is_changed:
        node.replace_values(members)


def _add_inverse_properties(nodes: list[Node]) -> None:
    """Add an offer to the book that it offers, and a rating to the book that it rates."""
    for node in nodes:
        for name, inverse in _INVERSE_PROPERTIES.items():
            if name not in node.properties or not node.has_type(_INVERSE_TYPES[name]):
                continue
            for thing in node.nodes(name):
                if thing is not node and not any(value is node for value in thing.properties.get(inverse, ())):
                    thing.add(inverse, node)
