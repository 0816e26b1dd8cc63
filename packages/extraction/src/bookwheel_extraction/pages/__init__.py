"""Reads the books of an HTML page."""

from bookwheel_extraction.pages.models import (
    ExtractedBook,
    ExtractedOffer,
    FieldFault,
    FieldValue,
    Origin,
    Outcome,
    PageHints,
    PageKind,
    PageResult,
    Series,
    Syntax,
)
from bookwheel_extraction.pages.reader import read_page

__all__ = [
    "ExtractedBook",
    "ExtractedOffer",
    "FieldFault",
    "FieldValue",
    "Origin",
    "Outcome",
    "PageHints",
    "PageKind",
    "PageResult",
    "Series",
    "Syntax",
    "read_page",
]
