"""Strict query parameters: unknown and repeated ones are errors that name them."""

from collections.abc import Iterable
from typing import Any

from bookwheel_contracts.problems import FieldError, InvalidParameterError
from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict


class QueryModel(BaseModel):
    """Base of a route's query model, used as `Annotated[Model, Query()]`. Unknown parameters are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


async def check_query_names(request: Request) -> None:
    """Dependency of every route. Raises InvalidParameterError for an unknown parameter and for a repeated scalar."""
    if not request.scope["query_string"]:
        return
    names = [name for name, _ in request.query_params.multi_items()]
    repeatable = _query_parameters(request)
    unknown = [name for name in names if name not in repeatable]
    if unknown:
        raise _invalid(unknown, "unknown_parameter", "unknown query parameter")
    repeated = [name for name in names if names.count(name) > 1 and not repeatable[name]]
    if repeated:
        raise _invalid(repeated, "repeated_parameter", "must not be repeated")


def _query_parameters(request: Request) -> dict[str, bool]:
    """The query parameters of the request's route, and whether each may be repeated."""
    route = request.scope["route"]
    by_route: dict[str, dict[str, bool]] = request.app.state.query_parameters
    if not by_route:
        by_route.update(_described_parameters(request.app.openapi()))
    return by_route.get(route.path_format if isinstance(route, APIRoute) else "", {})


def _described_parameters(description: dict[str, Any]) -> dict[str, dict[str, bool]]:
    return {
        path: {
            parameter["name"]: "array" in str(parameter["schema"])
            for operation in operations.values()
            for parameter in operation.get("parameters", ())
            if parameter["in"] == "query"
        }
        for path, operations in description["paths"].items()
    }


def _invalid(names: Iterable[str], code: str, message: str) -> InvalidParameterError:
    errors = tuple(FieldError(field=name, code=code, message=message) for name in dict.fromkeys(names))
    return InvalidParameterError("; ".join(f"{error.field}: {message}" for error in errors), errors=errors)
