"""Reads the values of HTML elements."""

import re
from collections.abc import Iterator

from lxml import etree
from lxml.etree import _Element as Element

from bookwheel_extraction.pages.nodes import ElementText, LinkText

MAX_TEXT_LENGTH = 100_000
MAX_TEXT_TOTAL = 4_000_000
"""Limits of one text, and of all texts of a page: nested properties repeat the same text."""
_URL_ATTRIBUTES = {
    "a": "href",
    "area": "href",
    "link": "href",
    "img": "src",
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "source": "src",
    "track": "src",
    "video": "src",
    "object": "data",
}
_VALUE_ATTRIBUTES = {"data": "value", "meter": "value", "time": "datetime"}
_HIDDEN_TAGS = frozenset({"script", "style", "template", "noscript"})
_CROSSED_OUT_TAGS = frozenset({"del", "s", "strike"})
_BLOCK_TAGS = frozenset(
    {"br", "p", "div", "li", "ul", "ol", "tr", "td", "th", "dd", "dt", "h1", "h2", "h3", "h4", "h5", "h6", "section"}
)
_CROSSED_OUT_CLASS = re.compile(
    r"(?i)(?:^|[\s_-])(?:old|was|list|regular|original|strike|striked|strikethrough|crossed|compare|before|rrp|msrp|uvp)"
    r"(?:[\s_-]?(?:price|preis|prix))?(?:$|[\s_-])"
)
_ASIDE_CLASS = re.compile(
    r"(?i)(?:^|[\s_-])(?:related|recommend(?:ed|ations?)?|similar|recent(?:ly)?(?:[_-]?(?:viewed|products))|up-?sells?|"
    r"cross-?sells?|bundles?|bundled|also[_-]?(?:bought|like|viewed)|bought[_-]?together|suggestions|more-like)(?:$|[\s_-])"
)
_ASIDE_TAGS = frozenset({"aside", "footer", "nav"})
_PAGE_TAGS = frozenset({"html", "head", "body", "main"})


class TextReader:
    """Reads texts of elements, with a limit for the whole page."""

    def __init__(self) -> None:
        self._left = MAX_TEXT_TOTAL

    def read(self, element: Element, *, without_crossed_out: bool = False) -> str:
        if len(element) == 0:
            return element.text or ""
        parts: list[str] = []
        length = 0
        for part in _text_parts(element, without_crossed_out=without_crossed_out):
            parts.append(part)
            length += len(part)
            self._left -= len(part) + 1
            if length > MAX_TEXT_LENGTH or self._left < 0:
                break
        return "".join(parts)[:MAX_TEXT_LENGTH]


def _text_parts(element: Element, *, without_crossed_out: bool) -> Iterator[str]:
    """Yield the visible texts below an element, with line breaks around blocks."""
    yield element.text or ""
    hidden: Element | None = None
    for event, child in etree.iterwalk(element, events=("start", "end", "comment", "pi")):
        if child is element:
            continue
        is_block = child.tag in _BLOCK_TAGS
        if event == "start":
            if hidden is None and _is_hidden(child, without_crossed_out=without_crossed_out):
                hidden = child
            elif hidden is None:
                yield "\n" if is_block else ""
                yield child.text or ""
            continue
        if hidden is child:
            hidden = None
        if hidden is None:
            yield "\n" if is_block else ""
            yield child.tail or ""


def _is_hidden(element: Element, *, without_crossed_out: bool) -> bool:
    tag = element.tag
    return tag in _HIDDEN_TAGS or (without_crossed_out and (tag in _CROSSED_OUT_TAGS or _is_crossed_out(element)))


def _is_crossed_out(element: Element) -> bool:
    name = element.get("class")
    if name is not None and _CROSSED_OUT_CLASS.search(name):
        return True
    style = element.get("style")
    return style is not None and "line-through" in style


def is_crossed_out(element: Element) -> bool:
    """Return True if an element or one of its three closest ancestors is crossed out."""
    for _ in range(4):
        if element.tag in _CROSSED_OUT_TAGS or "line-through" in (element.get("style") or ""):
            return True
        parent = element.getparent()
        if parent is None:
            return False
        element = parent
    return False


def is_aside(element: Element) -> bool:
    """Return True for an element that is marked as a part for other things than the topic of the page."""
    if element.tag in _ASIDE_TAGS:
        return True
    if element.tag in _PAGE_TAGS:
        return False
    for name in ("class", "id"):
        value = element.get(name)
        if value is not None and len(value) < 500 and _ASIDE_CLASS.search(value):
            return True
    return element.get("role") in {"complementary", "navigation"}


def property_value(element: Element, texts: TextReader, *, is_price: bool) -> str:
    """Return the value of a microdata or RDFa property that is not an item of its own.

    A `content` attribute counts on every element, as search engines read it.
    """
    content = element.get("content")
    if content is not None:
        return content
    tag = element.tag if isinstance(element.tag, str) else ""
    attribute = _URL_ATTRIBUTES.get(tag)
    if attribute is not None:
        url = element.get(attribute) or element.get("data-src") or ""
        text = element.get("alt") if tag == "img" else texts.read(element, without_crossed_out=is_price)
        return LinkText(url.strip(), (text or "").strip())
    attribute = _VALUE_ATTRIBUTES.get(tag)
    if attribute is not None and (value := element.get(attribute)) is not None:
        return value
    return ElementText(texts.read(element, without_crossed_out=is_price))
