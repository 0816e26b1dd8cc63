"""Finds currencies. Stub: the signatures are final."""


def parse_currency(value: object, *, hint: str | None = None) -> str | None:
    """Return the ISO code of a code, a sign or a name. An ambiguous sign such as `$` gives only a fitting hint."""
    raise NotImplementedError


def currency_of_country(country: object) -> str | None:
    """Return the ISO code of a country's currency by its two letters."""
    raise NotImplementedError
