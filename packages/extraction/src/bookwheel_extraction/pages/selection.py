"""Chooses the book that a page is about, and the entries of a list page."""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote

from bookwheel_extraction.pages.document import Document
from bookwheel_extraction.pages.entities import (
    LIST_TYPES,
    Entity,
    EntityIndex,
    is_book,
    is_candidate,
    is_main_entity_of,
    name_key,
    title_key,
)
from bookwheel_extraction.pages.meta_tags import MetaTags
from bookwheel_extraction.pages.models import PageKind
from bookwheel_extraction.pages.nodes import Node

MAX_LIST_ENTRIES = 5_000
_MIN_KEY_IN_URL = 4


@dataclass(slots=True)
class Selection:
    """`main` is the book of the page. On a list page, `listed` are its books, and `links` lead to book pages.

    `is_certain`: the page itself names the book, by one of the rules in `choice`, not only by having no other.
    """

    main: Entity | None = None
    choice: str | None = None
    is_certain: bool = False
    is_list: bool = False
    listed: list[Entity] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    has_too_many_entries: bool = False


def select(document: Document, topics: list[Node], index: EntityIndex, tags: MetaTags, kind: PageKind) -> Selection:
    selection = Selection()
    list_nodes = [node for node in topics if _is_list(node)]
    for node in list_nodes:
        _read_list(node, index, selection)
    main_nodes = [other for node in topics if not is_candidate(node) for other in node.nodes("mainEntity")]
    for node in main_nodes:
        if (entity := index.find_by_node(node)) is not None:
            entity.is_main_entity = True
    candidates = [
        entity for entity in index.entities if entity.is_book and not entity.is_listed and not entity.is_nested_edition
    ]
    main, choice, is_certain = _choose_main(candidates, document, tags)
    candidates = [entity for entity in candidates if not entity.is_aside or entity is main]
    is_main_list = any(node in list_nodes for node in main_nodes) or any(
        node.type_name in {"CollectionPage", "SearchResultsPage"} for node in topics
    )
    if main is not None and not _is_list_page(main, is_certain, is_main_list, document, kind, selection):
        selection.main, selection.choice, selection.is_certain = main, choice, is_certain
        candidates = [entity for entity in candidates if name_key(entity.name) != name_key(main.name)]
        _follow(candidates, document, selection)
        _follow(selection.listed, document, selection)
        selection.listed = []
    else:
        selection.is_list = bool(candidates or selection.listed or selection.links)
        books = [*selection.listed, *candidates]
        selection.listed = [entity for entity in books if not _leads_to_own_page(entity, document, selection)]
    return selection


def _is_list(node: Node) -> bool:
    if "BreadcrumbList" in node.types or is_candidate(node):
        return False
    return node.has_type(LIST_TYPES) or "itemListElement" in node.properties


def _choose_main(
    candidates: list[Entity], document: Document, tags: MetaTags
) -> tuple[Entity | None, str | None, bool]:
    """Choose among the books in the page's own part, else among the others if the page itself names the book."""
    choice = _choose([entity for entity in candidates if not entity.is_aside], document, tags)
    if choice[0] is None:
        choice = _choose([entity for entity in candidates if entity.is_aside], document, tags)
        if not choice[2]:
            return None, None, False
    return choice


def _follow(entities: list[Entity], document: Document, selection: Selection) -> None:
    selection.links.extend(entity.url for entity in entities if entity.url and document.is_other_page(entity.url))


def _leads_to_own_page(entity: Entity, document: Document, selection: Selection) -> bool:
    url = entity.url
    if url and not document.is_own_url(url) and document.absolute_urls([url]):
        selection.links.append(url)
        return True
    return False


def _is_list_page(
    main: Entity,
    is_certain: bool,  # noqa: FBT001 - one of several facts about the page
    is_main_list: bool,  # noqa: FBT001
    document: Document,
    kind: PageKind,
    selection: Selection,
) -> bool:
    if kind is PageKind.LIST:
        return True
    if is_main_list and not main.is_main_entity:
        return True
    if is_certain:
        return kind is PageKind.UNKNOWN and bool(document.next_pages()) and bool(selection.listed or selection.links)
    if document.is_other_page(main.url):
        has_other_heading = bool(document.headings) and not _matches_headings(main, document, None)
        return kind is PageKind.UNKNOWN or has_other_heading
    return kind is PageKind.UNKNOWN and (bool(document.next_pages()) or bool(selection.listed or selection.links))


