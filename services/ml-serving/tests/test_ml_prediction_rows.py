"""Rows of a prediction request. An invalid row does not affect the other rows."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bookwheel_contracts import Book, PredictionRecord
from bookwheel_ml.model.rating_model import DEFINITION_FILE, ONNX_FILE, load_model
from bookwheel_ml.serving.champion import Champion
from bookwheel_ml.serving.predictions import PredictionResponse, PredictionResult, predict
from bookwheel_ml.training.dataset import read_datasets
from bookwheel_ml.training.pipeline import train_model
from bookwheel_stores.records import BookReader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MakeBooks = Callable[..., list[Book]]
_TRACEPARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
_VALID = {"category": "Poetry", "price": {"amount": "12.50", "currency": "GBP"}, "stock": 3}


@pytest.fixture(scope="module")
def champion(book_reader: BookReader, tmp_path_factory: pytest.TempPathFactory) -> Champion:
    folder: Path = tmp_path_factory.mktemp("model")
    trained = train_model(*read_datasets(book_reader), tree_count=30)
    (folder / ONNX_FILE).write_bytes(trained.onnx.SerializeToString())
    (folder / DEFINITION_FILE).write_text(trained.definition.model_dump_json())
    return Champion("bookwheel-rating", "7", load_model(folder))


@pytest.fixture
def predict_rows(champion: Champion, book_reader: BookReader) -> Callable[[list[Any]], PredictionResult]:
    def call(rows: list[Any]) -> PredictionResult:
        return predict(rows, champion=champion, books=book_reader, subject="tester", traceparent=_TRACEPARENT)

    return call


PredictRows = Callable[[list[Any]], PredictionResult]


def test_a_book_by_id_and_the_same_book_by_its_fields_get_the_same_rating(
    predict_rows: PredictRows, make_books: MakeBooks
) -> None:
    book = make_books(400)[4]
    assert book.price is not None
    fields = {
        "title": book.title,
        "category": book.category,
        "description": book.description,
        "price": {"amount": str(book.price.amount), "currency": "GBP"},
        "stock": book.stock,
    }
    by_id, by_fields = predict_rows([{"book_id": book.id}, fields]).response.model_dump()["predictions"]
    assert by_id["book_id"] == book.id
    assert by_fields["book_id"] is None
    assert by_id["rating"] == by_fields["rating"]
    assert 0 <= by_id["low"] <= by_id["rating"] <= by_id["high"] <= 5


@pytest.mark.parametrize(
    ("row", "code", "detail"),
    [
        ({"book_id": "demo:nowhere"}, "not_found", ""),
        ({}, "invalid_row", "needs a book_id"),
        ({"category": None}, "invalid_row", "needs a book_id"),
        ({"book_id": "demo:000001", "stock": 3}, "invalid_row", "not both"),
        ({"colour": "red"}, "invalid_row", "colour"),
        ({**_VALID, "stock": -1}, "invalid_row", "stock"),
        ({**_VALID, "stock": "3"}, "invalid_row", "stock"),
        ({**_VALID, "stock": True}, "invalid_row", "stock"),
        ({**_VALID, "stock": 10**30}, "invalid_row", "stock"),
        ({**_VALID, "price": {"amount": "NaN", "currency": "GBP"}}, "invalid_row", "price.amount"),
        ({**_VALID, "price": {"amount": float("inf"), "currency": "GBP"}}, "invalid_row", "price.amount"),
        ({**_VALID, "price": {"amount": "-1", "currency": "GBP"}}, "invalid_row", "price.amount"),
        ({**_VALID, "price": {"amount": "1", "currency": "pounds"}}, "invalid_row", "price.currency"),
        ({**_VALID, "price": 3}, "invalid_row", "price"),
        ({**_VALID, "description": "x" * 100_001}, "invalid_row", "description"),
        ({**_VALID, "description": "\ud800"}, "invalid_row", "description"),
        ({"book_id": "\ud800"}, "invalid_row", "book_id"),
        ({"book_id": "a\x00b"}, "invalid_row", "book_id"),
        ({"book_id": ""}, "invalid_row", "book_id"),
        ({"book_id": "x" * 513}, "invalid_row", "book_id"),
        ({"book_id": 17}, "invalid_row", "book_id"),
        ("demo:000001", "invalid_row", "object"),
        (None, "invalid_row", "object"),
        ([_VALID], "invalid_row", "object"),
    ],
)
def test_an_invalid_row_has_an_error_and_does_not_affect_others(
    predict_rows: PredictRows, row: Any, code: str, detail: str
) -> None:
    first, invalid, last = predict_rows([_VALID, row, _VALID]).response.model_dump()["predictions"]
    assert first["rating"] == last["rating"] is not None
    assert (first["index"], invalid["index"], last["index"]) == (0, 1, 2)
    assert invalid["error"]["code"] == code
    assert detail in invalid["error"]["detail"]
    assert invalid["rating"] is invalid["low"] is invalid["high"] is invalid["prediction_id"] is None
    assert first["error"] is last["error"] is None


def test_a_thousand_invalid_rows_have_errors_and_no_log_entries(predict_rows: PredictRows) -> None:
    result = predict_rows([None] * 1_000)
    assert all(prediction["error"] for prediction in result.response.model_dump()["predictions"])
    assert result.log_entries == []


def test_missing_fields_are_no_error(predict_rows: PredictRows) -> None:
    (prediction,) = predict_rows([{"title": "Only a title"}]).response.model_dump()["predictions"]
    assert prediction["error"] is None
    assert prediction["rating"] is not None


def test_every_prediction_is_logged_as_a_prediction_record(predict_rows: PredictRows, champion: Champion) -> None:
    result = predict_rows([_VALID, None, {"book_id": "demo:000002"}])
    before = datetime.now(UTC)
    records = [PredictionRecord.model_validate_json(entry.to_json()) for entry in result.log_entries]
    valid = [prediction for prediction in result.response.model_dump()["predictions"] if prediction["error"] is None]
    assert [record.prediction_id for record in records] == [prediction["prediction_id"] for prediction in valid]
    assert [record.book_id for record in records] == [None, "demo:000002"]
    for record, prediction in zip(records, valid, strict=True):
        assert (record.rating, record.low, record.high) == (prediction["rating"], prediction["low"], prediction["high"])
        assert (record.model_name, record.model_version) == ("bookwheel-rating", "7")
        assert (record.subject, record.traceparent) == ("tester", _TRACEPARENT)
        assert len(record.features) == len(champion.model.definition.features.names)
        assert abs((before - record.predicted_at).total_seconds()) < 5


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_ROWS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("book_id", "title", "authors", "category", "description", "language", "price", "stock"), _JSON
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(_JSON | _ROWS, min_size=1, max_size=5))
def test_any_json_gets_a_valid_response(predict_rows: PredictRows, rows: list[Any]) -> None:
    response = PredictionResponse.model_validate_json(predict_rows(rows).response.model_dump_json())
    assert len(response.predictions) == len(rows)
    for prediction in response.predictions:
        assert (prediction.rating is None) == (prediction.error is not None)
