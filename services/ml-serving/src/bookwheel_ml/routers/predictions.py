"""POST /ml/predictions."""

import asyncio
from typing import Annotated

from bookwheel_contracts import Claims, Scope
from bookwheel_runtime.tokens import require_scope
from bookwheel_runtime.traces import current_traceparent
from fastapi import APIRouter, Depends, Response

from bookwheel_ml import API_PREFIX
from bookwheel_ml.dependencies import Dependencies, get_dependencies
from bookwheel_ml.serving.predictions import PredictionRequest, PredictionResponse, needs_database, predict

router = APIRouter(prefix=API_PREFIX, tags=["ml"])

_MAX_INLINE_ROWS = 16  # a few rows take less time than the switch to a thread


@router.post("/predictions", response_model=PredictionResponse)
async def post_predictions(
    batch: PredictionRequest,
    claims: Annotated[Claims, Depends(require_scope(Scope.ML_PREDICT))],
    dependencies: Annotated[Dependencies, Depends(get_dependencies)],
) -> Response:
    """Predicts the ratings of 1 to 1,000 books, by id or by fields. An invalid row does not fail the others."""
    dependencies.prediction_log.check_capacity(len(batch.books))
    champion, traceparent = dependencies.champion.current, current_traceparent()

    def predict_and_log() -> str:
        result = predict(
            batch.books, champion=champion, books=dependencies.books, subject=claims.sub, traceparent=traceparent
        )
        dependencies.prediction_log.add(result.log_entries)
        return result.response.model_dump_json()

    runs_inline = len(batch.books) <= _MAX_INLINE_ROWS and not needs_database(batch.books)
    body = predict_and_log() if runs_inline else await asyncio.to_thread(predict_and_log)
    return Response(body, media_type="application/json")