def _choose(candidates: list[Entity], document: Document, tags: MetaTags) -> tuple[Entity | None, str | None, bool]:
    """Return the book of the page, the rule that chose it, and whether the page itself names it."""
    if not candidates:
        return None, None, False
    rules: tuple[tuple[str, Callable[[Entity], bool]], ...] = (
        (
            "mainEntity",
            lambda entity: entity.is_main_entity or any(is_main_entity_of(node, document) for node in entity.nodes),
        ),
        ("canonical URL", lambda entity: any(map(document.is_own_url, entity.own_urls))),
        ("identifier in the URL", lambda entity: _is_in_url(entity, document)),
        ("h1", lambda entity: _matches_headings(entity, document, None)),
        ("h1", lambda entity: _matches_headings(entity, document, "prefix")),
        ("title", lambda entity: _matches_titles(entity, document, tags)),
    )
    remaining = candidates
    first_rule = None
    for name, rule in rules:
        matches = [entity for entity in remaining if any(map(rule, (entity, *entity.editions)))]
        if matches:
            first_rule = first_rule or name
            remaining = matches
            if len(matches) == 1:
                return matches[0], first_rule, True
    without_other_page = [entity for entity in remaining if not document.is_other_page(entity.url)]
    remaining = without_other_page or remaining
    keys = {title_key(entity.name) for entity in remaining}
    if len(keys) == 1 and (len(remaining) == 1 or None not in keys):
        return remaining[0], first_rule or "only book", first_rule is not None
    return None, None, False


def _is_in_url(entity: Entity, document: Document) -> bool:
    url = unquote(document.canonical_url or document.url).casefold()
    compact = "".join(character for character in url if character.isalnum())
    for isbn in entity.isbns:
        if isbn in compact or (isbn.startswith("978") and isbn[3:12] in compact):
            return True
    return any(
        len(key) >= _MIN_KEY_IN_URL and any(character.isdigit() for character in key) and key.casefold() in url
        for key in entity.keys
    )


def _matches_headings(entity: Entity, document: Document, mode: str | None) -> bool:
    """Compare the name with the headings: equal, or with mode `prefix` one starts with the other."""
    names = [key for node in entity.nodes for name in node.texts("name", "headline") if (key := name_key(name))]
    headings = [key for heading in document.headings if (key := name_key(heading))]
    if mode is None:
        short_names = [key for node in entity.nodes for name in node.texts("name") if (key := title_key(name))]
        return any(name in headings for name in (*names, *short_names))
    return any(
        min(len(name), len(heading)) >= 4 and (heading.startswith(name) or name.startswith(heading))
        for name in names
        for heading in headings
    )


def _matches_titles(entity: Entity, document: Document, tags: MetaTags) -> bool:
    key = name_key(entity.name)
    titles = [title for text in (document.title, tags.title) if (title := name_key(text))]
    return key is not None and len(key) >= 4 and any(title.startswith(key) for title in titles)


def _read_list(node: Node, index: EntityIndex, selection: Selection) -> None:
    elements = node.values("itemListElement")
    if len(elements) > MAX_LIST_ENTRIES:
        selection.has_too_many_entries = True
    for element in elements[:MAX_LIST_ENTRIES]:
        item: Node | str = element
        if isinstance(element, Node) and not is_candidate(element):  # a ListItem or an offer
            items = element.nodes("item", "itemOffered")
            item = items[0] if items else element.url("item", "url") or element.id or ""
        if isinstance(item, Node) and is_candidate(item):
            is_new = len(index.entities)
            entity = index.add(item)
            if is_book(item):
                if len(index.entities) > is_new:  # else the list repeats a book of the page
                    entity.is_listed = True
                    selection.listed.append(entity)
                continue
        url = item if isinstance(item, str) else item.url("url") or ""
        if url and not url.startswith("_:"):
            selection.links.append(url)
