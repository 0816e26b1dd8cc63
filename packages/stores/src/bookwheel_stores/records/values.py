"""Converts times and money to and from column values: see `tables`."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from bookwheel_contracts import Money

PRICE_DIGITS = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Currencies of ISO 4217 that do not have two decimal places.
_MINOR_DIGITS = dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX"), 0)
_MINOR_DIGITS |= dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0)
_MINOR_DIGITS |= dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)


def utc_now() -> datetime:
    return datetime.now(UTC)


def to_millis(moment: datetime) -> int:
    since = moment - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


@lru_cache(maxsize=4096)
def from_millis(millis: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=millis)


@lru_cache(maxsize=4096)
def to_units(amount: Decimal) -> int:
    """Converts an amount to units of 1/10,000. Exact, because Money has at most four decimal places."""
    return int(amount.scaleb(PRICE_DIGITS))


@lru_cache(maxsize=65536)
def from_units(units: int, currency: str) -> Money:
    """Returns money with the usual number of decimal places of the currency, or more: `5.50`, `0.0125`, JPY `500`."""
    amount = Decimal(units).scaleb(-PRICE_DIGITS)
    for digits in range(_MINOR_DIGITS.get(currency, 2), PRICE_DIGITS):
        rounded = amount.quantize(Decimal(1).scaleb(-digits))
        if rounded == amount:
            return Money(amount=rounded, currency=currency)
    return Money(amount=amount, currency=currency)


def money(units: int | None, currency: str | None) -> Money | None:
    return None if units is None or currency is None else from_units(units, currency)
