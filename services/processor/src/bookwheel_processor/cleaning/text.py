"""Cleans page text for storage, search and display."""

import html
import re
import unicodedata
from functools import lru_cache

from pydantic import JsonValue

from bookwheel_processor.cleaning.errors import InvalidValueError, quote_value

# Control characters except white space (PostgreSQL rejects NUL), lone surrogates (UTF-8 cannot encode them), and
# characters that reverse or hide text. With such characters, one title could look like another.
_UNSAFE = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\u200b\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_PRINTABLE = bytes(range(0x20, 0x7F))
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,2000}>")
# Normalization sorts the combining marks of a letter in quadratic time: 200,000 marks took 66 s. No language has more
# than thirty, the limit of https://unicode.org/reports/tr15/#Stream_Safe_Text_Format.
_MARKS = "".join(
    mark for mark in map(chr, range(0x300, 0x1F000)) if unicodedata.combining(unicodedata.normalize("NFKD", mark)[0])
)
_EXCESS_MARKS = re.compile(f"([{_MARKS}]{{30}})[{_MARKS}]+")
_MAX_LABEL_LENGTH = 1000


def clean_text(value: JsonValue) -> str | None:
    """Return one line in NFC with entities resolved and white space collapsed; None for an empty text.

    Raises InvalidValueError.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidValueError("not_text", f"is not text: {quote_value(value)}")
    return _one_line(str(value)) or None


def clean_prose(value: JsonValue) -> str | None:
    """Clean a text as `clean_text` does, and remove its markup, escaped or not."""
    if not isinstance(value, str):
        return clean_text(value)
    text = _remove_tags(value)
    if "&" in text:
        text = _remove_tags(html.unescape(text))
    return _collapse_space(text) or None


def clean_label(value: str) -> str | None:
    """Clean a text as `clean_text` does. Short values are cached, because many items share a category."""
    return _clean_short_label(value) if len(value) <= _MAX_LABEL_LENGTH else clean_text(value)


@lru_cache(maxsize=4096)
def _clean_short_label(value: str) -> str | None:
    return _one_line(value) or None


def _remove_tags(text: str) -> str:
    return _TAG.sub(" ", _remove_comments(text)) if "<" in text else text


def _remove_comments(text: str) -> str:
    """Remove comments in one pass. A regular expression took 39 s for 200,000 unterminated comments."""
    parts, position = [], 0
    while (start := text.find("<!--", position)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
        parts.append(text[position:start])
        position = end + 3
    return " ".join([*parts, text[position:]])


def _one_line(text: str) -> str:
    return _collapse_space(html.unescape(text) if "&" in text else text)


def _collapse_space(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFC", _EXCESS_MARKS.sub(r"\1", _UNSAFE.sub("", text)))
    elif text.encode().translate(None, _PRINTABLE):
        text = _UNSAFE.sub("", text)
    elif "  " not in text:  # most texts
        return text.strip()
    return " ".join(text.split())
