"""Parses whole numbers. A rounded number, such as `1.2k` or `500+`, is refused."""

import re
from functools import lru_cache

from bookwheel_extraction.values.numerals import (
    EXPONENT,
    MAX_NUMBER_LENGTH,
    NUMBER,
    has_unreadable_digits,
    normalize_numbers,
    plain_text,
    read_numeral,
)
from bookwheel_extraction.values.parsed import Parsed, refuse

MAX_COUNT = 10**12
_MAX_PAGES = 100_000
_NUMBER = re.compile(NUMBER)
_PLAIN = re.compile(r"-?\d+(?:\.\d+)?")
_NONE = re.compile(
    r"(?i)(?:no|keine?|noch keine|aucune?|sin|nessun[ao]?|geen|nenhuma?) [^\W\d_]+(?: [^\W\d_]+){0,3}[.!]?"
)
_ROUNDED = re.compile(
    r"(?i)[+~\u2248<>]|\b(?:over|more|almost|about|around|approx|circa|ca|mehr|über|fast|rund|etwa|plus|più|más|meer|ruim"
    r"|environ)\b"
    r"|\d ?(?:k|m|mio|mil|mila|tsd|bn|tys|hundred|thousand|million|millionen|lakh|crore|万|千)\b"
)
_PAGE_WORD = (
    r"(?:pages?|pgs?|pp?|seiten?|s|p[áa]g(?:ina)?s?|pagine|pagina's|blz|bladzijden|stron|stranic|sidor|sider|sivua"
    r"|стр(?:аниц)?|с|oldal|sayfa|頁|页|ページ)"
)
_PAGES_AFTER = re.compile(rf"(?i)({NUMBER}) ?{_PAGE_WORD}(?![^\W_])")
_PAGES_BEFORE = re.compile(
    r"(?i)(?:number of pages|print length|pages|seiten(?:zahl|anzahl)?|nombre de pages|páginas|pagine|pagina's)"
    rf" ?:? ?({NUMBER})"
)


def parse_count(value: object) -> Parsed[int]:
    """Parse a count in any grouping: `1204`, `1.204 Bewertungen`, `1 204`, `(12)`. `No ratings` is 0."""
    if value is None or value == "":
        return Parsed()
    text = plain_text(value)
    if text is None:
        return refuse("not_a_count", value)
    if len(text) > MAX_NUMBER_LENGTH:
        return refuse("too_long", text)
    if isinstance(value, float) and not value.is_integer():  # its point groups no thousands
        return refuse("fractional" if "." in text else "not_a_count", text)
    return _parse_count(text)


@lru_cache(maxsize=4096)
def _parse_count(found: str) -> Parsed[int]:
    text = normalize_numbers(found)
    if not text:
        return Parsed()
    if text.isdigit():
        return _whole(found, text)
    if _NONE.fullmatch(text):
        return Parsed(0)
    if EXPONENT.search(text) or has_unreadable_digits(text):
        return refuse("not_a_count", found)
    if _ROUNDED.search(text):
        return refuse("not_exact", found)
    numbers = list(_NUMBER.finditer(text))
    if len(numbers) != 1:
        return refuse("several_numbers" if numbers else "not_a_count", found)
    number = numbers[0]
    before, after = text[: number.start()], text[number.end() :]
    if before.rstrip().endswith("-") or re.match(r"\w", after) or re.search(r"\w$", before) or "%" in text:
        return refuse("not_a_count", found)
    return _read_count(found, text, number[0])


def _read_count(found: str, text: str, number: str) -> Parsed[int]:
    numeral = read_numeral(number)
    if numeral is None:
        return refuse("not_a_count", found)
    amount = numeral.amount
    if numeral.grouped is not None:
        if _PLAIN.fullmatch(text) and amount == amount.to_integral_value():
            return refuse("ambiguous", found)  # "3.000" alone is 3 or 3000
        amount = numeral.grouped
    if amount != amount.to_integral_value():
        return refuse("fractional", found)
    return _whole(found, str(int(amount)))


def _whole(found: str, digits: str) -> Parsed[int]:
    count = int(digits)
    return refuse("too_large", found) if count > MAX_COUNT else Parsed(count)


def parse_page_count(value: object) -> Parsed[int]:
    """Parse the number of pages: `320`, `320 p.`, `320 Seiten`, `xii, 320 pages`."""
    text = plain_text(value)
    if text is None or len(text) > MAX_NUMBER_LENGTH:
        return Parsed() if value is None else refuse("not_a_page_count", value)
    normalized = normalize_numbers(text)
    numbers = {match[1] for pattern in (_PAGES_AFTER, _PAGES_BEFORE) for match in pattern.finditer(normalized)}
    if len(numbers) > 1 or re.search(r"\d ?- ?\d", normalized):
        return refuse("several_numbers", text)
    if EXPONENT.search(normalized) or has_unreadable_digits(normalized) or _ROUNDED.search(normalized):
        return refuse("not_exact", text)
    count = _read_count(text, normalized, numbers.pop()) if numbers else parse_count(text)
    if count.value is not None and not 0 < count.value <= _MAX_PAGES:
        return refuse("out_of_range", text)
    return count
