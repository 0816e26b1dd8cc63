"""GET /ml/models, /ml/models/{version} and /ml/features."""

from typing import Annotated, Literal

from bookwheel_contracts import Claims, Scope
from bookwheel_contracts.problems import NotFoundError
from bookwheel_runtime.query_models import QueryModel
from bookwheel_runtime.tokens import require_scope
from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from bookwheel_ml import API_PREFIX
from bookwheel_ml.dependencies import Dependencies, get_dependencies
from bookwheel_ml.registry.base import ModelVersion, Registry
from bookwheel_ml.routers.cursors import decode_cursor, encode_cursor

router = APIRouter(prefix=API_PREFIX, tags=["ml"])

_LIST_NAME = "models"


class Total(BaseModel):
    """The number of items on all pages."""

    value: int
    relation: Literal["eq", "gte"] = "eq"


class ModelPage(BaseModel):
    """A page of model versions, newest first."""

    items: list[ModelVersion]
    total: Total
    next: str | None


class Feature(BaseModel):
    """A feature and its share of the forest's variance reduction. The shares sum to 1."""

    name: str
    importance: float


class FeatureSet(BaseModel):
    """The champion's features, in the order of its inputs. `data_fingerprint` is the hash of its training data."""

    model_name: str
    model_version: str
    data_fingerprint: str
    features: list[Feature]


class ModelListParameters(QueryModel):
    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = None


@router.get("/models")
async def get_models(
    _claims: Annotated[Claims, Depends(require_scope(Scope.ML_PREDICT))],
    dependencies: Annotated[Dependencies, Depends(get_dependencies)],
    parameters: Annotated[ModelListParameters, Query()],
) -> ModelPage:
    """Lists the registered models with their evaluation reports."""
    before_version = decode_cursor(_LIST_NAME, parameters.cursor) if parameters.cursor is not None else None
    items, total = await dependencies.registry.call(
        Registry.list_versions, limit=parameters.limit, before_version=before_version
    )
    has_more = bool(items) and int(items[-1].version) > 1 and len(items) == parameters.limit
    next_cursor = encode_cursor(_LIST_NAME, int(items[-1].version)) if has_more else None
    return ModelPage(items=items, total=Total(value=total), next=next_cursor)


@router.get("/models/{version}")
async def get_model(
    version: Annotated[int, Path(ge=1, le=2**31 - 1)],
    _claims: Annotated[Claims, Depends(require_scope(Scope.ML_PREDICT))],
    dependencies: Annotated[Dependencies, Depends(get_dependencies)],
) -> ModelVersion:
    """Returns a model version with its evaluation report."""
    model = await dependencies.registry.call(Registry.get_version, str(version))
    if model is None:
        raise NotFoundError(f"Model version {version} does not exist.")
    return model


@router.get("/features")
async def get_features(
    _claims: Annotated[Claims, Depends(require_scope(Scope.ML_PREDICT))],
    dependencies: Annotated[Dependencies, Depends(get_dependencies)],
) -> FeatureSet:
    """Returns the champion's features and their importance."""
    champion = dependencies.champion.current
    definition = champion.model.definition
    names_with_importances = zip(definition.features.names, definition.importances, strict=True)
    return FeatureSet(
        model_name=champion.name,
        model_version=champion.version,
        data_fingerprint=definition.data_fingerprint,
        features=[Feature(name=name, importance=importance) for name, importance in names_with_importances],
    )
