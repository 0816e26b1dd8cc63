"""The planted law of ratings: what a model can learn from a book's facts, and the best error that any model can reach.

A book's score is a sum of effects of its facts plus normal noise of size `NOISE_SIGMA`; its stars are the score rounded
and clipped to 1..5. The distribution of the stars given the facts is therefore known exactly, and so is the error of
the best prediction that any model could make from these facts.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

NOISE_SIGMA = 0.8
BASE_SCORE = 3.05

CHEAP_EFFECT = 1.2
DEAR_EFFECT = -1.2
CHEAP_BELOW_PENCE = 2_200
DEAR_ABOVE_PENCE = 4_200
PRICE_SOFTNESS_PENCE = 100

WORD_EFFECTS: Mapping[str, float] = {
    "unforgettable": 0.7,
    "luminous": 0.15,
    "gripping": 0.1,
    "predictable": -0.15,
    "plodding": -0.7,
}
CATEGORY_EFFECTS: Mapping[str, float] = {
    "Poetry": 0.25,
    "Travel": 0.25,
    "Science": 0.25,
    "Romance": -0.25,
    "Business": -0.25,
    "Self Help": -0.25,
}
"""Categories that are not named here have no effect."""
WELL_STOCKED_FROM = 10
WELL_STOCKED_EFFECT = 0.2

STARS = (1, 2, 3, 4, 5)


@dataclass(frozen=True, slots=True)
class RatedFacts:
    """The inputs of the law: category, price in pence, copies in stock, and marker words of the description."""

    category: str
    pence: int
    stock: int
    words: frozenset[str]


def standard_noise(fraction: float) -> float:
    """The noise, in standard deviations, at this fraction of the normal distribution; finite also for 0 and 1."""
    return NormalDist().inv_cdf(min(max(fraction, 1e-9), 1 - 1e-9))


def _step(pence: float) -> float:
    """From 0 far below zero to 1 far above it, smooth over a few times `PRICE_SOFTNESS_PENCE`."""
    return 0.5 * (1.0 + math.tanh(pence / (2.0 * PRICE_SOFTNESS_PENCE)))


def score(facts: RatedFacts) -> float:
    """The mean of a book's score, before noise, rounding and clipping."""
    return (
        BASE_SCORE
        + CHEAP_EFFECT * _step(CHEAP_BELOW_PENCE - facts.pence)
        + DEAR_EFFECT * _step(facts.pence - DEAR_ABOVE_PENCE)
        + CATEGORY_EFFECTS.get(facts.category, 0.0)
        + (WELL_STOCKED_EFFECT if facts.stock >= WELL_STOCKED_FROM else 0.0)
        + math.fsum(WORD_EFFECTS[word] for word in facts.words)
    )


def stars(facts: RatedFacts, noise: float) -> int:
    """The stars of a book whose noise, in standard deviations, is `noise`."""
    return min(max(math.floor(score(facts) + NOISE_SIGMA * noise + 0.5), STARS[0]), STARS[-1])


def star_probabilities(facts: RatedFacts) -> tuple[float, float, float, float, float]:
    """The probabilities of 1, 2, 3, 4 and 5 stars given the facts; their sum is 1."""
    noise = NormalDist(score(facts), NOISE_SIGMA)
    below = [noise.cdf(star + 0.5) for star in STARS[:-1]]
    return below[0], below[1] - below[0], below[2] - below[1], below[3] - below[2], 1.0 - below[3]


def expected_rating(facts: RatedFacts) -> float:
    """The mean of the stars given the facts: the prediction of least squared error."""
    return math.fsum(star * chance for star, chance in zip(STARS, star_probabilities(facts), strict=True))


def rating_variance(facts: RatedFacts) -> float:
    """The mean squared error of `expected_rating`, in stars squared."""
    chances = star_probabilities(facts)
    mean = expected_rating(facts)
    return math.fsum(chance * (star - mean) ** 2 for star, chance in zip(STARS, chances, strict=True))


def best_reachable_rmse(facts: Iterable[RatedFacts]) -> float:
    """The expected root mean squared error, in stars, of the best prediction for these books. At least one book."""
    variances = [rating_variance(book_facts) for book_facts in facts]
    return math.sqrt(math.fsum(variances) / len(variances))


def best_reachable_mae(facts: Iterable[RatedFacts]) -> float:
    """The expected mean absolute error, in stars, of the best prediction for these books. At least one book."""
    errors = [_least_absolute_error(star_probabilities(book_facts)) for book_facts in facts]
    return math.fsum(errors) / len(errors)


def _least_absolute_error(chances: tuple[float, ...]) -> float:
    """The error of the median star, which is the prediction of least absolute error."""
    return min(
        math.fsum(chance * abs(star - guess) for star, chance in zip(STARS, chances, strict=True)) for guess in STARS
    )
