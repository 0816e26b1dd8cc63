"""GET /ml/training-data."""

from itertools import islice
from typing import Annotated

from bookwheel_contracts import Claims, Scope
from bookwheel_contracts.problems import InvalidParameterError
from bookwheel_runtime.tokens import require_scope
from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel

from bookwheel_ml import API_PREFIX
from bookwheel_ml.accept import choose_media_type
from bookwheel_ml.cursors import decode_cursor, encode_cursor
from bookwheel_ml.dataset import rated_books
from bookwheel_ml.dependencies import Dependencies, services
from bookwheel_ml.training_data import TrainingRow, csv_chunks, parquet_chunks, training_row

router = APIRouter(prefix=API_PREFIX, tags=["ml"])

_CURSOR = "training-data"
_JSON, _CSV, _PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
_STREAMS = {_CSV: csv_chunks, _PARQUET: parquet_chunks}


class TrainingDataPage(BaseModel):
    items: list[TrainingRow]
    next: str | None


@router.get(
    "/training-data",
    response_model=TrainingDataPage,
    responses={200: {"content": {_CSV: {}, _PARQUET: {}}}, 406: {"description": "None of the three is accepted."}},
)
def get_training_data(
    _claims: Annotated[Claims, Depends(require_scope(Scope.ML_PREDICT))],
    parts: Annotated[Dependencies, Depends(services)],
    accept: Annotated[str | None, Header()] = None,
    limit: Annotated[int | None, Query(ge=1, le=1_000)] = None,
    cursor: Annotated[str | None, Query()] = None,
) -> Response:
    """The rated books: pages of JSON (100 rows unless told), or all of them as CSV or Parquet, by `Accept`."""
    media_type = choose_media_type(accept, (_JSON, _CSV, _PARQUET))
    headers = {"Vary": "Accept"}
    if media_type == _JSON:
        page = _page(parts, limit or 100, decode_cursor(_CURSOR, cursor) if cursor is not None else 0)
        return Response(page.model_dump_json(), media_type=_JSON, headers=headers)
    if limit is not None or cursor is not None:
        raise InvalidParameterError(f"{media_type} always holds all rows: limit and cursor are for {_JSON}.")
    return StreamingResponse(_STREAMS[media_type](rated_books(parts.books)), media_type=media_type, headers=headers)


def _page(parts: Dependencies, limit: int, after_number: int) -> TrainingDataPage:
    found = list(islice(rated_books(parts.books, after_number=after_number, page=limit + 1), limit + 1))
    following = encode_cursor(_CURSOR, found[limit - 1].number) if len(found) > limit else None
    return TrainingDataPage(items=[training_row(book) for book in found[:limit]], next=following)
