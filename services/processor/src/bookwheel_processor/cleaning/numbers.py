"""Parses prices, stock, availability and ratings from page text."""

import re
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from types import MappingProxyType

from bookwheel_contracts import Money
from price_parser import Price
from pydantic import JsonValue

from bookwheel_processor.cleaning.errors import InvalidValueError, quote_value

_PLAIN_NUMBER = re.compile(r"\d+(?:\.\d+)?")
# A minus sign (or a dash) means a negative number only at the beginning or after a currency. After an amount it
# separates the two prices of a range.
_NEGATIVE = re.compile(
    r"(?:^\s*[-\u2012\u2013\u2212]"
    r"|(?<!\d)(?<!\d\s)(?:[$\xa2-\xa5\u0e3f\u20a0-\u20c0]|\b[A-Z]{3})\s*[-\u2212])\s*[^\w\s]?\s*\d"
)
_DASH = re.compile(r"[-\u2010-\u2015\u2212]")
_AMOUNT = re.compile(r"\d[\d.,\s]*")
_NUMBER_WITH_SEPARATORS = re.compile(r"(\d{1,3}(?:[,. '\xa0\u202f]\d{3})+(?!\d)|\d+)(?:[.,](\d+))?")
_ZERO_FRACTION = re.compile(r"\d+\.0+")
_TEN_THOUSANDTH = Decimal("0.0001")
_MAX_PRICE = Decimal(10) ** 10
MAX_COUNT = 10**12
_EXPONENT = re.compile(r"\d[eE][+-]?\d")
_MAX_NUMBER_LENGTH = 200
# The default currency of a symbol that several currencies share: "¥" is Japanese, "kr" is Swedish.
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
    """Parse a price such as `"£51.77"`, or a number with a currency; None for no price. Raises InvalidValueError.

    The price of a range such as `"£10.00-£12.00"` is the lower price, like schema.org's `lowPrice`.
    """
    if value is None or value == "":
        return None
    return _parse_price(_number_text(value, "not_a_price"), currency if isinstance(currency, str) else "")


def clean_stock(value: JsonValue, availability: JsonValue) -> tuple[int | None, bool]:
    """Parse the number of copies (None if unknown) and whether the book is in stock. Raises InvalidValueError."""
    text = availability if isinstance(availability, str) else ""
    copies, available = _parse_availability(text) if len(text) <= _MAX_NUMBER_LENGTH else (None, None)
    stock = clean_count(value) if value is not None else copies
    if available is None:
        available = bool(stock)
    return stock, available and stock != 0


def clean_count(value: JsonValue) -> int | None:
    """Parse a count such as `1204` or `"1,204 ratings"`. Raises InvalidValueError."""
    if value is None or value == "":
        return None
    return _parse_count(_number_text(value, "not_a_count"))


@lru_cache(maxsize=4096)
def _parse_count(text: str) -> int:
    text = text.strip()
    match = _NUMBER_WITH_SEPARATORS.search(text)
    if match is None or _NEGATIVE.match(text):
        raise InvalidValueError("not_a_count", f"is not a count: {quote_value(text)}")
    digits, fraction = match.groups()
    if _ZERO_FRACTION.fullmatch(text):  # "3.000" alone is a formatted 3; in "3.000 ratings" the dot separates thousands
        digits, fraction = text.partition(".")[0], None
    if fraction and fraction.strip("0"):
        raise InvalidValueError("fractional", f"is not a whole number: {quote_value(text)}")
    count = int(re.sub(r"\D", "", digits))
    if count > MAX_COUNT:
        raise InvalidValueError("too_large", f"is greater than {MAX_COUNT}: {quote_value(text)}")
    return count


def clean_rating(value: JsonValue, best: JsonValue) -> float | None:
    """Parse `"Three"`, `4.5`, `"4,5"`, `"8/10"`, `"80%"`, or a number and the `best` rating, to a rating from 0 to 5.

    Raises InvalidValueError.
    """
    if value is None or value == "":
        return None
    return _parse_rating(
        _number_text(value, "not_a_rating"), "" if best is None else _number_text(best, "not_a_rating")
    )


