"""ASGI middleware of every HTTP service: trace, access log and metrics of a request."""

import time

from bookwheel_contracts.problems import BookwheelError
from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bookwheel_runtime.logs import get_logger
from bookwheel_runtime.metrics import count_request
from bookwheel_runtime.problem_responses import problem_response
from bookwheel_runtime.traces import TRACEPARENT_HEADER, traced

logger = get_logger(__name__)

_PROBE_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
"""Requests of these paths are neither logged nor counted."""


def matched_route(scope: Scope) -> str:
    """Returns the path template of the matched route. The set of templates is bounded, so it is usable as a label."""
    route = scope.get("route")
    return "unmatched" if route is None else str(route.path)


class RequestMiddleware:
    """Continues or starts the trace, returns it as `traceparent`, logs one line per request and counts it.

    An unexpected exception is returned as a problem with status 500.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500
        response_started = False
        with traced(Headers(scope=scope).get(TRACEPARENT_HEADER)) as traceparent:

            async def send_with_trace(message: Message) -> None:
                nonlocal status, response_started
                if message["type"] == "http.response.start":
                    response_started = True
                    status = message["status"]
                    MutableHeaders(scope=message)[TRACEPARENT_HEADER] = traceparent
                await send(message)

            try:
                await self._app(scope, receive, send_with_trace)
            except Exception:  # renders unexpected errors as a response
                logger.exception("unexpected error", path=scope["path"])
                if response_started:
                    raise
                error = BookwheelError("The request failed: report the trace_id of this problem.")
                await problem_response(Request(scope), error)(scope, receive, send_with_trace)
            finally:
                if scope["path"] not in _PROBE_PATHS:
                    seconds = time.perf_counter() - started
                    count_request(scope["method"], matched_route(scope), status, seconds)
                    logger.info(
                        "request",
                        method=scope["method"],
                        path=scope["path"],
                        status=status,
                        milliseconds=round(seconds * 1000, 2),
                    )
