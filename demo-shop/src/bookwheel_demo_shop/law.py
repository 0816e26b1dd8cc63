"""The law of ratings: how a book's rating depends on its facts, and the smallest error that a model can reach.

The score of a book is the sum of the effects of its facts and of normal noise with the standard deviation
`NOISE_SIGMA`. Its stars are the score, rounded and clipped to 1..5. So the distribution of the stars for given facts is
known exactly. The error of the best possible prediction follows from it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

NOISE_SIGMA = 0.8
BASE_SCORE = 3.05

CHEAP_EFFECT = 1.2
EXPENSIVE_EFFECT = -1.2
CHEAP_BELOW_PENCE = 2_200
EXPENSIVE_ABOVE_PENCE = 4_200
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
"""Other categories have no effect."""
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
    """Returns the quantile of the standard normal distribution at `fraction`; finite for 0 and 1."""
    return NormalDist().inv_cdf(min(max(fraction, 1e-9), 1 - 1e-9))


def _step(pence: float) -> float:
    """A smooth step from 0 to 1 around 0 pence, with the width `PRICE_SOFTNESS_PENCE`."""
    return 0.5 * (1.0 + math.tanh(pence / (2.0 * PRICE_SOFTNESS_PENCE)))


def score(facts: RatedFacts) -> float:
    """Returns the score of a book before noise, rounding and clipping."""
    return (
        BASE_SCORE
        + CHEAP_EFFECT * _step(CHEAP_BELOW_PENCE - facts.pence)
        + EXPENSIVE_EFFECT * _step(facts.pence - EXPENSIVE_ABOVE_PENCE)
        + CATEGORY_EFFECTS.get(facts.category, 0.0)
        + (WELL_STOCKED_EFFECT if facts.stock >= WELL_STOCKED_FROM else 0.0)
        + math.fsum(WORD_EFFECTS[word] for word in facts.words)
    )


def stars(facts: RatedFacts, noise: float) -> int:
    """Returns the stars of a book. `noise` is in standard deviations."""
    return min(max(math.floor(score(facts) + NOISE_SIGMA * noise + 0.5), STARS[0]), STARS[-1])


def star_probabilities(facts: RatedFacts) -> tuple[float, float, float, float, float]:
    """Returns the probabilities of 1, 2, 3, 4 and 5 stars for the facts; their sum is 1."""
    noise = NormalDist(score(facts), NOISE_SIGMA)
    below = [noise.cdf(star + 0.5) for star in STARS[:-1]]
    return below[0], below[1] - below[0], below[2] - below[1], below[3] - below[2], 1.0 - below[3]


def expected_rating(facts: RatedFacts) -> float:
    """Returns the mean of the stars for the facts: the prediction with the smallest squared error."""
    return math.fsum(star * probability for star, probability in zip(STARS, star_probabilities(facts), strict=True))


def rating_variance(facts: RatedFacts) -> float:
    """Returns the mean squared error of `expected_rating`, in stars squared."""
    probabilities = star_probabilities(facts)
    mean = expected_rating(facts)
    return math.fsum(probability * (star - mean) ** 2 for star, probability in zip(STARS, probabilities, strict=True))


def best_reachable_rmse(facts: Iterable[RatedFacts]) -> float:
    """Returns the root mean squared error, in stars, of the best prediction for at least one book."""
    variances = [rating_variance(book_facts) for book_facts in facts]
    return math.sqrt(math.fsum(variances) / len(variances))


def best_reachable_mae(facts: Iterable[RatedFacts]) -> float:
    """Returns the mean absolute error, in stars, of the best prediction for at least one book."""
    errors = [_least_absolute_error(star_probabilities(book_facts)) for book_facts in facts]
    return math.fsum(errors) / len(errors)


def _least_absolute_error(probabilities: tuple[float, ...]) -> float:
    """Returns the error of the median star: the prediction with the smallest absolute error."""
    return min(
        math.fsum(probability * abs(star - guess) for star, probability in zip(STARS, probabilities, strict=True))
        for guess in STARS
    )
