"""Control routes under `/_shop/` for tests and benchmarks. No page links to them."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from bookwheel_demo_shop import law
from bookwheel_demo_shop.catalog import MAX_DAY, Catalog, Listing
from bookwheel_demo_shop.faults import FaultPlan, Faults
from bookwheel_demo_shop.schema_pages import book_path

MAX_BODY_BYTES = 10_000
FACTS_BATCH = 100
MEASURED_BOOKS = 2_000
"""Number of books for the mean errors of the law. 2,000 books take 0.3 s; the means are accurate to 1 %."""


class Clock:
    """The current day of the shop. Raises ValueError for a day outside 0..`MAX_DAY`."""

    def __init__(self, day: int) -> None:
        if not 0 <= day <= MAX_DAY:
            raise ValueError(f"the day must be 0 to {MAX_DAY}, not {day}")
        self.day = day


class DayBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    day: int = Field(ge=0, le=MAX_DAY)


Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ControlRoutes:
    catalog: Catalog
    clock: Clock
    faults: Faults

    def routes(self) -> list[Route]:
        return [
            Route("/day", self.day, methods=["GET", "PUT"]),
            Route("/faults", self.fault_plan, methods=["GET", "PUT"]),
            Route("/facts", self.facts),
            Route("/law", self.law),
        ]

    async def day(self, request: Request) -> Response:
        if request.method == "PUT":
            self.clock.day = (await read_body(request, DayBody)).day
        return JSONResponse({"day": self.clock.day})

    async def fault_plan(self, request: Request) -> Response:
        if request.method == "PUT":
            self.faults.activate(await read_body(request, FaultPlan))
        return JSONResponse(self.faults.plan.model_dump(mode="json"))

    async def facts(self, request: Request) -> Response:
        """Returns the ground truth of the day's books as JSON lines, in list order.

        `after`: start after the place of the book with this number. `limit`: maximum number of lines.
        """
        after, limit = parse_query_number(request, "after", 0), parse_query_number(request, "limit", self.catalog.size)
        first = self.catalog.get_place(after) + 1 if after else 0
        return StreamingResponse(
            self._lines(first, min(first + limit, self.catalog.size)), media_type="application/x-ndjson"
        )

    async def _lines(self, first: int, end: int) -> AsyncIterator[str]:
        day = self.clock.day
        for start in range(first, end, FACTS_BATCH):
            listings = self.catalog.listings(day, start, min(FACTS_BATCH, end - start))
            yield "".join(json.dumps(facts(listing), ensure_ascii=False) + "\n" for listing in listings)
            await asyncio.sleep(0)  # lets other requests run

    async def law(self, _request: Request) -> Response:
        listings = await run_in_threadpool(self.catalog.listings, self.clock.day, 0, MEASURED_BOOKS)
        rated_facts = [listing.rated_facts for listing in listings]
        return JSONResponse(
            {
                "noise_sigma": law.NOISE_SIGMA,
                "best_reachable_rmse": law.best_reachable_rmse(rated_facts),
                "best_reachable_mae": law.best_reachable_mae(rated_facts),
                "books_measured": len(rated_facts),
                "word_effects": dict(law.WORD_EFFECTS),
                "category_effects": dict(law.CATEGORY_EFFECTS),
            }
        )


def facts(listing: Listing) -> dict[str, Any]:
    """The ground truth of one book. `expected_rating` and `rating_variance` are computed from the law."""
    book, rated_facts = listing.book, listing.rated_facts
    return {
        "id": book.number,
        "upc": book.upc,
        "isbn": book.isbn,
        "title": book.title,
        "authors": book.authors,
        "category": book.category.name,
        "description": book.description,
        "marker_words": sorted(book.marker_words),
        "price": listing.price,
        "currency": "GBP",
        "stock": listing.stock,
        "rating": listing.rating,
        "rating_count": book.review_count,
        "expected_rating": law.expected_rating(rated_facts),
        "rating_variance": law.rating_variance(rated_facts),
        "path": f"/catalogue/{book.slug}_{book.number}/index.html",
        "schema_path": book_path(book),
    }


async def read_body(request: Request, model: type[Body]) -> Body:
    """Raises HTTPException 413 for a body over `MAX_BODY_BYTES` and 422 for an invalid one."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"the body must have at most {MAX_BODY_BYTES} bytes")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(422, str(error)) from None


def parse_query_number(request: Request, name: str, default: int) -> int:
    """Parses a non-negative number of at most 9 digits. Raises HTTPException 400 for an invalid one."""
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise HTTPException(400, f"{name} must be a non-negative integer")
    return int(text)
