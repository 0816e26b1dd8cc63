"""Routes that are answered from the index. They are the busiest, and take the shortest way."""

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, get_args, get_origin
from urllib.parse import unquote_plus

from bookwheel_contracts import Scope
from bookwheel_contracts.problems import BookwheelError, FieldError, InvalidParameterError
from bookwheel_runtime.problem_responses import problem_response, validation_problem
from bookwheel_runtime.request_middleware import RequestMiddleware
from bookwheel_runtime.tokens import require_scope
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette import types

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.dependencies import parts_of
from bookwheel_catalog.requests import QueryModel

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_authorize = require_scope(Scope.CATALOG_READ)
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
    return APIRouter(prefix=API_PREFIX, route_class=QueryRoute, tags=list(tags), dependencies=[Depends(_authorize)])


class ShortWay:
    """ASGI: answers `QueryRoute`s before the app's middleware and routing, which take longer than most searches.

    Traces, log lines and problems are the same as the app's.
    """

    def __init__(self, app: FastAPI, routers: Iterable[APIRouter]) -> None:
        self.app = app
        self._traced = RequestMiddleware(self._answer)
        self._handlers = {
            route.path: route.get_route_handler()
            for router in routers
            for route in router.routes
            if isinstance(route, QueryRoute)
        }

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in self._handlers:
            scope["app"] = self.app
            scope["route"] = SimpleNamespace(path=scope["path"])  # none has a parameter in its path
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
            answer = problem_response(request, validation_problem(error))
        await answer(scope, receive, send)


def query_pairs(query: bytes) -> list[tuple[str, str]]:
    """Names and values of a query string. Starlette, with the standard library, takes five times as long."""
    return [
        (_unquoted(name), _unquoted(value))
        for name, _, value in [part.partition("=") for part in query.decode("latin-1").split("&") if part]
    ]


def _unquoted(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def check_query_names(given: Sequence[str], known: Mapping[str, bool]) -> None:
    """Raises InvalidParameter for query parameters beyond the known ones, and for those given twice that may not be.

    `known` tells of each name whether it may repeat.
    """
    unknown = [name for name in dict.fromkeys(given) if name not in known]
    if unknown:
        raise InvalidParameterError(
            f"Unknown query parameter: {', '.join(unknown)}. Known here: {', '.join(sorted(known)) or 'none'}.",
            errors=_each(unknown, "unknown_parameter", "there is no such query parameter"),
        )
    if len(given) == len(set(given)):
        return
    repeated = [name for name in dict.fromkeys(given) if not known[name] and given.count(name) > 1]
    if repeated:
        raise InvalidParameterError(
            f"Given more than once: {', '.join(repeated)}.",
            errors=_each(repeated, "repeated_parameter", "this query parameter has one value"),
        )


def may_repeat(annotation: Any) -> bool:
    """Whether a parameter of this type takes several values: a list, or one that may be left out."""
    return get_origin(annotation) is list or any(get_origin(each) is list for each in get_args(annotation))


def _each(names: Sequence[str], code: str, message: str) -> tuple[FieldError, ...]:
    return tuple(FieldError(field=name, code=code, message=message) for name in names)
