"""The law of ratings: its probabilities, its marker words, and how well a model can learn it."""

import math
import random
import re

import numpy as np
import pytest
from bookwheel_demo_shop import law
from bookwheel_demo_shop.catalog import Catalog, Listing
from bookwheel_demo_shop.cli import DEFAULT_SEED
from bookwheel_demo_shop.vocabulary import CATEGORIES
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction.text import CountVectorizer

rated_facts = st.builds(
    law.RatedFacts,
    category=st.sampled_from(sorted(CATEGORIES)),
    pence=st.integers(0, 10_000),
    stock=st.integers(0, 22),
    words=st.frozensets(st.sampled_from(sorted(law.WORD_EFFECTS))),
)


@given(rated_facts)
def test_the_star_probabilities_are_a_distribution(facts: law.RatedFacts) -> None:
    chances = law.star_probabilities(facts)
    assert math.isclose(sum(chances), 1)
    assert all(0 <= chance <= 1 for chance in chances)
    assert 1 <= law.expected_rating(facts) <= 5
    assert 0 <= law.rating_variance(facts) <= 4


@given(rated_facts, st.floats(0, 1), st.floats(0, 1))
def test_more_noise_never_lowers_the_stars(facts: law.RatedFacts, first: float, second: float) -> None:
    low, high = sorted((first, second))
    low_stars = law.stars(facts, law.standard_noise(low))
    assert 1 <= low_stars <= law.stars(facts, law.standard_noise(high)) <= 5


def test_the_law_uses_only_categories_of_the_shop() -> None:
    assert set(law.CATEGORY_EFFECTS) <= set(CATEGORIES)


def test_the_best_reachable_error_equals_a_simulation() -> None:
    chance = random.Random(1)
    facts = [listing.rated_facts for listing in Catalog(size=100, seed=4).listings(0, 0, 100)]
    squared = absolute = 0.0
    for book in facts:
        expected, chances = law.expected_rating(book), law.star_probabilities(book)
        median = next(star for star in law.STARS if sum(chances[:star]) >= 0.5)
        for _ in range(300):
            stars = law.stars(book, law.standard_noise(chance.random()))
            squared += (stars - expected) ** 2
            absolute += abs(stars - median)
    assert math.sqrt(squared / 30_000) == pytest.approx(law.best_reachable_rmse(facts), rel=0.02)
    assert absolute / 30_000 == pytest.approx(law.best_reachable_mae(facts), rel=0.02)


@pytest.mark.parametrize("day", [0, 333])
def test_the_law_holds_on_every_day_of_a_large_shop(day: int) -> None:
    listings = Catalog(size=4_000, seed=DEFAULT_SEED).listings(day, 0, 4_000)
    best = law.best_reachable_rmse(listing.rated_facts for listing in listings)
    squares = [(listing.rating - law.expected_rating(listing.rated_facts)) ** 2 for listing in listings]
    assert math.sqrt(math.fsum(squares) / len(squares)) == pytest.approx(best, rel=0.04)


def test_the_marker_words_are_in_the_description() -> None:
    for listing in Catalog(size=500, seed=1).listings(0, 0, 500):
        words = set(re.findall("[a-z]+", (listing.book.description or "").lower())) & set(law.WORD_EFFECTS)
        assert words == listing.book.marker_words


def rmse(
    predicted: "np.ndarray[tuple[int], np.dtype[np.float64]]", actual: "np.ndarray[tuple[int], np.dtype[np.float64]]"
) -> float:
    return float(np.sqrt(np.mean((predicted - actual) ** 2)))


@pytest.mark.parametrize("seed", [DEFAULT_SEED, 1, 2])
def test_a_random_forest_learns_the_law_from_800_books(seed: int) -> None:
    """The forest's error is less than 15 % above the best reachable one, the error of category means more than 25 %."""
    listings = Catalog(size=1_000, seed=seed).listings(0, 0, 1_000)
    random.Random(0).shuffle(listings)
    train, held_out = listings[:800], listings[800:]
    words = CountVectorizer(binary=True, min_df=10, max_features=200).fit([text(listing) for listing in train])

    def matrix(rows: list[Listing]) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
        plain = [
            [listing.pence, listing.stock, *(listing.book.category.name == name for name in CATEGORIES)]
            for listing in rows
        ]
        return np.hstack([np.array(plain, float), words.transform([text(listing) for listing in rows]).toarray()])

    train_stars, stars = (np.array([listing.rating for listing in rows], float) for rows in (train, held_out))
    forest = RandomForestRegressor(100, min_samples_leaf=3, max_features=0.4, random_state=0)
    forest.fit(matrix(train), train_stars)

    best = law.best_reachable_rmse(listing.rated_facts for listing in held_out)
    assert rmse(forest.predict(matrix(held_out)), stars) < 1.15 * best
    assert rmse(category_means(train, held_out), stars) > 1.25 * best


def text(listing: Listing) -> str:
    return listing.book.description or ""


def category_means(train: list[Listing], held_out: list[Listing]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    overall = float(np.mean([listing.rating for listing in train]))
    ratings: dict[str, list[int]] = {}
    for listing in train:
        ratings.setdefault(listing.book.category.name, []).append(listing.rating)
    return np.array([float(np.mean(ratings.get(listing.book.category.name, [overall]))) for listing in held_out])
