"""Reads the books of an HTML page."""

from bookwheel_extraction.pages.models import (
    Contributor,
    ExtractedBook,
    ExtractedOffer,
    FieldFault,
    FieldValue,
    Origin,
    Outcome,
    PageHints,
    PageKind,
    PageResult,
    Price,
    Series,
    Syntax,
)
from bookwheel_extraction.pages.reader import read_page

__all__ = [
    "Contributor",
    "ExtractedBook",
    "ExtractedOffer",
    "FieldFault",
    "FieldValue",
    "Origin",
    "Outcome",
    "PageHints",
    "PageKind",
    "PageResult",
    "Price",
    "Series",
    "Syntax",
    "read_page",
]
