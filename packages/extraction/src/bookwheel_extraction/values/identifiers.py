"""Finds ISBNs in texts, numbers and GTINs."""

import re

from stdnum import ean, isbn

from bookwheel_extraction.values.numerals import normalize_numbers, plain_text
from bookwheel_extraction.values.parsed import Parsed, refuse

_MAX_LENGTH = 1000
_MAX_ISBNS = 100
_LABEL = re.compile(r"(?i)(?<![a-z])(?:e-?)?isbn(?:[ -]?1[03](?!\d))?|(?<![a-z])(?:gtin|ean)(?:[ -]?1[34])?(?!\d)")
_CANDIDATE = re.compile(r"(?<![\w.,])\d(?:[ -]?\d)*(?:[ -]?[xX](?!\w))?(?![\w])")
_DIGITS = re.compile(r"\d{9}[\dX]|\d{13}")
_EXPONENT = re.compile(r"(?i)\d(?:[.,]\d+)?e[+-]?\d")
_ISMN = "9790"  # printed music
_LENGTHS = (13, 10)
_WITHOUT_ZEROS = re.compile(r"\d{6,8}[\dXx]")


def parse_isbn(value: object) -> Parsed[str]:
    """Return the thirteen digits of the first valid ISBN of a text, a number or a GTIN.

    The field is meant for an ISBN: digits without a valid one are a fault. A text without digits has no ISBN.
    """
    if value is None or value == "":
        return Parsed()
    text = plain_text(value)
    if text is None:
        return refuse("not_an_isbn", value)
    isbns = find_isbns(value)
    if isbns:
        return Parsed(isbns[0])
    restored = _restore_zeros(text)
    if restored:
        return Parsed(restored)
    if len(text) > _MAX_LENGTH:
        return refuse("too_long", text)
    normalized = normalize_numbers(text)
    if not any(character.isdigit() for character in normalized):
        return Parsed() if not normalized.strip(" -./") else refuse("not_an_isbn", text)
    if _EXPONENT.search(normalized):
        return refuse("exponent", text)
    digits = re.sub(r"\D", "", _LABEL.sub("", normalized))
    if digits.startswith(_ISMN) and len(digits) == 13:
        return refuse("ismn", text)
    is_isbn_like = len(digits) in _LENGTHS or _WITHOUT_ZEROS.fullmatch(normalized) is not None
    return refuse("check_digit" if is_isbn_like else "not_an_isbn", text)


def find_isbns(value: object, *, only_isbn13: bool = False) -> tuple[str, ...]:
    """Return the distinct valid ISBNs of a text in their order, as thirteen digits.

    `only_isbn13` is for fields of shops' own numbers, such as an SKU. Of ten digits one in eleven looks
    like an ISBN-10.
    """
    text = plain_text(value)
    if text is None or len(text) > _MAX_LENGTH:
        return ()
    normalized = normalize_numbers(text).removesuffix(".0")  # of a column of numbers
    if _EXPONENT.search(normalized):
        return ()
    unlabeled = _LABEL.sub(" # ", normalized)
    isbns: dict[str, None] = {}
    for match in _CANDIDATE.finditer(unlabeled):
        for isbn13 in _isbns_of_digits(match[0], only_isbn13=only_isbn13):
            isbns.setdefault(isbn13)
        if len(isbns) >= _MAX_ISBNS:
            break
    return tuple(isbns)


def _restore_zeros(text: str) -> str | None:
    """Return the ISBN of an ISBN-10 without its leading zeros, as spreadsheets write it."""
    normalized = normalize_numbers(text).removesuffix(".0")
    return _to_isbn13(normalized.upper().zfill(10)) if _WITHOUT_ZEROS.fullmatch(normalized) else None


def _isbns_of_digits(found: str, *, only_isbn13: bool) -> list[str]:
    """Return the ISBNs of a run of digits, spaces and hyphens: one, or several with spaces between them."""
    digits = re.sub(r"[ -]", "", found).upper()
    if len(digits) == 14 and digits[0] == "0":  # GTIN-14
        digits = digits[1:]
    if only_isbn13 and len(digits) != 13:
        return []
    whole = _to_isbn13(digits)
    if whole:
        return [whole]
    isbns, group = [], ""
    for part in found.split(" ") if len(digits) > 13 else ():
        compact = part.replace("-", "").upper()
        group = compact if len(group + compact) > 13 else group + compact
        isbn13 = _to_isbn13(group)
        if isbn13:
            isbns.append(isbn13)
            group = ""
    return isbns


def _to_isbn13(digits: str) -> str | None:
    if not _DIGITS.fullmatch(digits):
        return None
    if len(digits) == 10:
        return str(isbn.to_isbn13(digits)) if digits != "0000000000" and isbn.is_valid(digits) else None
    if not digits.startswith(("978", "979")) or digits.startswith(_ISMN):
        return None
    return digits if ean.calc_check_digit(digits[:12]) == digits[12] else None
