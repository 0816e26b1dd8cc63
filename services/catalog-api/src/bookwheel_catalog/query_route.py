"""Routes that are answered from the index. They are the busiest, and take the shortest way."""

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from operator import itemgetter
from typing import Any

from bookwheel_contracts import Scope
from bookwheel_contracts.problems import BookwheelError
from bookwheel_runtime.http import (
    TraceAndLog,
    check_query_names,
    invalid_parameter,
    may_repeat,
    problem_response,
    query_pairs,
)
from bookwheel_runtime.tokens import require
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette import types

from bookwheel_catalog.dependencies import parts_of
from bookwheel_catalog.requests import QueryModel

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_authorize = require(Scope.CATALOG_READ)
_KEPT_QUERIES = 1024  # reading a query takes a third of a cached answer's time


class QueryRoute(APIRoute):
    """A GET for readers of the catalog. Its endpoint has one of two forms, where `wanted` is the model of its query:

    - `endpoint(wanted)` returns how a page is made of the index. It depends on the query alone, and is kept with it.
    - `async endpoint(request, wanted)` returns a response that depends on more.

    FastAPI describes it like any other, but does not solve its dependencies: they come to a token, the names of the
    parameters, and one validation by the model.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **{**options, "response_model": None})  # what it returns is no answer yet

    def get_route_handler(self) -> Handler:
        endpoint = self.endpoint
        model: type[QueryModel] = inspect.signature(endpoint, eval_str=True).parameters["wanted"].annotation.__origin__
        names = {field.alias or name: may_repeat(field.annotation) for name, field in model.model_fields.items()}
        is_page = not inspect.iscoroutinefunction(endpoint)
        read: dict[bytes, Any] = {}

        def understood(query: bytes) -> Any:
            """The wanted model, or what makes its page."""
            if len(read) >= _KEPT_QUERIES:
                read.clear()
            wanted = _validated(model, names, query)
            read[query] = endpoint(wanted) if is_page else wanted
            return read[query]

        async def handle(request: Request) -> Response:
            await _authorize(request)
            query = request.scope["query_string"]
            meant = read.get(query) or understood(query)
            if is_page:
                return await parts_of(request).catalog.answer(request, meant)
            answer: Response = await endpoint(request, meant)
            return answer

        return handle


def _validated(model: type[QueryModel], names: Mapping[str, bool], query: bytes) -> QueryModel:
    """`names` are the model's, and whether each may repeat. Raises InvalidParameter or RequestValidationError."""
    pairs = query_pairs(query)
    check_query_names([name for name, _ in pairs], names)
    given: dict[str, str | list[str]] = {}
    for name, value in pairs:
        if names[name]:
            given.setdefault(name, []).append(value)  # type: ignore[union-attr]  # a list for as long as it may repeat
        else:
            given[name] = value
    try:
        return model.model_validate(given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False)
        raise RequestValidationError([{**fault, "loc": ("query", *fault["loc"])} for fault in faults]) from error


def query_router(*tags: str) -> APIRouter:
    """A router of such routes; its dependency is what describes their security."""
    return APIRouter(route_class=QueryRoute, tags=list(tags), dependencies=[Depends(_authorize)])


class ShortWay:
    """ASGI: answers `QueryRoute`s before the app's middleware and routing, which take longer than most searches.

    Traces, log lines and problems are the same as the app's.
    """

    def __init__(self, app: FastAPI, routers: Iterable[APIRouter], *, prefix: str) -> None:
        self.app = app
        self._traced = TraceAndLog(self._answer, route_of=itemgetter("path"))  # none has a parameter in its path
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
