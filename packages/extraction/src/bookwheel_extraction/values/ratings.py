"""Parses ratings and converts them to the scale from 0 to 5."""

import re
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType

from bookwheel_extraction.values.counts import parse_count
from bookwheel_extraction.values.numerals import (
    EXPONENT,
    MAX_NUMBER_LENGTH,
    has_unreadable_digits,
    normalize_numbers,
    plain_text,
)
from bookwheel_extraction.values.parsed import Parsed, refuse

_WORDS = MappingProxyType(
    {
        word: str(number)
        for number, words in enumerate(
            (
                "zero null zéro cero nul",
                "one eins un uno één",
                "two zwei deux dos due twee",
                "three drei trois tres tre drie",
                "four vier quatre cuatro quattro",
                "five fünf cinq cinco cinque vijf",
            )
        )
        for word in words.split()
    }
)
_LABEL = (
    r"(?:(?:average|avg\.?|customer|rated|ratings?|score|note|nota|bewertung|bewertet mit|durchschnitt|valutazione"
    r"|puntuación|calificación|beoordeling|ø)[ :]{1,3}){0,3}"
)
_DECIMAL = r"\d{1,6}(?:[.,\u066b]\d{1,20})?"
_UNIT = r"(?:stars?|sternen?|étoiles?|estrellas?|stelle|sterren|points?|punkten?)"
_RATING = re.compile(
    rf"{_LABEL}(?P<minus>-)?(?P<value>{_DECIMAL}) ?(?:{_UNIT} ?)?"
    rf"(?:(?:/|out of|of|von|sur|de|sobre|su|van de|van|uit|av|af|na|из|z) ?(?P<best>{_DECIMAL})|(?P<percent>%))?"
    rf"(?: ?{_UNIT})?[.!]?(?: ?\(\d[\d.,' ]{{0,15}}(?: ?[^\W\d_]+)?\))?",
    re.IGNORECASE,
)
_STARS = re.compile(r"(?:(?P<full>[\u2605\u2b50]\ufe0f?)|(?P<half>[\xbd\u2bea\u2be8])|(?P<empty>\u2606)|[ \ufe0f])+")
_PLAIN = re.compile(_DECIMAL)


def parse_rating(value: object, best: object = None, worst: object = None, count: object = None) -> Parsed[float]:
    """Parse a rating to the scale from 0 to 5: `4.5`, `4,5 von 5`, `8/10`, `85%`, `Three`, `★★★★☆`.

    `best` and `worst` are the stated scale. A best rating in the text takes precedence. A `count` of zero means that
    there is no rating. A rating above its scale, or above 5 without a scale, is a fault.
    """
    if value is None or value == "" or (count is not None and parse_count(count).value == 0):
        return Parsed()
    if best is None and worst is None and isinstance(value, str) and len(value) <= MAX_NUMBER_LENGTH:  # most ratings
        return _parse_rating(value, "", "")
    texts = [plain_text("" if part is None else part) for part in (value, best, worst)]
    if any(text is None or len(text) > MAX_NUMBER_LENGTH for text in texts):
        return refuse("not_a_rating", value)
    return _parse_rating(*(text or "" for text in texts))


@lru_cache(maxsize=4096)
def _parse_rating(found: str, best: str, worst: str) -> Parsed[float]:
    text = normalize_numbers(found)
    if not text:
        return Parsed()
    if "\u2605" in text or "\u2b50" in text:
        return _parse_stars(found, text)
    word, _, rest = text.casefold().partition(" ")
    text = f"{_WORDS[word]} {rest}".strip() if word in _WORDS else text
    match = _RATING.fullmatch(text)
    if match is None or EXPONENT.search(text) or has_unreadable_digits(text):
        return refuse("not_a_rating", found)
    rating = _number(match["value"]) * (-1 if match["minus"] else 1)
    if match["best"] or match["percent"]:
        return _scale(found, rating, _number(match["best"]) if match["best"] else Decimal(100), None)
    limits = [_limit(part) for part in (best, worst)]
    if any(part.fault for part in limits):
        return refuse("scale_unreadable", f"{found} of {best}")
    return _scale(found, rating, limits[0].value, limits[1].value)


def _limit(text: str) -> Parsed[Decimal]:
    normalized = normalize_numbers(text)
    if not normalized:
        return Parsed()
    digits = normalized.removeprefix("-")
    if not _PLAIN.fullmatch(digits):
        return refuse("not_a_rating", text)
    return Parsed(_number(digits) * (-1 if digits != normalized else 1))


def _number(text: str) -> Decimal:
    return Decimal(text.replace(",", ".").replace("\u066b", "."))


def _scale(found: str, rating: Decimal, best: Decimal | None, worst: Decimal | None) -> Parsed[float]:
    if best is None:
        if rating > 5:
            return refuse("no_scale", found)
        best = Decimal(5)
    # A scale from 1 to 5 is read as one from 0 to 5, as shops show it. Any other worst rating is the scale's zero.
    zero = Decimal(0) if worst is None or (worst in (0, 1) and best > worst) else worst
    lowest = worst if worst is not None else zero
    if best == zero or (worst is None and best <= 0):
        return refuse("out_of_range", found)
    if not min(lowest, best) <= rating <= max(lowest, best):
        return refuse("out_of_range", found)
    return Parsed(float(round((rating - zero) * 5 / (best - zero), 4)))


def _parse_stars(found: str, text: str) -> Parsed[float]:
    if not _STARS.fullmatch(text):
        return refuse("not_a_rating", found)
    full = text.count("\u2605") + text.count("\u2b50")
    half = sum(map(text.count, "\xbd\u2bea\u2be8"))
    total = full + half + text.count("\u2606")
    if half > 1 or total > 5 or ("\u2606" in text and total != 5):
        return refuse("not_a_rating", found)
    return Parsed(full + half / 2)
