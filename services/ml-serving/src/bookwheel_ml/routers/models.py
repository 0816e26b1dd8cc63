"""GET /ml/models, /ml/models/{version} and /ml/features."""

from typing import Annotated

from bookwheel_contracts import Claims, Scope
from bookwheel_contracts.problems import NotFoundError
from bookwheel_runtime.tokens import require_scope
from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel

from bookwheel_ml import API_PREFIX
from bookwheel_ml.cursors import decode_cursor, encode_cursor
from bookwheel_ml.dependencies import Dependencies, Total, services
from bookwheel_ml.registry import ModelVersion, Registry

router = APIRouter(prefix=API_PREFIX, tags=["ml"])

_CURSOR = "models"


class ModelPage(BaseModel):
    """Newest version first."""

    items: list[ModelVersion]
    total: Total
    next: str | None


class Feature(BaseModel):
    """`importance`: its share of the forest's reduction of variance; all of them sum to 1."""

    name: str
    importance: float


class FeatureSet(BaseModel):
    """What the champion sees of a book, in the order of its inputs."""

    model_name: str
    model_version: str
    data_fingerprint: str
    features: list[Feature]


@router.get("/models")
async def get_models(
    _claims: Annotated[Claims, Depends(require_scope(Scope.ML_PREDICT))],
    parts: Annotated[Dependencies, Depends(services)],
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query()] = None,
) -> ModelPage:
    """Every model that was registered, with its evaluation beside the baselines."""
    below = decode_cursor(_CURSOR, cursor) if cursor is not None else None
    items, total = await parts.registry.ask(Registry.versions, limit=limit, below=below)
    more = bool(items) and int(items[-1].version) > 1 and len(items) == limit
    following = encode_cursor(_CURSOR, int(items[-1].version)) if more else None
    return ModelPage(items=items, total=Total(value=total), next=following)


@router.get("/models/{version}")
async def get_model(
    version: Annotated[int, Path(ge=1, le=2**31 - 1)],
    _claims: Annotated[Claims, Depends(require_scope(Scope.ML_PREDICT))],
    parts: Annotated[Dependencies, Depends(services)],
) -> ModelVersion:
    """One model with its evaluation report."""
    found = await parts.registry.ask(Registry.version, str(version))
    if found is None:
        raise NotFoundError(f"There is no model version {version}.")
    return found


@router.get("/features")
async def get_features(
    _claims: Annotated[Claims, Depends(require_scope(Scope.ML_PREDICT))],
    parts: Annotated[Dependencies, Depends(services)],
) -> FeatureSet:
    """The champion's features and how much each matters to it."""
    champion = parts.champion.current
    definition = champion.model.definition
    pairs = zip(definition.features.names, definition.importances, strict=True)
    return FeatureSet(
        model_name=champion.name,
        model_version=champion.version,
        data_fingerprint=definition.data_fingerprint,
        features=[Feature(name=name, importance=importance) for name, importance in pairs],
    )
