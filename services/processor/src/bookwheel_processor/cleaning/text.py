"""Text as found on a page, made fit to store, search and show."""

import html
import re
import unicodedata
from functools import lru_cache

from pydantic import JsonValue

from bookwheel_processor.cleaning.faults import InvalidValueError, shown

# C0 and C1 controls that are no white space, lone surrogates, and what reverses or hides text: PostgreSQL refuses the
# first, UTF-8 the second, and the third lets a title show as something else than it is.
_UNFIT = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\u200b\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_PRINTABLE = bytes(range(0x20, 0x7F))
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,2000}>")
# Normalizing sorts the marks above and below a letter, in time of the square of their number: 200,000 took 66 s. No
# language has thirty, the bound of Unicode's stream-safe text (https://unicode.org/reports/tr15/#Stream_Safe_Text_Format).
_MARKS = "".join(
    each for each in map(chr, range(0x300, 0x1F000)) if unicodedata.combining(unicodedata.normalize("NFKD", each)[0])
)
_PILED_MARKS = re.compile(f"([{_MARKS}]{{30}})[{_MARKS}]+")
_LONGEST_LABEL = 1000


def clean_text(value: JsonValue) -> str | None:
    """One line: entities resolved, NFC, white space runs as one space. None for nothing. Raises Unclean."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidValueError("not_text", f"is not text: {shown(value)}")
    return _one_line(str(value)) or None


def clean_prose(value: JsonValue) -> str | None:
    """As `clean_text`, for a value that may hold markup, which goes: as such and where it is escaped."""
    if not isinstance(value, str):
        return clean_text(value)
    text = _without_tags(value)
    if "&" in text:
        text = _without_tags(html.unescape(text))
    return _squeezed(text) or None


def clean_label(value: str) -> str | None:
    """As `clean_text`, for the few values that many items share, such as categories. A long one is none of these, and
    not remembered."""
    return _label(value) if len(value) <= _LONGEST_LABEL else clean_text(value)


@lru_cache(maxsize=4096)
def _label(value: str) -> str | None:
    return _one_line(value) or None


def _without_tags(text: str) -> str:
    return _TAG.sub(" ", _without_comments(text)) if "<" in text else text


def _without_comments(text: str) -> str:
    """In one pass: a pattern looks for the end of each beginning anew, which took 39 s for 200,000 without an end."""
    kept, place = [], 0
    while (start := text.find("<!--", place)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
        kept.append(text[place:start])
        place = end + 3
    return " ".join([*kept, text[place:]])


def _one_line(text: str) -> str:
    return _squeezed(html.unescape(text) if "&" in text else text)


def _squeezed(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFC", _PILED_MARKS.sub(r"\1", _UNFIT.sub("", text)))
    elif text.encode().translate(None, _PRINTABLE):
        text = _UNFIT.sub("", text)
    elif "  " not in text:  # most are: nothing to do but at the ends
        return text.strip()
    return " ".join(text.split())
