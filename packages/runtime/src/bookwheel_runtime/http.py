"""What every HTTP service of the suite does alike: problems, traces, access logs, health, strict parameters."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, get_args, get_origin
from urllib.parse import unquote_plus

from bookwheel_contracts.problems import (
    PROBLEM_TYPE,
    BookwheelError,
    FieldError,
    InvalidParameterError,
    MethodNotAllowedError,
    NotAcceptableError,
    NotFoundError,
    PayloadTooLargeError,
    UnauthenticatedError,
    UnsupportedMediaTypeError,
)
from fastapi import Depends, FastAPI, Request, Response, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Lifespan, Message, Receive, Scope, Send

from bookwheel_runtime.logs import get_logger
from bookwheel_runtime.metrics import CONTENT_TYPE_LATEST, count_request, metrics_page
from bookwheel_runtime.tokens import TokenVerifier
from bookwheel_runtime.traces import TRACEPARENT_HEADER, current_trace_id, traced

logger = get_logger(__name__)

ReadinessCheck = Callable[[], Awaitable[None]]
"""Raises an exception, whose text tells an operator what is missing, while a dependency is away."""

_HTTP_ERRORS: Mapping[int, type[BookwheelError]] = {
    404: NotFoundError,
    405: MethodNotAllowedError,
    406: NotAcceptableError,
    413: PayloadTooLargeError,
    415: UnsupportedMediaTypeError,
}
_TRACEPARENT = TRACEPARENT_HEADER.encode()
_WATCHING_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
"""Neither logged nor counted."""


def problem_response(request: Request, error: BookwheelError) -> Response:
    problem = error.problem(instance=request.url.path, trace_id=current_trace_id())
    headers = {}
    if isinstance(error, UnauthenticatedError):
        headers["WWW-Authenticate"] = 'Bearer realm="bookwheel"'
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return Response(problem.model_dump_json(), error.status, headers, PROBLEM_TYPE)


def _field_path(location: tuple[int | str, ...]) -> str:
    """`("body", "books", 3, "title")` becomes `books[3].title`."""
    path = ""
    for part in location[1:] if location and location[0] in {"body", "query", "path", "header"} else location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or "body"


def invalid_parameter(error: RequestValidationError) -> InvalidParameterError:
    errors = tuple(
        FieldError(field=_field_path(tuple(fault["loc"])), code=fault["type"], message=fault["msg"])
        for fault in error.errors()[:100]
    )
    return InvalidParameterError("; ".join(f"{fault.field}: {fault.message}" for fault in errors[:5]), errors=errors)


def _query_parameters(request: Request) -> dict[str, bool]:
    """The names that the request's route declares, and whether each may repeat; found once a route and kept."""
    route = request.scope["route"]
    known: dict[int, dict[str, bool]] = request.app.state.query_parameters
    if id(route) not in known:
        known[id(route)] = {
            field.alias: may_repeat(field.field_info.annotation)
            for field in get_flat_params(route.dependant)
            if isinstance(field.field_info, params.Query)
        }
    return known[id(route)]


async def reject_unknown_query(request: Request) -> None:
    """A dependency of every route: a query parameter that the route does not declare is an error that names it."""
    if not request.scope["query_string"]:
        return
    check_query_names([name for name, _ in request.query_params.multi_items()], _query_parameters(request))


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


def matched_route(scope: Scope) -> str:
    """The template of the route that a request came to: of these there are few, whatever is asked for."""
    route = scope.get("route")
    if route is None:
        return "unmatched"
    # FastAPI's own route of an included router lacks the router's prefix
    included = scope.get("fastapi", {}).get("effective_route_context")
    template: str = (included or route).path
    return template


class TraceAndLog:
    """ASGI middleware: adopts or starts the trace, answers with `traceparent`, logs one line a request, and counts it.

    `route_of` tells the request's route once it is answered.
    """

    def __init__(self, app: ASGIApp, route_of: Callable[[Scope], str] = matched_route) -> None:
        self._app = app
        self._route_of = route_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500
        started_answer = False
        inbound = None
        for name, value in scope["headers"]:
            if name == _TRACEPARENT:
                inbound = value.decode("latin-1")
                break
        with traced(inbound) as traceparent:

            async def send_with_trace(message: Message) -> None:
                nonlocal status, started_answer
                if message["type"] == "http.response.start":
                    started_answer = True
                    status = message["status"]
                    headers = [header for header in message.get("headers", ()) if header[0] != _TRACEPARENT]
                    headers.append((_TRACEPARENT, traceparent.encode()))
                    message["headers"] = headers
                await send(message)

            try:
                await self._app(scope, receive, send_with_trace)
            except Exception:  # the one place where a bug becomes an answer
                logger.exception("unexpected error", path=scope["path"])
                if started_answer:
                    raise
                unexpected = BookwheelError("The error is in our log under this trace_id.")
                await problem_response(Request(scope), unexpected)(scope, receive, send_with_trace)
            finally:
                if scope["path"] not in _WATCHING_PATHS:
                    seconds = time.perf_counter() - started
                    count_request(scope["method"], self._route_of(scope), status, seconds)
                    logger.info(
                        "request",
                        method=scope["method"],
                        path=scope["path"],
                        status=status,
                        milliseconds=round(seconds * 1000, 2),
                    )


def create_app(
    *,
    title: str,
    description: str,
    token_verifier: TokenVerifier | None,
    readiness: Mapping[str, ReadinessCheck],
    lifespan: Lifespan[FastAPI] | None = None,
) -> FastAPI:
    """A FastAPI app with the conventions of the suite; the service adds its routers.

    `/livez` answers 200 while the process serves; `/readyz` runs the checks, and that of the verifier, and answers 503
    with the reason of each that fails; `/metrics` tells what is counted.
    """
    checks_of_all = {**readiness, "token keys": token_verifier.check} if token_verifier else readiness
    app = FastAPI(
        title=title,
        description=description,
        version=version("bookwheel-runtime"),
        lifespan=lifespan,
        dependencies=[Depends(reject_unknown_query)],
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.token_verifier = token_verifier
    app.state.query_parameters = {}
    app.add_middleware(TraceAndLog)

    @app.exception_handler(BookwheelError)
    async def bookwheel_error(request: Request, error: BookwheelError) -> Response:
        return problem_response(request, error)

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> Response:
        return problem_response(request, invalid_parameter(error))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        kind = _HTTP_ERRORS.get(error.status_code)
        known = kind(str(error.detail)) if kind else InvalidParameterError(str(error.detail))
        return problem_response(request, known)

    @app.get("/livez", tags=["meta"])
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", tags=["meta"])
    async def readyz(response: Response) -> dict[str, Any]:
        checks: dict[str, str] = {}
        for name, check in checks_of_all.items():
            try:
                await check()
                checks[name] = "ok"
            except Exception as error:  # noqa: BLE001 - any fault of a dependency is the answer to this question
                checks[name] = f"{type(error).__name__}: {error}"
        ready = all(state == "ok" for state in checks.values())
        response.status_code = 200 if ready else 503
        return {"status": "ready" if ready else "not ready", "checks": checks}

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(metrics_page(), media_type=CONTENT_TYPE_LATEST)

    return app
