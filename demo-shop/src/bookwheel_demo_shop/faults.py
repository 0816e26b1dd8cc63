"""Injects faults into pages, deterministic per seed, path and attempt."""

import asyncio
from collections import OrderedDict
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from bookwheel_demo_shop.draws import fraction

MAX_TRACKED_PATHS = 100_000
LOOP_PATH = "/redirect-loop"


class Fault(StrEnum):
    SLOW = "slow"
    SERVER_ERROR = "500"
    TOO_MANY_REQUESTS = "429"
    TRUNCATED = "truncated"
    """The connection closes before the declared length of the body."""
    MALFORMED = "malformed"
    """A complete response whose HTML ends inside a tag and contains invalid UTF-8."""
    REDIRECT_LOOP = "redirect_loop"
    WRONG_CHARSET = "wrong_charset"
    """UTF-8 declared as ISO-8859-1, so that a pound sign is decoded as two characters."""
    LAYOUT = "layout"
    """A complete response with the price in different markup, as after a redesign of the shop."""


TRANSIENT = (Fault.SLOW, Fault.SERVER_ERROR, Fault.TOO_MANY_REQUESTS)


class FaultPlan(BaseModel):
    """The kinds of faults and their rate.

    `rate` is the share of attempts with a fault. With a rate below 1, a path fails at most `repeats` times in a row. So
    a client with one more retry always gets the page. With 1, every attempt fails.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: float = Field(default=0.0, ge=0, le=1)
    kinds: tuple[Fault, ...] = Field(default=TRANSIENT, min_length=1)
    seed: int = 0
    repeats: int = Field(default=2, ge=0, le=100)
    slow_seconds: float = Field(default=0.5, ge=0, le=60)
    retry_after: int = Field(default=1, ge=0, le=3600)

    def fault_at(self, path: str, attempt: int) -> Fault | None:
        """Returns the fault of this attempt (from 0) at a path; None if there is no fault."""
        if self.rate < 1 and attempt % (self.repeats + 1) == self.repeats:
            return None
        key = f"{self.seed}/{path}/{attempt}"
        if fraction(key) >= self.rate:
            return None
        return self.kinds[int(fraction(f"{key}/kind") * len(self.kinds))]


class Faults:
    """The active fault plan and the number of attempts per path."""

    def __init__(self) -> None:
        self._plan = FaultPlan()
        self._attempts: OrderedDict[str, int] = OrderedDict()

    @property
    def plan(self) -> FaultPlan:
        return self._plan

    def activate(self, plan: FaultPlan) -> None:
        """Replaces the plan and resets the attempts."""
        self._plan = plan
        self._attempts.clear()

    async def apply(self, path: str, page: Response) -> Response:
        """Applies the fault of this attempt to the page."""
        plan = self._plan
        if plan.rate == 0:
            return page
        match plan.fault_at(path, self._count_attempt(path)):
            case Fault.SLOW:
                await asyncio.sleep(plan.slow_seconds)
            case Fault.SERVER_ERROR:
                page = PlainTextResponse("Internal Server Error", 500)
            case Fault.TOO_MANY_REQUESTS:
                page = PlainTextResponse("Too Many Requests", 429, {"Retry-After": str(plan.retry_after)})
            case Fault.TRUNCATED:
                page = TruncatedResponse(page.body, media_type=page.media_type)
            case Fault.MALFORMED:
                page = Response(make_malformed(bytes(page.body)), media_type=page.media_type)
            case Fault.REDIRECT_LOOP:
                page = RedirectResponse(f"{LOOP_PATH}/1", 302)
            case Fault.LAYOUT:
                page = Response(redesign(bytes(page.body)), media_type=page.media_type)
            case Fault.WRONG_CHARSET:
                page = Response(page.body, media_type=f"{page.media_type}; charset=iso-8859-1")
        return page

    def _count_attempt(self, path: str) -> int:
        attempt = self._attempts.pop(path, 0)
        self._attempts[path] = attempt + 1
        if len(self._attempts) > MAX_TRACKED_PATHS:
            self._attempts.popitem(last=False)
        return attempt


class TruncatedResponse(Response):
    """Declares the full length but sends half of the body; then the server closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body[: len(self.body) // 2], "more_body": True})


def make_malformed(html: bytes) -> bytes:
    """Cuts the page after two fifths and adds unclosed tags and invalid UTF-8."""
    return html[: len(html) * 2 // 5] + b'<table class="table"><tr><th>UPC<td>\xff\xfe\x00<p class="price_color>'


def redesign(html: bytes) -> bytes:
    """Renames the markup of the price, for both storefronts."""
    return html.replace(b"price_color", b"amount").replace(b'"price"', b'"amount"')
