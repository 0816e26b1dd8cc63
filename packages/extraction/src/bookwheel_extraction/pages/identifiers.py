"""Finds the identifiers of a node."""

import re

from bookwheel_extraction.pages.nodes import Node, text_of
from bookwheel_extraction.values.identifiers import find_isbns, parse_isbn

ISBN_PROPERTIES = ("isbn", "isbn13", "isbn10", "gtin13", "gtin", "gtin14", "gtin12", "ean", "ean13")
KEY_PROPERTIES = ("sku", "productID", "mpn", "identifier")
_MAX_LENGTH = 300
_EAN = re.compile(r"(?<!\d)97[89](?:[\s\-\u2010-\u2015]?\d){10}(?!\d)")
_LABEL = re.compile(r"(?i)\b(?:e-?)?isbn|\bean\b|\bgtin")


def isbn_texts(node: Node) -> list[tuple[str, str]]:
    """Return the texts that state an ISBN, with their properties, the most reliable first.

    Without a label, `gtin13` and the shop's own identifiers count only if they have thirteen digits: a tenth of all
    numbers with ten digits has the check digit of an ISBN.
    """
    texts: list[tuple[str, str]] = []
    for name in ISBN_PROPERTIES:
        for value in node.properties.get(name, ()):
            text = text_of(value)
            if text and (name.startswith("isbn") or _is_labelled_or_ean(text)):
                texts.append((name, text))
    for name in (*KEY_PROPERTIES, "additionalProperty"):
        for value in node.properties.get(name, ()):
            if isinstance(value, Node):
                label = f"{value.text('propertyID') or ''} {value.text('name') or ''}"
                text = value.text("value") or ""
                if _LABEL.search(label) or (name != "additionalProperty" and _EAN.search(text[:_MAX_LENGTH])):
                    texts.append((name, text))
            elif name != "additionalProperty" and _is_labelled_or_ean(value):
                texts.append((name, value))
    return texts


def _is_labelled_or_ean(text: str) -> bool:
    return len(text) <= _MAX_LENGTH and (_EAN.search(text) is not None or _LABEL.search(text) is not None)


def stated_isbns(name: str, text: str) -> tuple[str, ...]:
    """Return the valid ISBNs of a property. Only `isbn` can lack leading zeros: other numbers are not all ISBNs."""
    isbns = find_isbns(text)
    if not isbns and name.startswith("isbn") and (isbn := parse_isbn(text).value) is not None:
        return (isbn,)
    return isbns


def node_isbns(node: Node) -> frozenset[str]:
    if node.isbns is None:
        node.isbns = frozenset(isbn for name, text in isbn_texts(node) for isbn in stated_isbns(name, text))
    return node.isbns


def node_keys(node: Node) -> frozenset[str]:
    """Return the shop's own identifiers of a node."""
    return frozenset(
        text.strip()
        for name in ("sku", "productID", "mpn")
        for value in node.properties.get(name, ())
        if isinstance(value, str) and 1 < len(text := value.strip()) <= 100
    )
