"""Parses prices. A text gives a price only if it has one reading.

All words of a text must be familiar: `Our price: £12.99 incl. VAT`. Words that change the meaning of an amount (`from`,
`was`, `off`, `per`, `list price`) and unfamiliar words are refused.
"""

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache

from bookwheel_contracts import Money

from bookwheel_extraction.values.currencies import (
    COMMA_GROUPS,
    NO_DECIMALS,
    POINT_GROUPS,
    SIGN,
    THREE_DECIMALS_AFTER_COMMA,
    THREE_DECIMALS_AFTER_POINT,
    candidate_currencies,
    needs_hint,
    stated_currencies,
)
from bookwheel_extraction.values.numerals import (
    EXPONENT,
    MAX_NUMBER_LENGTH,
    NUMBER,
    Numeral,
    has_unreadable_digits,
    normalize_numbers,
    plain_text,
    read_numeral,
)
from bookwheel_extraction.values.parsed import Parsed, refuse

_MAX_PRICE = Decimal(10) ** 10
_CENT, _UNIT = Decimal("0.01"), Decimal("0.0001")
_SIMPLE_PRICE = re.compile(r"([\xa3\u20ac])((?:0|[1-9]\d{0,8})\.\d\d)", re.ASCII)
_PLAIN_NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)")
_TOKEN = re.compile(
    rf"(?P<number>{NUMBER})(?P<dashes>[.,:] ?-+(?!-?\d))?"
    rf"|(?P<sign>(?<![^\W\d_])(?:{SIGN}))"
    r"|(?P<word>[^\W\d_]+(?:'[^\W\d_]+)?\.?)"
    r"|(?P<other>[^ ])"
)
_EURO_AS_DECIMAL_SIGN = re.compile(r"(?<![\d.,])(\d{1,4})\u20ac(\d\d)(?!\d)")
_TAX_RATE = re.compile(r"(?i)\b\d{1,2}(?:[.,]\d{1,2})? ?% ?(?=(?:mwst|ust|vat|tva|iva|btw|moms|mva|gst|dph|vat|alv)\b)")
_MOJIBAKE = (("\xc2\xa3", "\xa3"), ("\xe2\x82\xac", "\u20ac"), ("\xe2\u201a\xac", "\u20ac"))
"""UTF-8 that was read as Latin-1 or windows-1252."""
_FREE = frozenset(
    """free gratis kostenlos gratuit gratuito gratuita grátis bezplatnie darmowe zdarma ingyenes бесплатно безкоштовно
    無料 免费""".split()
)
_PRICE_WORDS = frozenset(
    """price preis preise prix precio precios preço prezzo prijs cena pris ár цена our your unser ihr notre nuestro
    nosso nostro onze current aktueller actuel actual attuale huidige now nun jetzt maintenant ahora agora ora nu teraz
    only nur bloß seulement solo sólo só slechts tylko endast kun just sale special today heute buy kaufen acheter
    comprar acquista kopen add to cart basket in den warenkorb incl inkl inc including includes inclusive inclus
    inclusief incluido incluida inclusa inclusi compris comprise enthält vat mwst ust tax taxes taxe tva iva btw moms
    mva gst dph alv ttc tasse all brutto the is der die das le la el il of hardcover hardback paperback softcover
    ebook kindle edition audiobook audio taschenbuch gebunden gebundene ausgabe buch hörbuch broché relié poche
    numérique tapa dura blanda new neu neuf nuevo nuovo nieuw libro livre book copertina
    rigida flessibile brossura gebonden paperbacks rustica rústica 税込""".split()
)
_PRICE_NAMES = frozenset("price preis prix precio preço prezzo prijs pris cena ár цена".split())
_TAX_WORDS = frozenset(
    "vat mwst ust tax taxes taxe tva iva btw moms mva gst dph alv ttc incl inkl inc including".split()
)
_PRODUCT_WORDS = frozenset(
    """set box boxed collection of volume volumes vol vols bände bänden band bd books book copies copy tome tomes
    volúmenes tomos volumi libri bücher boeken delen deel teile teil parts part ausgaben left pages seiten available
    stock""".split()
)
"""Words beside which a bare number counts volumes, copies or pages."""
_RANGE_WORDS = frozenset("from ab von de à desde da van to bis a each je to".split())
_PUNCTUATION = frozenset(':;,.!?"*|[]()')


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def parse_price(value: object, currency: object = None, *, hint: str | None = None) -> Parsed[Money]:
    """Parse a price of unknown origin: a plain number in schema.org's notation, other texts by their own grouping."""
    text = _price_text(value)
    if isinstance(text, Parsed):
        return text
    return _parse(text, _currency_text(currency), hint, in_markup=_PLAIN_NUMBER.fullmatch(text) is not None)


