"""Calls search endpoints without FastAPI's dependency injection.

FastAPI needs more time for a search request than the search. The measurements are in the decision record "Bypasses of
a library's public path must earn 15 %".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, get_type_hints

from bookwheel_contracts import Scope
from bookwheel_contracts.problems import BookwheelError
from bookwheel_runtime.problem_responses import problem_response
from bookwheel_runtime.query_models import QueryModel, parse_query
from bookwheel_runtime.tokens import require_scope
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette import types

from bookwheel_catalog.dependencies import get_dependencies

_MAX_CACHED_QUERIES = 1024
_authorize = require_scope(Scope.CATALOG_READ)
_parse_query = lru_cache(_MAX_CACHED_QUERIES)(parse_query)


@dataclass(frozen=True, slots=True)
class _FastRoute:
    route: APIRoute
    parameters: type[QueryModel]

    async def respond(self, request: Request) -> Response:
        """Calls the endpoint. Raises ValidationError for an invalid query."""
        try:
            claims = await _authorize(request)
            parameters = _parse_query(self.parameters, request.scope["query_string"])
            dependencies = await get_dependencies(request)
            response: Response = await self.route.endpoint(request, dependencies, claims, parameters)
        except BookwheelError as error:
            return problem_response(request, error)
        return response


class FastPathMiddleware:
    """Handles `GET` requests of the routers' routes without path parameters.

    Their endpoints have the arguments request, dependencies, claims and query model. FastAPI handles all other requests
    and invalid queries.
    """

    def __init__(self, app: types.ASGIApp, routers: Iterable[APIRouter]) -> None:
        self._app = app
        self._routes = _create_fast_routes(routers)

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        fast_route = self._routes.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        if fast_route is None:
            await self._app(scope, receive, send)
            return
        try:
            response = await fast_route.respond(Request(scope, receive))
        except ValidationError:
            await self._app(scope, receive, send)
            return
        scope["route"] = fast_route.route
        await response(scope, receive, send)


def _create_fast_routes(routers: Iterable[APIRouter]) -> Mapping[str, _FastRoute]:
    return {
        route.path: _FastRoute(route, _get_query_model(route.endpoint))
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()) and not route.param_convertors
    }


def _get_query_model(endpoint: Any) -> type[QueryModel]:
    model: type[QueryModel] = get_type_hints(endpoint)["parameters"]
    return model
