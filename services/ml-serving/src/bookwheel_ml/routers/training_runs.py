"""POST /ml/training-runs and GET /ml/training-runs/{run_id}."""

from typing import Annotated

from bookwheel_contracts import Claims, Scope
from bookwheel_contracts.problems import NotFoundError
from bookwheel_runtime.tokens import require_scope
from bookwheel_runtime.traces import current_traceparent
from fastapi import APIRouter, Depends, Path, Request, Response

from bookwheel_ml import API_PREFIX
from bookwheel_ml.dependencies import Dependencies, get_dependencies
from bookwheel_ml.training.runs import TrainingRun

router = APIRouter(prefix=API_PREFIX, tags=["ml"])


@router.post("/training-runs", status_code=202)
def post_training_run(
    request: Request,
    response: Response,
    claims: Annotated[Claims, Depends(require_scope(Scope.ADMIN))],
    dependencies: Annotated[Dependencies, Depends(get_dependencies)],
) -> TrainingRun:
    """Requests the training of a model on the current records."""
    run = dependencies.training_runs.submit(requested_by=claims.sub, traceparent=current_traceparent())
    response.headers["Location"] = f"{request.url.path}/{run.id}"
    return run


@router.get("/training-runs/{run_id}")
def get_training_run(
    run_id: Annotated[str, Path(max_length=64)],
    _claims: Annotated[Claims, Depends(require_scope(Scope.ADMIN))],
    dependencies: Annotated[Dependencies, Depends(get_dependencies)],
) -> TrainingRun:
    """Returns the state of a training run and, once it is complete, its model."""
    run = dependencies.training_runs.get(run_id)
    if run is None:
        raise NotFoundError("This training run does not exist. Runs expire after 30 days.")
    return run