def parse_markup_price(value: object, currency: object = None, *, hint: str | None = None) -> Parsed[Money]:
    """Parse schema.org's notation: the full stop is the decimal sign, so `19.950` is 19.95.

    A text in another notation is parsed as `parse_text_price` does, except that `19.950 €` is refused.
    """
    text = _price_text(value)
    return text if isinstance(text, Parsed) else _parse(text, _currency_text(currency), hint, in_markup=True)


def parse_text_price(text: object, currency: object = None, *, hint: str | None = None) -> Parsed[Money]:
    """Parse a text for readers, by its own grouping: `1.299,00 €`.

    `currency` is what the page states beside the price: a code or a sign. `hint` is a code that only completes a price
    without a currency or with an ambiguous sign: of the page's other prices, its country, or the source's declaration.
    The price of a range is its lower price, like schema.org's `lowPrice`.
    """
    cleaned = _price_text(text)
    return cleaned if isinstance(cleaned, Parsed) else _parse(cleaned, _currency_text(currency), hint, in_markup=False)


def _price_text(value: object) -> str | Parsed[Money]:
    if value is None or value == "":
        return Parsed()
    text = plain_text(value)
    if text is None:
        return refuse("not_a_price", value)
    if len(text) > MAX_NUMBER_LENGTH:
        return refuse("too_long", text)
    text = text.strip()
    return text or Parsed()


def _currency_text(currency: object) -> str:
    return currency.strip()[:100] if isinstance(currency, str) else ""


@lru_cache(maxsize=65536)
def _parse(found: str, currency: str, hint: str | None, *, in_markup: bool) -> Parsed[Money]:
    simple = None if currency else _SIMPLE_PRICE.fullmatch(found)
    if simple:  # most prices of a shop: ten times faster
        return _money(found, Decimal(simple[2]), candidate_currencies(simple[1])[0])
    stated = stated_currencies(currency)
    if currency and not stated:
        return refuse("unknown_currency", currency)
    text = _normalize(found)
    if in_markup and (plain := _PLAIN_NUMBER.fullmatch(text)):
        code = _choose_currency([], stated, hint)
        return _plain_price(found, Decimal(plain[0]), code)
    if EXPONENT.search(text) or has_unreadable_digits(text):
        return refuse("not_a_price", found)
    return _PriceText(found, text, stated, hint, in_markup=in_markup).parse()


def _normalize(text: str) -> str:
    if not text.isascii():
        for broken, sign in _MOJIBAKE:
            text = text.replace(broken, sign)
    return _TAX_RATE.sub("", _EURO_AS_DECIMAL_SIGN.sub("\\1,\\2\u20ac", normalize_numbers(text)))


def _plain_price(found: str, amount: Decimal, code: str | None) -> Parsed[Money]:
    if code in NO_DECIMALS and amount.as_tuple().exponent == -3 and amount < 1000:
        return refuse("ambiguous", found)  # "19.950" won has no third decimal
    return _money(found, amount, code)


def _money(found: str, amount: Decimal, code: str | None) -> Parsed[Money]:
    if amount < 0:
        return refuse("negative", found)
    rounded = min(amount, _MAX_PRICE).quantize(_UNIT, rounding=ROUND_HALF_EVEN)
    if rounded >= _MAX_PRICE:  # compared after rounding
        return refuse("too_large", found)
    if amount and not rounded:
        return refuse("too_small", found)
    if code is None:
        return refuse("no_currency", found)
    cents = rounded.quantize(_CENT)
    return Parsed(Money(amount=cents if cents == rounded else rounded, currency=code))


def _choose_currency(signs: list[str], stated: tuple[str, ...], hint: str | None) -> str | None:
    """Return the only currency that all signs and the statement can mean; raises _ConflictError."""
    sets = [set(candidate_currencies(sign)) for sign in signs]
    if stated:
        sets.append(set(stated))
    if not sets:
        return hint
    candidates = set.intersection(*sets)
    if not candidates:
        raise _ConflictError
    is_sure = stated or any(not needs_hint(sign) for sign in signs)
    if len(candidates) == 1 and is_sure:
        return candidates.pop()
    return hint if hint in candidates else None


class _ConflictError(Exception):
    """A price has two currencies."""


