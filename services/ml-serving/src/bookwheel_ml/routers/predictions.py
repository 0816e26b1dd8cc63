"""POST /ml/predictions."""

import asyncio
from typing import Annotated

import orjson
from bookwheel_contracts import Claims, Scope
from bookwheel_runtime.tokens import require_scope
from bookwheel_runtime.traces import current_traceparent
from fastapi import APIRouter, Depends, Response

from bookwheel_ml import API_PREFIX
from bookwheel_ml.dependencies import Dependencies, services
from bookwheel_ml.predictions import PredictionAnswer, PredictionRequest, needs_records, predict

router = APIRouter(prefix=API_PREFIX, tags=["ml"])

_MOST_ROWS_INLINE = 16  # a few rows take less time than handing them to a thread and back


@router.post("/predictions", response_model=PredictionAnswer)
async def post_predictions(
    batch: PredictionRequest,
    claims: Annotated[Claims, Depends(require_scope(Scope.ML_PREDICT))],
    parts: Annotated[Dependencies, Depends(services)],
) -> Response:
    """Ratings that readers will give one to 1,000 books, by id or by fields. A bad row fails alone."""
    champion, traceparent = parts.champion.current, current_traceparent()

    def answer() -> bytes:
        answers = predict(
            batch.books, champion=champion, books=parts.books, subject=claims.sub, traceparent=traceparent
        )
        parts.prediction_log.add(answers.records)
        return orjson.dumps(answers.body)

    quick = len(batch.books) <= _MOST_ROWS_INLINE and not needs_records(batch.books)
    body = answer() if quick else await asyncio.to_thread(answer)
    return Response(body, media_type="application/json")
