"""Reads the numbers of a text, by the grouping of each.

The text is normalized first: digits of all scripts, spaces, apostrophes and dashes have one form. A number that has two
readings, such as `1.234`, keeps both.
"""

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

MAX_NUMBER_LENGTH = 200
EXPONENT = re.compile(r"\d[eE][+-]?\d")
NUMBER = r"(?:(?<!\w)[.,])?\d+(?:[.,'\u066b]\d+| \d{3}(?!\d))*"
"""A number in a normalized text, with a leading decimal sign, groups and a fraction."""
_NUMBER_PARTS = re.compile(r"([.,' \u066b])")
_SPACE = re.compile(r"\s+")
_ARABIC_DECIMAL = "\u066b"
_APOSTROPHES = "\u2019\u2018\u02bc\u00b4\u0060\u066c\uff07"  # the Arabic thousands sign also only groups
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d"
_INVISIBLE = (
    "\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0xFFE0: "\xa2", 0xFFE1: "\xa3", 0xFFE5: "\xa5"}
_CHARACTERS = (
    _FULL_WIDTH
    | dict.fromkeys(map(ord, _APOSTROPHES), "'")
    | dict.fromkeys(map(ord, _DASHES), "-")
    | dict.fromkeys(map(ord, _INVISIBLE))
)


@dataclass(frozen=True, slots=True)
class Numeral:
    """A number of a text. One with two readings has a `separator`, `grouped`, and as `amount` its decimal reading."""

    amount: Decimal
    grouped: Decimal | None = None
    separator: str | None = None


def normalize_numbers(text: str) -> str:
    """Return the text in one line with ASCII digits, spaces, apostrophes and hyphens, without invisible characters."""
    if not text.isascii():
        text = "".join(map(_ascii_digit, text.translate(_CHARACTERS)))
    return _SPACE.sub(" ", text.replace("`", "'")).strip()


def _ascii_digit(character: str) -> str:
    digit = unicodedata.decimal(character, None) if character > "\x7f" else None
    return character if digit is None else str(digit)


def has_unreadable_digits(text: str) -> bool:
    """Whether a normalized text has fractions, superscript or other digits that are not part of a plain number."""
    return not text.isascii() and any(character > "\x7f" and character.isnumeric() for character in text)


def plain_text(value: object) -> str | None:
    """Return the text of a text or number, without exponent; None for another type."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, int) and abs(value) >= 10**MAX_NUMBER_LENGTH:
        return "9" * (MAX_NUMBER_LENGTH + 1)  # Python refuses to format some of these
    return value if isinstance(value, str) else format(Decimal(repr(value)), "f")


@lru_cache(maxsize=4096)
def read_numeral(number: str) -> Numeral | None:
    """Read one number that `NUMBER` matches; None if its groups are irregular."""
    if number[0] in ".,":
        return Numeral(Decimal(f"0.{number[1:]}")) if re.fullmatch(r"[.,]\d\d", number) else None
    parts = _NUMBER_PARTS.split(number)
    groups, separators = parts[::2], parts[1::2]
    if len(groups[0]) > 1 and groups[0][0] == "0":
        return None
    if not separators:
        return Numeral(Decimal(number))
    last = separators[-1]
    if len(separators) == 1 and last in ".," and _is_grouped(groups, separators):
        return Numeral(Decimal(f"{groups[0]}.{groups[1]}"), Decimal("".join(groups)), last)
    if last != _ARABIC_DECIMAL and _is_grouped(groups, separators):
        return Numeral(Decimal("".join(groups)))
    if last in {".", ",", _ARABIC_DECIMAL} and last not in separators[:-1]:
        whole = groups[:-1]
        if len(whole) == 1 or _is_grouped(whole, separators[:-1]):
            return Numeral(Decimal(f"{''.join(whole)}.{groups[-1]}"))
    return None


def _is_grouped(groups: list[str], separators: list[str]) -> bool:
    """Whether the digits are in groups of three, or in Indian groups: three last, two before."""
    if len(set(separators)) != 1 or groups[0] == "0" or len(groups[-1]) != 3 or len(groups[0]) > 3:
        return False
    if all(len(group) == 3 for group in groups[1:]):
        return True
    return separators[0] == "," and len(groups[0]) <= 2 and all(len(group) == 2 for group in groups[1:-1])