class _PriceText:
    """One price text, its tokens, and what is stated beside it."""

    def __init__(self, found: str, text: str, stated: tuple[str, ...], hint: str | None, *, in_markup: bool) -> None:
        self.found, self.text, self.stated, self.hint, self.in_markup = found, text, stated, hint, in_markup
        self.tokens = [self._token(match) for match in _TOKEN.finditer(text)]
        self.numbers = [position for position, token in enumerate(self.tokens) if token.kind == "number"]
        self.words = [token.text.rstrip(".").casefold() for token in self.tokens if token.kind == "word"]

    @staticmethod
    def _token(match: re.Match[str]) -> _Token:
        if match["number"]:
            return _Token("number", match["number"], match.start(), match.end())
        if match["sign"]:
            return _Token("currency", match["sign"], match.start(), match.end())
        word = match["word"]
        if word:
            plain = word.rstrip(".")
            kind = "currency" if candidate_currencies(plain) or candidate_currencies(word) else "word"
            return _Token(kind, plain, match.start(), match.end())
        return _Token("other", match["other"], match.start(), match.end())

    def parse(self) -> Parsed[Money]:
        try:
            return self._parse()
        except _ConflictError:
            return refuse("currency_conflict", self.found)

    def _parse(self) -> Parsed[Money]:
        if not self.numbers:
            if self.words and all(word in _FREE for word in self.words) and not self._unfamiliar_punctuation("-"):
                return _money(self.found, Decimal(0), _choose_currency(self._signs(), self.stated, self.hint))
            return refuse("not_a_price", self.found)
        if len(self.numbers) == 2 and (lower := self._lower_price_of_range()):
            return lower
        if self._is_negative():
            return refuse("negative", self.found)
        if self._unfamiliar_punctuation("-"):
            return refuse("unclear", self.found)
        position = self._price_position()
        if position is None:
            return refuse("several_numbers" if len(self.numbers) > 1 else "unclear", self.found)
        numeral = read_numeral(self.tokens[position].text)
        code = _choose_currency(self._signs(), self.stated, self.hint)
        return self._price_of(numeral, code, position)

    def _signs(self) -> list[str]:
        return [token.text for token in self.tokens if token.kind == "currency"]

    def _unfamiliar_punctuation(self, also: str) -> bool:
        return any(
            token.kind == "other" and token.text not in _PUNCTUATION and token.text not in also for token in self.tokens
        )

    def _is_negative(self) -> bool:
        """Whether a minus sign is before the first number, directly or before its currency.

        A dash after a word separates: `Price - £5`.
        """
        for position, token in enumerate(self.tokens[: self.numbers[0]]):
            if token.text == "-" and (position == 0 or self.tokens[position - 1].kind == "currency"):
                return True
        return False

    def _price_position(self) -> int | None:
        """Return the position of the only number that can be the price, if all words are familiar."""
        if not self._dashes_are_separators() or self._has_number_in_brackets():
            return None
        beside_currency = [position for position in self.numbers if self._is_beside_currency(position)]
        if len(self.numbers) == 1:
            position = self.numbers[0]
            familiar = all(word in _PRICE_WORDS for word in self.words) and not self._is_tax(position)
            return position if familiar and not self._is_attached_to_word(position) else None
        if len(beside_currency) == len(self.numbers):  # a price that is repeated for screen readers
            texts = {self.tokens[position].text for position in self.numbers}
            familiar = all(word in _PRICE_WORDS for word in self.words)
            return self.numbers[0] if familiar and len(texts) == 1 and len(set(self._signs())) == 1 else None
        if len(beside_currency) != 1:
            return None
        [price] = beside_currency
        others = [position for position in self.numbers if position != price]
        familiar = all(word in _PRICE_WORDS or word in _PRODUCT_WORDS for word in self.words)
        is_clear = (
            familiar
            and not self._is_tax(price)
            and " " not in self.tokens[price].text
            and all(map(self._is_count, others))
        )
        return price if is_clear else None

    def _is_tax(self, position: int) -> bool:
        """Whether the amount can be the tax: `incl. VAT £2.00`, unlike `Price incl. VAT: £12.00`."""
        words = [token.text.casefold() for token in self.tokens[:position] if token.kind == "word"]
        return any(word in _TAX_WORDS for word in words) and words[0] not in _PRICE_NAMES

    def _dashes_are_separators(self) -> bool:
        """Whether each dash is between words or after an amount's decimal sign, never before or in an amount."""
        for position, token in enumerate(self.tokens):
            if token.text != "-":
                continue
            before, after = self._kind(position - 1), self._kind(position + 1)
            is_spaced = self.text[token.start - 1 : token.start] == " " and self.text[token.end : token.end + 1] == " "
            if not is_spaced or ("number" in (before, after) and "word" not in (before, after)):
                if after == "number" and self._is_product_count(position + 1) and is_spaced:
                    continue
                return False
        return True

    def _is_product_count(self, position: int) -> bool:
        return not self._is_beside_currency(position) and self._is_count(position)

    def _has_number_in_brackets(self) -> bool:
        depth = 0
        for token in self.tokens:
            depth += (token.text in "([") - (token.text in ")]") if token.kind == "other" else 0
            if depth and token.kind == "number":
                return True
        return False

    def _kind(self, position: int) -> str:
        return self.tokens[position].kind if 0 <= position < len(self.tokens) else ""

    def _is_beside_currency(self, position: int) -> bool:
        if self._kind(position - 1) == "currency":
            return True
        return self._kind(position + 1) == "currency" and not (
            self._kind(position + 2) == "number" and self.tokens[position + 1].end == self.tokens[position + 2].start
        )

    def _is_attached_to_word(self, position: int) -> bool:
        """Whether a letter touches the number: `B12`, `3x`."""
        token = self.tokens[position]
        return (self._kind(position - 1) == "word" and self.tokens[position - 1].end == token.start) or (
            self._kind(position + 1) == "word" and self.tokens[position + 1].start == token.end
        )

    def _is_count(self, position: int) -> bool:
        """Whether a number counts or numbers volumes, copies or pages: `3 volumes`, `Band 2`."""
        if not re.fullmatch(r"\d{1,4}", self.tokens[position].text):
            return False
        return any(
            self._kind(neighbor) == "word" and self.tokens[neighbor].text.casefold() in _PRODUCT_WORDS
            for neighbor in (position - 1, position + 1)
        )

    def _price_of(self, numeral: Numeral | None, code: str | None, position: int) -> Parsed[Money]:
        if numeral is None:
            return refuse("not_a_price", self.found)
        amount = numeral.amount
        if numeral.grouped is not None:
            if code is None:
                return refuse("no_currency", self.found)
            is_sign_first = self._kind(position - 1) == "currency"
            resolved = self._resolve(numeral, code, is_sign_first=is_sign_first)
            if resolved is None:
                return refuse("ambiguous", self.found)
            amount = resolved
        return _money(self.found, amount, code)

    def _resolve(self, numeral: Numeral, code: str, *, is_sign_first: bool) -> Decimal | None:
        """Return the amount of a number such as `1.234` by how the currency is written; None if that is not sure."""
        is_point = numeral.separator == "."
        if self.in_markup and is_point:
            return None
        if code in THREE_DECIMALS_AFTER_POINT:
            return numeral.amount if is_point else None
        if code in THREE_DECIMALS_AFTER_COMMA:
            return None if is_point else numeral.amount
        if code in NO_DECIMALS or code in (POINT_GROUPS if is_point else COMMA_GROUPS):
            return numeral.grouped
        if code == "EUR" and not (self.in_markup and not self._signs()):
            return numeral.grouped if is_point or is_sign_first else None
        return None

    def _lower_price_of_range(self) -> Parsed[Money] | None:
        """Return the lower price of a range: two amounts with a dash, each with at most a currency. None for others."""
        first, second = self.numbers
        between = self.tokens[first + 1 : second]
        dashes = [token for token in between if token.text == "-"]
        if len(dashes) != 1 or any(token.kind != "currency" for token in between if token.text != "-"):
            return None
        familiar = all(word in _RANGE_WORDS or word in _PRICE_WORDS for word in self.words)
        others = [token for token in self.tokens if token.kind == "other" and token.text not in (":", "*", "-")]
        is_at_edge = first == 0 or self.tokens[first - 1].text != "-"
        if not familiar or others or len(self.tokens) - len(between) > 8 or not is_at_edge or self._is_negative():
            return None
        if sum(token.text == "-" for token in self.tokens) != 1:
            return None
        code = _choose_currency(self._signs(), self.stated, self.hint)
        prices = [
            self._price_of(read_numeral(self.tokens[position].text), code, position) for position in (first, second)
        ]
        if any(price.value is None for price in prices):
            return next(price for price in prices if price.value is None)
        return min(prices, key=lambda price: price.value.amount if price.value else _MAX_PRICE)
