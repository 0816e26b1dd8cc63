"""Prices, stock, availability and ratings as pages write them."""

import re
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from types import MappingProxyType

from bookwheel_contracts import Money
from price_parser import Price
from pydantic import JsonValue

from bookwheel_processor.cleaning.faults import InvalidValueError, shown

_PLAIN_NUMBER = re.compile(r"\d+(?:\.\d+)?")
# A minus (or a dash in its place) is a sign at the beginning or after a currency. After an amount it separates the ends
# of a range.
_NEGATIVE = re.compile(
    r"(?:^\s*[-\u2012\u2013\u2212]"
    r"|(?<!\d)(?<!\d\s)(?:[$\xa2-\xa5\u0e3f\u20a0-\u20c0]|\b[A-Z]{3})\s*[-\u2212])\s*[^\w\s]?\s*\d"
)
_DASH = re.compile(r"[-\u2010-\u2015\u2212]")
_AMOUNT = re.compile(r"\d[\d.,\s]*")
_GROUPED = re.compile(r"(\d{1,3}(?:[,. '\xa0\u202f]\d{3})+(?!\d)|\d+)(?:[.,](\d+))?")
_DECIMAL_ZEROS = re.compile(r"\d+\.0+")
_TEN_THOUSANDTH = Decimal("0.0001")
_MAX_PRICE = Decimal(10) ** 10
MAX_COUNT = 10**12
_EXPONENT = re.compile(r"\d[eE][+-]?\d")
_MAX_NUMBER_LENGTH = 200
# The currency of a symbol without further context: "¥" is Japanese rather than Chinese, "kr" is Swedish.
_SYMBOLS = MappingProxyType(
    {
        "£": "GBP",
        "€": "EUR",
        "$": "USD",
        "US$": "USD",
        "¥": "JPY",
        "円": "JPY",
        "元": "CNY",
        "₹": "INR",
        "Rs.": "INR",
        "₽": "RUB",
        "₴": "UAH",
        "₩": "KRW",
        "₺": "TRY",
        "₫": "VND",
        "₱": "PHP",
        "zł": "PLN",
        "Kč": "CZK",
        "Ft": "HUF",
        "kr": "SEK",
        "R$": "BRL",
        "C$": "CAD",
        "CA$": "CAD",
        "A$": "AUD",
        "AU$": "AUD",
        "NZ$": "NZD",
        "HK$": "HKD",
        "S$": "SGD",
        "₪": "ILS",
        "฿": "THB",
        "₦": "NGN",
        "lei": "RON",
    }
)
_ISO_CODE = re.compile(r"[A-Za-z]{3}")


def clean_price(value: JsonValue, currency: JsonValue) -> Money | None:
    """A price such as `"£51.77"`, or a number with a currency; None for no price. Raises InvalidValueError.

    The price of a range such as `"£10.00-£12.00"` is its low end, as schema.org's `lowPrice`.
    """
    if value is None or value == "":
        return None
    return _price(_number_text(value, "not_a_price"), currency if isinstance(currency, str) else "")


def clean_stock(value: JsonValue, availability: JsonValue) -> tuple[int | None, bool]:
    """The number of copies, where the page has one, and whether the book is in stock. Raises InvalidValueError."""
    word = availability if isinstance(availability, str) else ""
    counted, available = _availability(word) if len(word) <= _MAX_NUMBER_LENGTH else (None, None)
    stock = clean_count(value) if value is not None else counted
    if available is None:
        available = bool(stock)
    return stock, available and stock != 0


def clean_count(value: JsonValue) -> int | None:
    """A count such as `1204` or `"1,204 ratings"`. Raises InvalidValueError."""
    if value is None or value == "":
        return None
    return _count(_number_text(value, "not_a_count"))


@lru_cache(maxsize=4096)
def _count(text: str) -> int:
    text = text.strip()
    match = _GROUPED.search(text)
    if match is None or _NEGATIVE.match(text):
        raise InvalidValueError("not_a_count", f"is not a count: {shown(text)}")
    digits, fraction = match.groups()
    if _DECIMAL_ZEROS.fullmatch(text):  # "3.000" alone is a formatted 3; in "3.000 ratings" the dot separates thousands
        digits, fraction = text.partition(".")[0], None
    if fraction and fraction.strip("0"):
        raise InvalidValueError("fractional", f"is not a whole number: {shown(text)}")
    count = int(re.sub(r"\D", "", digits))
    if count > MAX_COUNT:
        raise InvalidValueError("too_large", f"is greater than {MAX_COUNT}: {shown(text)}")
    return count


def clean_rating(value: JsonValue, best: JsonValue) -> float | None:
    """A rating from 0 to 5, of `"Three"`, `4.5`, `"4,5"`, `"8/10"`, `"80%"`, or of a number and the `best` rating.

    Raises InvalidValueError.
    """
    if value is None or value == "":
        return None
    return _rating(_number_text(value, "not_a_rating"), "" if best is None else _number_text(best, "not_a_rating"))


