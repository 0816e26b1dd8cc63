"""RFC 9457 problem details and the errors they render. Each error class defines its status, code and title."""

from typing import ClassVar

from bookwheel_contracts.model import Contract

PROBLEM_TYPE = "application/problem+json"


class FieldError(Contract):
    """`field` is a path such as `books[3].price.amount`, or the name of a query parameter."""

    field: str
    code: str
    message: str


class Problem(Contract):
    """`code` is stable, for programs. `type` is `/docs/problems#<code>`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str | None = None
    trace_id: str | None = None
    errors: tuple[FieldError, ...] = ()


class BookwheelError(Exception):
    """The base class of all errors that a client may receive."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "The server failed to process the request"

    def __init__(self, detail: str, *, errors: tuple[FieldError, ...] = (), retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.retry_after = retry_after

    def problem(self, *, instance: str | None = None, trace_id: str | None = None) -> Problem:
        return Problem(
            type=f"/docs/problems#{self.code}",
            title=self.title,
            status=self.status,
            detail=self.detail,
            code=self.code,
            instance=instance,
            trace_id=trace_id,
            errors=self.errors,
        )


class InvalidParameterError(BookwheelError):
    """A query parameter, header or body field that is unknown, malformed or out of range."""

    status, code, title = 400, "invalid_parameter", "The request has an invalid parameter"


class InvalidCursorError(BookwheelError):
    status, code, title = 400, "invalid_cursor", "The cursor does not match this request"


class UnauthenticatedError(BookwheelError):
    status, code, title = 401, "unauthenticated", "A valid access token or API key is required"


class ForbiddenError(BookwheelError):
    status, code, title = 403, "forbidden", "The token lacks the required scope"


class NotFoundError(BookwheelError):
    status, code, title = 404, "not_found", "The resource does not exist"


class MethodNotAllowedError(BookwheelError):
    status, code, title = 405, "method_not_allowed", "The resource does not support this method"


class NotAcceptableError(BookwheelError):
    status, code, title = 406, "not_acceptable", "No supported media type is acceptable"


class ConflictError(BookwheelError):
    status, code, title = 409, "conflict", "The request conflicts with the current state"


class GoneError(BookwheelError):
    status, code, title = 410, "gone", "The resource has been removed"


class PayloadTooLargeError(BookwheelError):
    status, code, title = 413, "payload_too_large", "The request body is too large"


class UnsupportedMediaTypeError(BookwheelError):
    status, code, title = 415, "unsupported_media_type", "The body's media type is not supported"


class RangeNotSatisfiableError(BookwheelError):
    status, code, title = 416, "range_not_satisfiable", "The file does not have the requested range"


class RateLimitedError(BookwheelError):
    status, code, title = 429, "rate_limited", "Too many requests"


class UnavailableError(BookwheelError):
    """A dependency is unavailable. The same request may succeed later."""

    status, code, title = 503, "unavailable", "The service is temporarily unavailable"
