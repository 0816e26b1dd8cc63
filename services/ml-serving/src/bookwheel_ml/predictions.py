"""From the rows of a request to its answers. A bad row fails alone, with its reason."""

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

from bookwheel_ml.champion import Champion
from bookwheel_ml.features import BookFacts
from bookwheel_ml.prediction_log import ServedPrediction

MOST_ROWS = 1_000
_DIGITS = 4  # of a star: far below any interval, and it keeps float32's noise out of the answers
_NO_NUL = r"^[^\x00]*$"  # PostgreSQL refuses it in a text


class PredictionRow(BaseModel):
    """A book by its id, or by what is known of it. `title`, `authors` and `language` are accepted and not used yet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    book_id: str | None = Field(default=None, min_length=1, max_length=MAX_KEY_LENGTH, pattern=_NO_NUL)
    title: str | None = Field(default=None, max_length=10_000)
    authors: tuple[str, ...] = Field(default=(), max_length=100)
    category: str | None = Field(default=None, max_length=1_000)
    description: str | None = Field(default=None, max_length=100_000)
    language: str | None = Field(default=None, max_length=100)
    price: Money | None = None
    stock: int | None = Field(default=None, ge=0, le=10**9, strict=True)


class _AnyRow:
    """Accepted as it comes, since it is checked by itself later; documented as what it should be."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> CoreSchema:
        return core_schema.any_schema()

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(PredictionRow.__pydantic_core_schema__)


class PredictionRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    books: Annotated[list[Annotated[Any, _AnyRow]], Field(min_length=1, max_length=MOST_ROWS)]


class RowError(BaseModel):
    """Why this row has no prediction; `code` is `invalid_row` or `not_found`."""

    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()


class Prediction(BaseModel):
    """In stars, 0 to 5. `low` to `high` should hold four of five true ratings. Null where `error` is not."""

    index: int
    book_id: str | None
    rating: float | None
    low: float | None
    high: float | None
    prediction_id: str | None
    error: RowError | None


class ServedModel(BaseModel):
    """`verdict` is `nothing to learn` where the model was not better than guessing the mean."""

    name: str
    version: str
    arm: str
    verdict: str


class PredictionAnswer(BaseModel):
    predictions: list[Prediction]
    model: ServedModel


@dataclass(frozen=True, slots=True)
class Answers:
    """`body` has the shape of `PredictionAnswer`; `records` are for the log."""

    body: dict[str, Any]
    records: list[ServedPrediction]


_row: TypeAdapter[PredictionRow] = TypeAdapter(PredictionRow)
_ONLY_ID = {"book_id"}


def _invalid(message: str, errors: tuple[FieldError, ...] = ()) -> dict[str, Any]:
    return {"code": "invalid_row", "detail": message, "errors": [error.model_dump() for error in errors]}


def _parse(found: object) -> PredictionRow | dict[str, Any]:
    if not isinstance(found, dict):
        return _invalid("A row is an object.")
    try:
        row = _row.validate_python(found)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        errors = tuple(
            FieldError(field=".".join(str(part) for part in fault["loc"]), code=fault["type"], message=fault["msg"])
            for fault in faults
        )
        return _invalid("; ".join(f"{error.field}: {error.message}" for error in errors), errors)
    given = {name for name in row.model_fields_set if getattr(row, name) is not None}
    if not given:
        return _invalid("A row needs a book_id or at least one known field.")
    if row.book_id is not None and given != _ONLY_ID:
        return _invalid("A row has either a book_id or fields, not both.")
    return row


def needs_records(rows: Sequence[object]) -> bool:
    return any(isinstance(row, dict) and "book_id" in row for row in rows)


def _facts(rows: list[PredictionRow | dict[str, Any]], books: BookReader) -> list[BookFacts | dict[str, Any]]:
    """Per row its facts, or the error that it has."""
    ids = list(dict.fromkeys(row.book_id for row in rows if isinstance(row, PredictionRow) and row.book_id))
    known = books.get_many(ids) if ids else {}
    found: list[BookFacts | dict[str, Any]] = []
    for row in rows:
        if isinstance(row, dict):
            found.append(row)
        elif row.book_id is None:
            price = row.price
            found.append(
                BookFacts(
                    category=row.category,
                    description=row.description,
                    price=price.amount if price else None,
                    currency=price.currency if price else None,
                    stock=row.stock,
                )
            )
        elif row.book_id in known:
            found.append(BookFacts.of(known[row.book_id]))
        else:
            found.append({"code": "not_found", "detail": "There is no such book.", "errors": []})
    return found


def predict(
    rows: Sequence[object], *, champion: Champion, books: BookReader, subject: str, traceparent: str
) -> Answers:
    """`rows` are the request's, unchecked; `subject` and `traceparent` go into the log."""
    parsed = [_parse(row) for row in rows]
    facts = _facts(parsed, books)
    good = [position for position, row in enumerate(facts) if isinstance(row, BookFacts)]
    predicted = champion.model.predict([row for row in facts if isinstance(row, BookFacts)])
    columns = (predicted.rating, predicted.low, predicted.high)
    rating, low, high = (column.round(_DIGITS).tolist() for column in columns)
    now = time.time()
    answers: list[dict[str, Any]] = [
        {
            "index": index,
            "book_id": row.book_id if isinstance(row, PredictionRow) else None,
            "rating": None,
            "low": None,
            "high": None,
            "prediction_id": None,
            "error": found if isinstance(found, dict) else None,
        }
        for index, (row, found) in enumerate(zip(parsed, facts, strict=True))
    ]
    records = []
    for number, position in enumerate(good):
        answer = answers[position]
        answer.update(rating=rating[number], low=low[number], high=high[number], prediction_id=secrets.token_hex(16))
        records.append(
            ServedPrediction(
                prediction_id=answer["prediction_id"],
                book_id=answer["book_id"],
                predicted_at=now,
                model_name=champion.name,
                model_version=champion.version,
                rating=answer["rating"],
                low=answer["low"],
                high=answer["high"],
                features=tuple(predicted.features[number].tolist()),
                subject=subject,
                traceparent=traceparent,
            )
        )
    served = {
        "name": champion.name,
        "version": champion.version,
        "arm": "champion",
        "verdict": champion.model.definition.report.verdict,
    }
    return Answers({"predictions": answers, "model": served}, records)