def _number_text(value: JsonValue, code: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidValueError(code, f"is not a number: {shown(value)}")
    text = value if isinstance(value, str) else format(Decimal(repr(value)), "f")
    if len(text) > _MAX_NUMBER_LENGTH:
        raise InvalidValueError("too_long", f"is too long for a number: {shown(value)}")
    if _EXPONENT.search(text):  # "1e5" would be parsed as 1
        raise InvalidValueError(code, f"is written with an exponent: {shown(value)}")
    return text


@lru_cache(maxsize=65536)
def _price(text: str, currency: str) -> Money:
    text = text.strip()
    parsed = _low_end(text)
    if parsed is None and _NEGATIVE.search(text):
        raise InvalidValueError("negative", f"is negative: {shown(text)}")
    parsed = parsed or _parsed(text)
    if parsed.amount is None:
        raise InvalidValueError("not_a_price", f"is not a price: {shown(text)}")
    exact = min(parsed.amount, _MAX_PRICE).quantize(_TEN_THOUSANDTH, rounding=ROUND_HALF_EVEN)
    if exact >= _MAX_PRICE:  # compared after rounding
        raise InvalidValueError("too_large", f"is greater than any price: {shown(text)}")
    shortest = exact.quantize(Decimal("0.01")) if exact == exact.quantize(Decimal("0.01")) else exact
    return Money(amount=shortest, currency=_currency(currency.strip() or parsed.currency, text))


def _parsed(text: str) -> Price:
    # "1.234" with a separate currency is not 1,234: schema.org defines it so.
    return Price(Decimal(text), None, text) if _PLAIN_NUMBER.fullmatch(text) else Price.fromstring(text)


def _low_end(text: str) -> Price | None:
    """The lower of two amounts that a dash separates, with nothing but currencies; None for any other text."""
    ends = _DASH.split(text)
    if len(ends) != 2 or not all(map(_is_bare, ends)):
        return None
    low, high = sorted((_parsed(end.strip()) for end in ends), key=lambda price: price.amount or Decimal(0))
    return Price(low.amount, low.currency or high.currency, text)


def _is_bare(end: str) -> bool:
    rest, amounts = _AMOUNT.subn(" ", end, count=1)
    return amounts == 1 and all(word in _SYMBOLS or _ISO_CODE.fullmatch(word) for word in rest.split())


def _currency(name: str | None, text: str) -> str:
    if name is None:
        raise InvalidValueError("no_currency", f"has no currency: {shown(text)}")
    code = _SYMBOLS.get(name, name.upper())
    if _ISO_CODE.fullmatch(code) is None:
        raise InvalidValueError("unknown_currency", f"is in an unknown currency: {shown(name)}")
    return code


_IN_STOCK = ("instock", "limitedavailability", "onlineonly", "instoreonly", "available", "lowstock")
_NOT_IN_STOCK = ("discontinued", "preorder", "presale", "backorder", "unavailable", "notavailable")
_NONE_LEFT = ("outofstock", "notinstock", "soldout")
_COPIES = r"(?:copies|copy|items?|units?|pieces?|pcs|books?)"
_NUMBER = r"(?<![\d.,/\u2010-\u2015-])([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)"
# A number counts copies only where the text says so: alone, "2 copies", "only 3 left", "In stock (5)". The text has no
# double spaces: the optional ones in the second pattern are slow on them.
_COUNTED = (
    re.compile(rf"^{_NUMBER}$"),
    re.compile(
        rf"{_NUMBER} ?\+?(?: ?cop(?:ies|y)\b|(?: ?(?:more|{_COPIES}))?(?: (?:are|is))?(?: (?:currently|still))? ?"
        r"(?:available|left|remaining|in[ _-]?stock)\b)"
    ),
    re.compile(
        rf"(?:in[ _-]?stock ?[:(=]?|\b(?:stock|available|availability|{_COPIES}|left|quantity|qty) ?[:(=]) ?"
        rf"{_NUMBER} ?(?:\)|$)"
    ),
)


@lru_cache(maxsize=4096)
def _availability(text: str) -> tuple[int | None, bool | None]:
    """From `"In stock (19 available)"` or `"https://schema.org/InStock"`; (None, None) for other texts."""
    text = " ".join(text.lower().split())
    if text.startswith(("http://", "https://")):
        text = text.rstrip("/").rpartition("/")[2]
    word = re.sub(r"[^a-z0-9]", "", text).removeprefix("schema")
    if any(phrase in word for phrase in _NONE_LEFT):
        return 0, False
    stock = _copies(text)
    if word.startswith(_NOT_IN_STOCK):
        return stock or 0, False
    return stock, True if word.startswith(_IN_STOCK) else None


def _copies(text: str) -> int | None:
    match = next((match for pattern in _COUNTED if (match := pattern.search(text))), None)
    count = int(match[1].replace(",", "")) if match else None
    return count if count is not None and count <= MAX_COUNT else None


_WORDS = MappingProxyType({"zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5"})
_RATING = re.compile(r"(\d+(?:[.,]\d+)?)\s*(?:(?:/|out\s+of|of)\s*(\d+(?:[.,]\d+)?)|(%))?(?:\s*stars?)?", re.IGNORECASE)


@lru_cache(maxsize=4096)
def _rating(text: str, best: str) -> float:
    match = _RATING.fullmatch(_WORDS.get(text.strip().lower(), text.strip()))
    if match is None:
        raise InvalidValueError("not_a_rating", f"is not a rating: {shown(text)}")
    scale = match[2] or (match[3] and "100") or _scale(best)
    points, top = Decimal(match[1].replace(",", ".")), Decimal(scale.replace(",", "."))
    if top <= 0 or points > top:
        raise InvalidValueError("out_of_range", f"is greater than the best rating {top}: {shown(text)}")
    return float(round(points * 5 / top, 4))


def _scale(best: str) -> str:
    if not best.strip():
        return "5"
    if re.fullmatch(r"\d+(?:[.,]\d+)?", best.strip()) is None:
        raise InvalidValueError("not_a_rating", f"has a best rating that is not a number: {shown(best)}")
    return best.strip()
