"""The feature matrix of books with any known and unknown fields."""

from decimal import Decimal

import numpy as np
from bookwheel_ml.model.features import BookFeatures, FeatureSpec, fit_feature_spec, tokenize
from hypothesis import given
from hypothesis import strategies as st

_BOOKS = st.builds(
    BookFeatures,
    category=st.none() | st.text(max_size=20),
    description=st.none() | st.text(max_size=300),
    price=st.none() | st.decimals(min_value=0, max_value=10**10, places=2),
    currency=st.none() | st.sampled_from(["GBP", "EUR", "USD"]),
    stock=st.none() | st.integers(min_value=0, max_value=10**9),
)
_SPEC = FeatureSpec(currencies=("EUR", "GBP"), categories=("Poetry", "Travel"), words=("luminous", "tedious"))


def _row(book: BookFeatures) -> dict[str, float]:
    return dict(zip(_SPEC.names, _SPEC.build_matrix([book])[0].tolist(), strict=True))


@given(st.lists(_BOOKS, max_size=8))
def test_the_matrix_of_any_books_is_finite_float32_and_has_one_row_per_book(books: list[BookFeatures]) -> None:
    matrix = _SPEC.build_matrix(books)
    assert matrix.shape == (len(books), len(_SPEC.names))
    assert matrix.dtype == np.float32
    assert np.isfinite(matrix).all()


@given(st.lists(_BOOKS, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_a_row_does_not_depend_on_other_books(books: list[BookFeatures], random: object) -> None:
    together = _SPEC.build_matrix(books)
    one_by_one = np.concatenate([_SPEC.build_matrix([book]) for book in books])
    assert np.array_equal(together, one_by_one)


@given(st.lists(_BOOKS, min_size=1, max_size=30), st.integers(min_value=0, max_value=2**31))
def test_a_spec_fits_any_books_and_is_the_same_after_json(books: list[BookFeatures], seed: int) -> None:
    ratings = np.random.default_rng(seed).uniform(1, 5, len(books))
    spec = fit_feature_spec(books, ratings)
    assert FeatureSpec.model_validate_json(spec.model_dump_json()) == spec
    assert spec.build_matrix(books).shape == (len(books), len(spec.names))
    assert len(set(spec.names)) == len(spec.names)


def test_missing_values_are_explicit_and_differ_from_zero() -> None:
    assert _row(BookFeatures()) == {name: -1.0 if name in {"price", "stock"} else 0.0 for name in _SPEC.names}
    free = _row(BookFeatures(price=Decimal(0), stock=0))
    assert (free["price"], free["price_known"], free["stock"], free["stock_known"]) == (0, 1, 0, 1)


def test_unknown_categories_currencies_and_words_set_no_indicator() -> None:
    row = _row(BookFeatures(category="Gardening", currency="JPY", description="Entirely plain prose"))
    assert sum(value for name, value in row.items() if "=" in name) == 0


def test_indicators_ignore_case_and_compatibility_forms_of_words_only() -> None:
    row = _row(
        BookFeatures(
            category="Poetry",
            currency="EUR",
            description="LUMINOUS! not luminously, \N{FULLWIDTH LATIN SMALL LETTER T}edious",
        )
    )
    indicators = {name for name, value in row.items() if value == 1 and "=" in name}
    assert indicators == {"category=Poetry", "currency=EUR", "word=luminous", "word=tedious"}


def test_words_are_letters_of_any_script_without_digits() -> None:
    assert tokenize("Die STRASSE, straße: 1984 a_b abc9 Война и мир") == [
        "die",
        "strasse",
        "strasse",
        "abc",
        "война",
        "мир",
    ]


def test_a_predictive_word_is_selected_with_few_random_words() -> None:
    generator = np.random.default_rng(3)
    random_words = [f"w{chr(97 + number // 26)}{chr(97 + number % 26)}" for number in range(300)]
    books, ratings = [], []
    for number in range(800):
        good = number % 4 == 0
        words = [*generator.choice(random_words, 20), *(["marvellous"] if good else [])]
        books.append(BookFeatures(description=" ".join(words)))
        ratings.append(4.0 * good + generator.normal())
    spec = fit_feature_spec(books, np.array(ratings))
    assert "marvellous" in spec.words
    assert len(spec.words) < 8


def test_a_single_currency_is_no_feature() -> None:
    pounds = [BookFeatures(currency="GBP")] * 20
    assert fit_feature_spec(pounds, np.ones(20)).currencies == ()
    assert fit_feature_spec([*pounds, *[BookFeatures(currency="EUR")] * 20], np.ones(40)).currencies == ("EUR", "GBP")
