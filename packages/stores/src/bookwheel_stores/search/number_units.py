"""Numbers as both indexes hold them, and as their ranges ask for them."""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from functools import lru_cache

from bookwheel_stores.search.queries import Bound, Range

SCALES = {"price": 10_000, "rating": 1_000_000, "rating_count": 1, "stock": 1, "first_seen": 1, "last_changed": 1}
"""Numbers are indexed as integers, so that bounds, sums and buckets are exact: units per one of the public value."""
_LARGEST = (1 << 62) - 1


@lru_cache(maxsize=65536)
def price_units(amount: str) -> int:
    return int(Decimal(amount) * SCALES["price"])


@lru_cache(maxsize=4096)
def rating_units(rating: float) -> int:
    """The only number with more places than there are units: it is indexed, and looked for, to the nearest of them."""
    return int(_exact("rating", rating).to_integral_value(ROUND_HALF_EVEN))


def range_units(name: str, wanted: Range) -> tuple[int | None, int | None]:
    """The least and the greatest units in the range; None is no limit."""
    lossy = name == "rating"
    return (
        _bound(name, wanted.low, rounding=ROUND_HALF_EVEN if lossy else ROUND_CEILING),
        _bound(name, wanted.high, rounding=ROUND_HALF_EVEN if lossy else ROUND_FLOOR),
    )


def _bound(name: str, bound: Bound, *, rounding: str) -> int | None:
    if bound is None:
        return None
    return min(max(int(_exact(name, bound).to_integral_value(rounding)), -_LARGEST), _LARGEST)


def _exact(name: str, number: Decimal | float) -> Decimal:
    return (number if isinstance(number, Decimal) else Decimal(str(number))) * SCALES[name]
