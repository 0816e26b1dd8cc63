"""Problems that only the gateway returns. All others are in `bookwheel_contracts.problems`.

nginx returns them from gateway/conf.d/problems.conf; a test compares that file with this module.
"""

from bookwheel_contracts.problems import BookwheelError


class InvalidRequestError(BookwheelError):
    """The request line, a header or the path is malformed."""

    status, code, title = 400, "invalid_request", "The request is malformed"


class RequestTimeoutError(BookwheelError):
    status, code, title = 408, "request_timeout", "The client took too long to send the request"


class UriTooLongError(BookwheelError):
    status, code, title = 414, "uri_too_long", "The URL is too long"


class HeadersTooLargeError(BookwheelError):
    status, code, title = 431, "headers_too_large", "The request headers are too large"


class BadGatewayError(BookwheelError):
    status, code, title = 502, "bad_gateway", "A service sent no valid response"


class GatewayTimeoutError(BookwheelError):
    status, code, title = 504, "gateway_timeout", "A service did not respond in time"
