"""Renders errors as problem documents (RFC 9457)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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
    UnavailableError,
    UnsupportedMediaTypeError,
)
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from bookwheel_runtime.logs import get_logger
from bookwheel_runtime.query_models import parameter_names
from bookwheel_runtime.traces import current_trace_id

logger = get_logger(__name__)

_HTTP_ERRORS: Mapping[int, type[BookwheelError]] = {
    404: NotFoundError,
    405: MethodNotAllowedError,
    406: NotAcceptableError,
    413: PayloadTooLargeError,
    415: UnsupportedMediaTypeError,
}
_LOCATIONS = frozenset({"body", "query", "path", "header"})
_MAX_ERRORS, _MAX_SHOWN_ERRORS = 100, 5


def problem_response(request: Request, error: BookwheelError) -> Response:
    problem = error.problem(instance=request.url.path, trace_id=current_trace_id())
    headers = {}
    if isinstance(error, UnauthenticatedError):
        headers["WWW-Authenticate"] = 'Bearer realm="bookwheel"'
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return Response(problem.model_dump_json(), error.status, headers, PROBLEM_TYPE)


def invalid_field(field: str, code: str, message: str) -> InvalidParameterError:
    """Returns the error for one field or parameter."""
    return InvalidParameterError(f"{field}: {message}", errors=(FieldError(field=field, code=code, message=message),))


def add_problem_handlers(app: FastAPI) -> None:
    """Adds handlers that render our errors, validation errors and FastAPI's errors as problem documents."""

    @app.exception_handler(BookwheelError)
    async def bookwheel_error(request: Request, error: BookwheelError) -> Response:
        return problem_response(request, error)

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> Response:
        return problem_response(request, _validation_problem(error, parameter_names(request.scope.get("endpoint"))))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        error_type = _HTTP_ERRORS.get(error.status_code, InvalidParameterError)
        return problem_response(request, error_type(str(error.detail)))


def add_unavailable_handler(app: FastAPI, errors: Iterable[type[Exception]], *, detail: str) -> None:
    """Returns 503 with `detail` if a request raises one of `errors`, such as database errors."""

    async def unavailable(request: Request, error: Exception) -> Response:
        logger.error("dependency unavailable", detail=detail, error=str(error)[:500])
        return problem_response(request, UnavailableError(detail, retry_after=1))

    for error_type in errors:
        app.add_exception_handler(error_type, unavailable)


def _validation_problem(error: RequestValidationError, parameters: Sequence[str]) -> InvalidParameterError:
    """Converts a validation error. If a parameter is unknown, the detail lists the `parameters` of the route."""
    errors = tuple(_field_error(details) for details in error.errors()[:_MAX_ERRORS])
    detail = "; ".join(f"{field.field}: {field.message}" for field in errors[:_MAX_SHOWN_ERRORS])
    if parameters and any(field.code == "unknown_parameter" for field in errors):
        detail += f". Known parameters: {', '.join(parameters)}"
    return InvalidParameterError(detail, errors=errors)


def _field_error(details: Mapping[str, Any]) -> FieldError:
    location = tuple(details["loc"])
    if location[0] == "query" and details["type"] == "extra_forbidden":
        return FieldError(field=_field_path(location), code="unknown_parameter", message="unknown query parameter")
    return FieldError(field=_field_path(location), code=details["type"], message=details["msg"])


def _field_path(location: tuple[int | str, ...]) -> str:
    """Renders `("body", "books", 3, "title")` as `books[3].title`."""
    path = ""
    for part in location[1:] if location and location[0] in _LOCATIONS else location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or "body"
