"""Strict query parameters: an unknown or repeated parameter is an error."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

from bookwheel_contracts.problems import FieldError, InvalidParameterError
from fastapi import Request
from pydantic import BaseModel, ConfigDict


class QueryModel(BaseModel):
    """Base of a route's query model, used as `Annotated[Model, Query()]`. Unknown parameters are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Model = TypeVar("Model", bound=QueryModel)


def parse_query(model: type[Model], query: bytes) -> Model:
    """Validates a query string in the same way as FastAPI.

    Raises ValidationError, or InvalidParameterError for a repeated parameter.
    """
    scalar_names = _scalar_names(model)
    values: dict[str, Any] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in scalar_names:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise _invalid([name], "repeated_parameter", "must not be repeated")
        else:
            values[name] = value
    return model.model_validate(values)


async def check_query_names(request: Request) -> None:
    """Rejects repeated scalar parameters, and any parameter of a route without a query model.

    It is a dependency of every route. Raises InvalidParameterError.
    """
    if not request.scope["query_string"]:
        return
    names = [name for name, _ in request.query_params.multi_items()]
    model = _query_model(request.scope["endpoint"])
    if model is None:
        raise _invalid(names, "unknown_parameter", "unknown query parameter")
    if len(names) > len(set(names)):
        scalar_names = _scalar_names(model)
        repeated = [name for name in names if name in scalar_names and names.count(name) > 1]
        if repeated:
            raise _invalid(repeated, "repeated_parameter", "must not be repeated")


def parameter_names(endpoint: Callable[..., Any] | None) -> list[str]:
    """Returns the sorted names of the endpoint's query parameters."""
    model = _query_model(endpoint) if endpoint is not None else None
    return sorted(field.alias or name for name, field in model.model_fields.items()) if model else []


@cache
def _query_model(endpoint: Callable[..., Any]) -> type[QueryModel] | None:
    hints = get_type_hints(endpoint).values()
    return next((hint for hint in hints if isinstance(hint, type) and issubclass(hint, QueryModel)), None)


@cache
def _scalar_names(model: type[QueryModel]) -> frozenset[str]:
    """Returns the names of the parameters that are not lists."""
    fields = model.model_fields.items()
    return frozenset(field.alias or name for name, field in fields if not _is_list(field.annotation))


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(get_origin(option) is list for option in get_args(annotation))


def _invalid(names: Iterable[str], code: str, message: str) -> InvalidParameterError:
    errors = tuple(FieldError(field=name, code=code, message=message) for name in dict.fromkeys(names))
    return InvalidParameterError("; ".join(f"{error.field}: {message}" for error in errors), errors=errors)
