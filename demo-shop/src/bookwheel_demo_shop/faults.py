"""Faults that the pages can be made to have, repeatable for each seed, path and attempt."""

import asyncio
from collections import OrderedDict
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from bookwheel_demo_shop.draws import fraction

MAX_REMEMBERED_PATHS = 100_000
LOOP_PATH = "/redirect-loop"


class Fault(StrEnum):
    SLOW = "slow"
    SERVER_ERROR = "500"
    TOO_MANY_REQUESTS = "429"
    TRUNCATED = "truncated"
    """The connection ends in mid-body, before its declared length."""
    MALFORMED = "malformed"
    """A whole answer whose HTML breaks off in an open tag, with bytes that are no text."""
    REDIRECT_LOOP = "redirect_loop"
    WRONG_CHARSET = "wrong_charset"
    """UTF-8 that is declared to be ISO-8859-1, so that a pound sign reads as two characters."""

    LAYOUT = "layout"
    """A whole answer in which the price stands where no spider looks for it, as after a shop's redesign."""


TRANSIENT = (Fault.SLOW, Fault.SERVER_ERROR, Fault.TOO_MANY_REQUESTS)


class FaultPlan(BaseModel):
    """How often which faults happen.

    `rate` is the share of attempts that fail. At a rate below 1 a path never fails more than `repeats` times in a row,
    so that a client which tries once more than that always gets its page; at 1 every attempt fails.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: float = Field(default=0.0, ge=0, le=1)
    kinds: tuple[Fault, ...] = Field(default=TRANSIENT, min_length=1)
    seed: int = 0
    repeats: int = Field(default=2, ge=0, le=100)
    slow_seconds: float = Field(default=0.5, ge=0, le=60)
    retry_after: int = Field(default=1, ge=0, le=3600)

    def fault_at(self, path: str, attempt: int) -> Fault | None:
        """What befalls this attempt, counted from 0, at a path."""
        if self.rate < 1 and attempt % (self.repeats + 1) == self.repeats:
            return None
        key = f"{self.seed}/{path}/{attempt}"
        if fraction(key) >= self.rate:
            return None
        return self.kinds[int(fraction(f"{key}/kind") * len(self.kinds))]


class Faults:
    """The plan in force, and how often each path was asked for under it."""

    def __init__(self) -> None:
        self._plan = FaultPlan()
        self._attempts: OrderedDict[str, int] = OrderedDict()

    @property
    def plan(self) -> FaultPlan:
        return self._plan

    def use(self, plan: FaultPlan) -> None:
        """Puts a plan in force and counts attempts anew."""
        self._plan = plan
        self._attempts.clear()

    async def answer(self, path: str, page: Response) -> Response:
        """The page, or what the fault of this attempt makes of it."""
        plan = self._plan
        if plan.rate == 0:
            return page
        match plan.fault_at(path, self._count(path)):
            case Fault.SLOW:
                await asyncio.sleep(plan.slow_seconds)
            case Fault.SERVER_ERROR:
                page = PlainTextResponse("Internal Server Error", 500)
            case Fault.TOO_MANY_REQUESTS:
                page = PlainTextResponse("Too Many Requests", 429, {"Retry-After": str(plan.retry_after)})
            case Fault.TRUNCATED:
                page = TruncatedResponse(page.body, media_type=page.media_type)
            case Fault.MALFORMED:
                page = Response(malformed(bytes(page.body)), media_type=page.media_type)
            case Fault.REDIRECT_LOOP:
                page = RedirectResponse(f"{LOOP_PATH}/1", 302)
            case Fault.LAYOUT:
                page = Response(redesigned(bytes(page.body)), media_type=page.media_type)
            case Fault.WRONG_CHARSET:
                page = Response(page.body, media_type=f"{page.media_type}; charset=iso-8859-1")
        return page

    def _count(self, path: str) -> int:
        attempt = self._attempts.pop(path, 0)
        self._attempts[path] = attempt + 1
        if len(self._attempts) > MAX_REMEMBERED_PATHS:
            self._attempts.popitem(last=False)
        return attempt


class TruncatedResponse(Response):
    """Declares its whole length, sends half, and leaves: the server then closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body[: len(self.body) // 2], "more_body": True})


def malformed(html: bytes) -> bytes:
    """Two fifths of a page, then tags left open and bytes that are no UTF-8."""
    return html[: len(html) * 2 // 5] + b'<table class="table"><tr><th>UPC<td>\xff\xfe\x00<p class="price_color>'


def redesigned(html: bytes) -> bytes:
    """The page with other names for its price, on either face of the shop."""
    return html.replace(b"price_color", b"amount").replace(b'"price"', b'"amount"')
