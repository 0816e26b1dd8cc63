"""Parses prices. Stub: the signatures are final."""

from bookwheel_contracts import Money

from bookwheel_extraction.values.parsed import Parsed


def parse_markup_price(value: object, currency: object = None, *, hint: str | None = None) -> Parsed[Money]:
    """Parse schema.org's notation: the full stop is the decimal sign, so `19.950` is 19.95."""
    raise NotImplementedError


def parse_text_price(text: object, currency: object = None, *, hint: str | None = None) -> Parsed[Money]:
    """Parse a text for readers, by its own grouping: `1.299,00 €`.

    `currency` is what the page states beside the price: a code or a sign. `hint` is a code that only completes a price
    without a currency or with an ambiguous sign: of the page's other prices, its country, or the source's declaration.
    """
    raise NotImplementedError