def _number_text(value: JsonValue, code: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidValueError(code, f"is not a number: {quote_value(value)}")
    text = value if isinstance(value, str) else format(Decimal(repr(value)), "f")
    if len(text) > _MAX_NUMBER_LENGTH:
        raise InvalidValueError("too_long", f"is too long for a number: {quote_value(value)}")
    if _EXPONENT.search(text):  # "1e5" would be parsed as 1
        raise InvalidValueError(code, f"is written with an exponent: {quote_value(value)}")
    return text


@lru_cache(maxsize=65536)
def _parse_price(text: str, currency: str) -> Money:
    text = text.strip()
    parsed = _parse_lower_price(text)
    if parsed is None and _NEGATIVE.search(text):
        raise InvalidValueError("negative", f"is negative: {quote_value(text)}")
    parsed = parsed or _parse_amount(text)
    if parsed.amount is None:
        raise InvalidValueError("not_a_price", f"is not a price: {quote_value(text)}")
    rounded = min(parsed.amount, _MAX_PRICE).quantize(_TEN_THOUSANDTH, rounding=ROUND_HALF_EVEN)
    if rounded >= _MAX_PRICE:  # after rounding; `min`, because a huge number cannot be rounded
        raise InvalidValueError("too_large", f"is greater than the maximum price: {quote_value(text)}")
    amount = rounded.quantize(Decimal("0.01")) if rounded == rounded.quantize(Decimal("0.01")) else rounded
    return Money(amount=amount, currency=_parse_currency(currency.strip() or parsed.currency, text))


def _parse_amount(text: str) -> Price:
    # In a number without a currency the dot is the decimal separator, as schema.org requires.
    return Price(Decimal(text), None, text) if _PLAIN_NUMBER.fullmatch(text) else Price.fromstring(text)


def _parse_lower_price(text: str) -> Price | None:
    """Parse the lower price of a range: two amounts with a dash between them. None for any other text."""
    price_texts = _DASH.split(text)
    if len(price_texts) != 2 or not all(map(_has_only_amount_and_currency, price_texts)):
        return None
    low, high = sorted(map(_parse_amount, map(str.strip, price_texts)), key=lambda price: price.amount or Decimal(0))
    return Price(low.amount, low.currency or high.currency, text)


def _has_only_amount_and_currency(price_text: str) -> bool:
    rest, amounts = _AMOUNT.subn(" ", price_text, count=1)
    return amounts == 1 and all(word in _SYMBOLS or _ISO_CODE.fullmatch(word) for word in rest.split())


def _parse_currency(name: str | None, text: str) -> str:
    if name is None:
        raise InvalidValueError("no_currency", f"has no currency: {quote_value(text)}")
    code = _SYMBOLS.get(name, name.upper())
    if _ISO_CODE.fullmatch(code) is None:
        raise InvalidValueError("unknown_currency", f"has an unknown currency: {quote_value(name)}")
    return code


_IN_STOCK = ("instock", "limitedavailability", "onlineonly", "instoreonly", "available", "lowstock")
_NOT_AVAILABLE = ("discontinued", "preorder", "presale", "backorder", "unavailable", "notavailable")
_SOLD_OUT = ("outofstock", "notinstock", "soldout")
_COPIES = r"(?:copies|copy|items?|units?|pieces?|pcs|books?)"
_NUMBER = r"(?<![\d.,/\u2010-\u2015-])([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)"
# A number is a number of copies only if it stands alone or the text says so: "2 copies", "only 3 left", "In stock (5)".
# Double spaces are removed first, because the optional spaces in the second pattern would make it slow.
_STOCK_PATTERNS = (
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
def _parse_availability(text: str) -> tuple[int | None, bool | None]:
    """Parse `"In stock (19 available)"` or `"https://schema.org/InStock"` to copies and availability.

    Returns (None, None) for other texts.
    """
    text = " ".join(text.lower().split())
    if text.startswith(("http://", "https://")):
        text = text.rstrip("/").rpartition("/")[2]
    compact_text = re.sub(r"[^a-z0-9]", "", text).removeprefix("schema")
    if any(phrase in compact_text for phrase in _SOLD_OUT):
        return 0, False
    stock = _parse_copies(text)
    if compact_text.startswith(_NOT_AVAILABLE):
        return stock or 0, False
    return stock, True if compact_text.startswith(_IN_STOCK) else None


def _parse_copies(text: str) -> int | None:
    match = next((match for pattern in _STOCK_PATTERNS if (match := pattern.search(text))), None)
    count = int(match[1].replace(",", "")) if match else None
    return count if count is not None and count <= MAX_COUNT else None


_NUMBER_WORDS = MappingProxyType({"zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5"})
_RATING = re.compile(r"(\d+(?:[.,]\d+)?)\s*(?:(?:/|out\s+of|of)\s*(\d+(?:[.,]\d+)?)|(%))?(?:\s*stars?)?", re.IGNORECASE)


@lru_cache(maxsize=4096)
def _parse_rating(text: str, best: str) -> float:
    match = _RATING.fullmatch(_NUMBER_WORDS.get(text.strip().lower(), text.strip()))
    if match is None:
        raise InvalidValueError("not_a_rating", f"is not a rating: {quote_value(text)}")
    best_text = match[2] or (match[3] and "100") or _best_rating(best)
    rating, best_rating = Decimal(match[1].replace(",", ".")), Decimal(best_text.replace(",", "."))
    if best_rating <= 0:
        raise InvalidValueError("out_of_range", f"has a best rating that is not positive: {quote_value(best_text)}")
    if rating > best_rating:
        raise InvalidValueError("out_of_range", f"is greater than the best rating {best_rating}: {quote_value(text)}")
    return float(round(rating * 5 / best_rating, 4))


def _best_rating(best: str) -> str:
    if not best.strip():
        return "5"
    if re.fullmatch(r"\d+(?:[.,]\d+)?", best.strip()) is None:
        raise InvalidValueError("not_a_rating", f"has a best rating that is not a number: {quote_value(best)}")
    return best.strip()
