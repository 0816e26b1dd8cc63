"""Training on books with and without a learnable rule, and the export of the trained model."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, cast

import numpy as np
import onnx
import pytest
from bookwheel_contracts import Book, Money
from bookwheel_demo_shop import law
from bookwheel_demo_shop.catalog import Catalog
from bookwheel_ml.model.onnx_scorer import load_scorer
from bookwheel_ml.model.report import EvaluationResult
from bookwheel_ml.training import pipeline
from bookwheel_ml.training.dataset import is_held_out, read_datasets, read_rated_books
from bookwheel_ml.training.evaluation import TooFewRatingsError
from bookwheel_ml.training.forest import compute_scores, fit_forest
from bookwheel_ml.training.onnx_export import OnnxMismatchError, check_export, export_forest
from bookwheel_ml.training.pipeline import TrainedModel, train_model
from bookwheel_stores.records import BookReader
from sklearn.ensemble import RandomForestRegressor

MakeBooks = Callable[..., list[Book]]
_TREES = 60


class _Books:
    """A `BookReader` without a database."""

    def __init__(self, books: Sequence[Book]) -> None:
        self._books = books

    def page(self, *, after_number: int, limit: int) -> list[Book]:
        return [book for book in self._books if book.number > after_number][:limit]


def _reader(books: Sequence[Book]) -> BookReader:
    return cast(BookReader, _Books(books))


def _train(books: Sequence[Book], trees: int = _TREES) -> TrainedModel:
    training, held_out = read_datasets(_reader(books))
    return train_model(training, held_out, tree_count=trees)


def test_ratings_that_follow_a_rule_are_predicted_better_than_by_baselines(make_books: MakeBooks) -> None:
    report = _train(make_books(800)).definition.report
    assert report.verdict is EvaluationResult.LEARNED
    assert report.improvement.low > 0.1
    assert report.model.rmse < 0.85 * min(errors.rmse for errors in report.baselines.values())
    assert 0.7 < report.coverage < 0.9
    assert report.training_rows + report.held_out_rows == 800


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shuffled_ratings_leave_nothing_to_learn(make_books: MakeBooks, seed: int) -> None:
    report = _train(make_books(600, seed=seed, shuffled=True)).definition.report
    assert report.verdict is EvaluationResult.NOTHING_TO_LEARN
    assert report.model.r2 < 0.05


def test_equal_ratings_leave_nothing_to_learn(make_books: MakeBooks) -> None:
    books = [book.model_copy(update={"rating": 4.0}) for book in make_books(200)]
    report = _train(books).definition.report
    assert report.verdict is EvaluationResult.NOTHING_TO_LEARN
    assert report.model.rmse < 1e-6


@pytest.mark.parametrize("seed", [11, 12])
def test_on_the_demo_shop_the_error_is_within_15_percent_of_the_best_reachable(seed: int) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    listings = Catalog(size=1000, seed=seed).listings(0, 0, 1000)
    books = [
        Book(
            id=f"demo:{listing.book.upc}",
            number=number,
            title=listing.book.title,
            category=listing.book.category.name,
            description=listing.book.description,
            price=Money(amount=Decimal(listing.price), currency="GBP"),
            rating=listing.rating,
            stock=listing.stock,
            in_stock=listing.stock > 0,
            first_seen=moment,
            last_seen=moment,
            last_changed=moment,
            revision=1,
        )
        for number, listing in enumerate(listings, 1)
    ]
    facts = [listing.rated_facts for listing, book in zip(listings, books, strict=True) if is_held_out(book)]
    report = _train(books, trees=200).definition.report
    assert report.model.rmse <= 1.15 * law.best_reachable_rmse(facts)
    assert report.model.rmse <= 0.8 * min(errors.rmse for errors in report.baselines.values())
    assert report.verdict is EvaluationResult.LEARNED


def test_too_few_rated_books_are_an_error(make_books: MakeBooks) -> None:
    for count in (0, 1, 40):
        with pytest.raises(TooFewRatingsError, match="rated books to train on"):
            _train(make_books(count))


def test_the_same_books_give_the_same_model_in_any_order_of_pages(make_books: MakeBooks) -> None:
    books = make_books(300)
    first, second = _train(books), _train(books)
    assert first.definition == second.definition
    assert first.onnx.SerializeToString() == second.onnx.SerializeToString()
    changed = [books[0].model_copy(update={"rating": 1.5}), *books[1:]]
    assert read_datasets(_reader(changed))[0].fingerprint() != first.definition.data_fingerprint


def test_books_without_a_rating_are_not_used(make_books: MakeBooks) -> None:
    books = make_books(20)
    books[3] = books[3].model_copy(update={"rating": None})
    assert len(list(read_rated_books(_reader(books), page_size=7))) == 19
    assert not list(read_rated_books(_reader([books[3]])))


def test_books_with_the_same_title_are_in_the_same_split(make_books: MakeBooks) -> None:
    books = make_books(2_000)
    for book in books[:100]:
        copy = book.model_copy(update={"id": f"isbn:{book.number}", "title": f"  {book.title.upper()} "})
        assert is_held_out(copy) == is_held_out(book)
    assert 0.17 < sum(map(is_held_out, books)) / len(books) < 0.23


def test_the_exported_forest_predicts_as_scikit_learn_does(make_books: MakeBooks) -> None:
    training, held_out = read_datasets(_reader(make_books(800)))
    spec = _train(make_books(800)).definition.features
    forest = fit_forest(spec.build_matrix(training.features), training.ratings, tree_count=200).forest
    matrix = spec.build_matrix(held_out.features)
    exported = export_forest(forest)
    assert check_export(exported, forest, matrix) <= 1e-5
    scores = load_scorer(exported.SerializeToString())(matrix)
    np.testing.assert_allclose(scores, compute_scores(forest, matrix), rtol=1e-5, atol=1e-5)


def _changed_export(
    name: Literal["base_values", "target_weights"], position: int, change: Callable[[float], float]
) -> Callable[[RandomForestRegressor], onnx.ModelProto]:
    """An export function that changes one number of the export."""

    def export(forest: RandomForestRegressor) -> onnx.ModelProto:
        exported = export_forest(forest)
        values = {attribute.name: attribute for attribute in exported.graph.node[0].attribute}[name].floats
        values[position] = change(values[position])
        return exported

    return export


@pytest.mark.parametrize("change", [lambda value: value + 0.05, lambda _: float("nan")])
@pytest.mark.parametrize("name", ["base_values", "target_weights"])
def test_an_export_with_other_predictions_is_rejected(
    make_books: MakeBooks, monkeypatch: pytest.MonkeyPatch, name: Any, change: Callable[[float], float]
) -> None:
    monkeypatch.setattr(pipeline, "export_forest", _changed_export(name, 0, change))
    with pytest.raises(OnnxMismatchError):
        _train(make_books(300))


def test_a_wrong_leaf_that_no_held_out_book_reaches_is_detected(
    make_books: MakeBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With few held-out books, some leaves are only reached by training books."""
    training, held_out = read_datasets(_reader(make_books(300)))
    few = replace(
        held_out, book_ids=held_out.book_ids[:20], features=held_out.features[:20], ratings=held_out.ratings[:20]
    )
    model = train_model(training, few, tree_count=1)
    weights = {attribute.name: attribute for attribute in model.onnx.graph.node[0].attribute}["target_weights"].floats
    for position in range(len(weights) // 2):
        monkeypatch.setattr(
            pipeline, "export_forest", _changed_export("target_weights", position, lambda value: value + 1)
        )
        with pytest.raises(OnnxMismatchError):
            train_model(training, few, tree_count=1)


def test_an_invalid_model_file_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="ONNX model is invalid"):
        load_scorer(b"no model")
