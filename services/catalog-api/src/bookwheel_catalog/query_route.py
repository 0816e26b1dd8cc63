"""Routes that are answered from the index. They are the busiest, and take the shortest way."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from bookwheel_contracts import Scope
from bookwheel_contracts.problems import BookwheelError
from bookwheel_runtime.http import TraceAndLog, check_query_names, invalid_parameter, may_repeat, problem_response
from bookwheel_runtime.tokens import require
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette import types

from bookwheel_catalog.requests import QueryModel

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_authorize = require(Scope.CATALOG_READ)
_KEPT_QUERIES = 1024  # reading a query takes a third of a cached answer's time


class QueryRoute(APIRoute):
    """A GET for readers of the catalogue: `endpoint(request, wanted)`, where `wanted` is the model of its query.

    FastAPI describes it like any other, but does not solve its dependencies: they come to a token, the names of the
    parameters, and one validation by the model.
    """

    def get_route_handler(self) -> Handler:
        endpoint: Callable[[Request, QueryModel], Awaitable[Response]] = self.endpoint
        model: type[QueryModel] = inspect.signature(endpoint, eval_str=True).parameters["wanted"].annotation.__origin__
        names = {field.alias or name: may_repeat(field.annotation) for name, field in model.model_fields.items()}

        read: dict[bytes, QueryModel] = {}

        async def handle(request: Request) -> Response:
            await _authorize(request)
            wanted = read.get(request.scope["query_string"])
            if wanted is None:
                wanted = understood(request)
                if len(read) >= _KEPT_QUERIES:
                    read.clear()
                read[request.scope["query_string"]] = wanted
            return await endpoint(request, wanted)

        def understood(request: Request) -> QueryModel:
            check_query_names(request, names)
            query = request.query_params
            given = {name: query.getlist(name) if names[name] else query[name] for name in query}
            try:
                return model.model_validate(given)
            except ValidationError as error:
                faults = error.errors(include_url=False, include_context=False)
                raise RequestValidationError(
                    [{**fault, "loc": ("query", *fault["loc"])} for fault in faults]
                ) from error

        return handle


def query_router(*tags: str) -> APIRouter:
    """A router of such routes; its dependency is what describes their security."""
    return APIRouter(route_class=QueryRoute, tags=list(tags), dependencies=[Depends(_authorize)])


class ShortWay:
    """ASGI: answers `QueryRoute`s before the app's middleware and routing, which take longer than most searches.

    Traces, log lines and problems are the same as the app's.
    """

    def __init__(self, app: FastAPI, routers: Iterable[APIRouter], *, prefix: str) -> None:
        self.app = app
        self._traced = TraceAndLog(self._answer)
        self._handlers = {
            f"{prefix}{route.path}": route.get_route_handler()
            for router in routers
            for route in router.routes
            if isinstance(route, QueryRoute)
        }

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in self._handlers:
            scope["app"] = self.app
            await self._traced(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _answer(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        request = Request(scope, receive)
        try:
            answer = await self._handlers[scope["path"]](request)
        except BookwheelError as error:
            answer = problem_response(request, error)
        except RequestValidationError as error:
            answer = problem_response(request, invalid_parameter(error))
        await answer(scope, receive, send)
