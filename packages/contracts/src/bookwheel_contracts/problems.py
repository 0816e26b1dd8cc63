"""RFC 9457 problem details, and the errors that become them. Each error owns its status, code and title."""

from typing import ClassVar

from bookwheel_contracts.model import Contract

PROBLEM_TYPE = "application/problem+json"


class FieldError(Contract):
    """`field` is a path such as `books[3].price.amount`, or the name of a query parameter."""

    field: str
    code: str
    message: str


class Problem(Contract):
    """`code` is stable and meant for programs; `type` is `/docs/problems#<code>`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str | None = None
    trace_id: str | None = None
    errors: tuple[FieldError, ...] = ()


class BookwheelError(Exception):
    """Base of all errors that a client may see."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Something went wrong on our side"

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
    status, code, title = 400, "invalid_cursor", "The cursor does not fit this request"


class UnauthenticatedError(BookwheelError):
    status, code, title = 401, "unauthenticated", "A valid access token or API key is required"


class ForbiddenError(BookwheelError):
    status, code, title = 403, "forbidden", "The token lacks the scope that this needs"


class NotFoundError(BookwheelError):
    status, code, title = 404, "not_found", "There is no such resource"


class MethodNotAllowedError(BookwheelError):
    status, code, title = 405, "method_not_allowed", "The resource does not offer this method"


class NotAcceptableError(BookwheelError):
    status, code, title = 406, "not_acceptable", "No offered media type is acceptable"


class ConflictError(BookwheelError):
    status, code, title = 409, "conflict", "The request conflicts with the current state"


class GoneError(BookwheelError):
    status, code, title = 410, "gone", "The resource was there and is not any more"


class PayloadTooLargeError(BookwheelError):
    status, code, title = 413, "payload_too_large", "The request body is too large"


class UnsupportedMediaTypeError(BookwheelError):
    status, code, title = 415, "unsupported_media_type", "The body's media type is not supported"


class RangeNotSatisfiableError(BookwheelError):
    status, code, title = 416, "range_not_satisfiable", "The file has no such range"


class RateLimitedError(BookwheelError):
    status, code, title = 429, "rate_limited", "Too many requests"


class UnavailableError(BookwheelError):
    """A dependency is away; the same request may succeed later."""

    status, code, title = 503, "unavailable", "A part of the service is not available right now"
