"""Predicts the rows of a request. An invalid row gets an error and does not fail the others."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from bookwheel_contracts import FieldError, Money
from bookwheel_contracts.model import MAX_KEY_LENGTH
from bookwheel_stores.records import BookReader
from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, TypeAdapter, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from bookwheel_ml.model.features import BookFeatures
from bookwheel_ml.model.report import EvaluationResult
from bookwheel_ml.serving.champion import Champion
from bookwheel_ml.serving.prediction_log import PredictionLogEntry

MAX_ROWS = 1_000
_RATING_DIGITS = 4  # decimal places of a star; hides the rounding errors of float32
_NO_NUL_PATTERN = r"^[^\x00]*$"  # PostgreSQL rejects NUL in a text


class PredictionRow(BaseModel):
    """A book, given by its id or by its fields. `title`, `authors` and `language` are accepted but not used yet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    book_id: str | None = Field(default=None, min_length=1, max_length=MAX_KEY_LENGTH, pattern=_NO_NUL_PATTERN)
    title: str | None = Field(default=None, max_length=10_000)
    authors: tuple[str, ...] = Field(default=(), max_length=100)
    category: str | None = Field(default=None, max_length=1_000)
    description: str | None = Field(default=None, max_length=100_000)
    language: str | None = Field(default=None, max_length=100)
    price: Money | None = None
    stock: int | None = Field(default=None, ge=0, le=10**9, strict=True)


class _AnyRow:
    """Accepts any JSON: each row is validated separately later. The API description shows `PredictionRow`."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> CoreSchema:
        return core_schema.any_schema()

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(PredictionRow.__pydantic_core_schema__)


class PredictionRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    books: Annotated[list[Annotated[Any, _AnyRow]], Field(min_length=1, max_length=MAX_ROWS)]


class RowError(BaseModel):
    """The reason why a row has no prediction. `code` is `invalid_row` or `not_found`."""

    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()


class Prediction(BaseModel):
    """The predicted rating and its 80 % interval, in stars from 0 to 5. Either `rating` or `error` is null."""

    index: int
    book_id: str | None = None
    rating: float | None = None
    low: float | None = None
    high: float | None = None
    prediction_id: str | None = None
    error: RowError | None = None


class ServedModel(BaseModel):
    """The model of the predictions. `verdict` is `nothing to learn` if it predicts no better than a baseline."""

    name: str
    version: str
    arm: str
    verdict: EvaluationResult


class PredictionResponse(BaseModel):
    predictions: list[Prediction]
    model: ServedModel


@dataclass(frozen=True, slots=True)
class PredictionResult:
    """The response, and the entries for the prediction log."""

    response: PredictionResponse
    log_entries: list[PredictionLogEntry]


def needs_database(rows: Sequence[object]) -> bool:
    """Returns True if a row refers to a stored book."""
    return any(isinstance(row, dict) and "book_id" in row for row in rows)


def predict(
    rows: Sequence[object], *, champion: Champion, books: BookReader, subject: str, traceparent: str
) -> PredictionResult:
    """Predicts unvalidated rows. `subject` and `traceparent` go into the log entries."""
    parsed_rows = [_parse_row(row) for row in rows]
    outcomes = _load_features(parsed_rows, books)
    predicted_columns = champion.model.predict([outcome for outcome in outcomes if isinstance(outcome, BookFeatures)])
    star_columns = (
        column.round(_RATING_DIGITS).tolist()
        for column in (predicted_columns.rating, predicted_columns.low, predicted_columns.high)
    )
    predicted_rows = zip(*star_columns, predicted_columns.matrix.tolist(), strict=True)
    predicted_at = time.time()
    predictions, log_entries = [], []
    for index, (row, outcome) in enumerate(zip(parsed_rows, outcomes, strict=True)):
        book_id = row.book_id if isinstance(row, PredictionRow) else None
        if isinstance(outcome, RowError):
            predictions.append(Prediction(index=index, book_id=book_id, error=outcome))
            continue
        rating, low, high, feature_values = next(predicted_rows)
        log_entry = PredictionLogEntry(
            prediction_id=secrets.token_hex(16),
            book_id=book_id,
            predicted_at=predicted_at,
            model_name=champion.name,
            model_version=champion.version,
            rating=rating,
            low=low,
            high=high,
            features=tuple(feature_values),
            subject=subject,
            traceparent=traceparent,
        )
        log_entries.append(log_entry)
        predictions.append(
            Prediction(
                index=index, book_id=book_id, rating=rating, low=low, high=high, prediction_id=log_entry.prediction_id
            )
        )
    verdict = champion.model.definition.report.verdict
    model = ServedModel(name=champion.name, version=champion.version, arm="champion", verdict=verdict)
    return PredictionResult(PredictionResponse(predictions=predictions, model=model), log_entries)


_row_adapter: TypeAdapter[PredictionRow] = TypeAdapter(PredictionRow)


def _parse_row(row: object) -> PredictionRow | RowError:
    if not isinstance(row, dict):
        return _create_row_error("A row must be an object.")
    try:
        parsed = _row_adapter.validate_python(row)
    except ValidationError as error:
        field_errors = error.errors(include_url=False, include_context=False, include_input=False)
        errors = tuple(
            FieldError(
                field=".".join(str(part) for part in field_error["loc"]),
                code=field_error["type"],
                message=field_error["msg"],
            )
            for field_error in field_errors
        )
        return _create_row_error("; ".join(f"{error.field}: {error.message}" for error in errors), errors)
    fields = {name for name in parsed.model_fields_set if getattr(parsed, name) is not None}
    if not fields:
        return _create_row_error("A row needs a book_id or at least one other field.")
    if parsed.book_id is not None and fields != {"book_id"}:
        return _create_row_error("A row must have either a book_id or other fields, not both.")
    return parsed


def _create_row_error(detail: str, errors: tuple[FieldError, ...] = ()) -> RowError:
    return RowError(code="invalid_row", detail=detail, errors=errors)


def _load_features(rows: list[PredictionRow | RowError], books: BookReader) -> list[BookFeatures | RowError]:
    """Returns the features or the error of each row, in order."""
    book_ids = list(dict.fromkeys(row.book_id for row in rows if isinstance(row, PredictionRow) and row.book_id))
    books_by_id = books.get_many(book_ids) if book_ids else {}
    outcomes: list[BookFeatures | RowError] = []
    for row in rows:
        if isinstance(row, RowError):
            outcomes.append(row)
        elif row.book_id is None:
            outcomes.append(
                BookFeatures(
                    category=row.category,
                    description=row.description,
                    price=row.price.amount if row.price else None,
                    currency=row.price.currency if row.price else None,
                    stock=row.stock,
                )
            )
        elif row.book_id in books_by_id:
            outcomes.append(BookFeatures.from_book(books_by_id[row.book_id]))
        else:
            outcomes.append(RowError(code="not_found", detail="The book does not exist."))
    return outcomes
