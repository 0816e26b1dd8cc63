"""Books: lists in several forms, detail, history."""

import asyncio
from hashlib import blake2b
from typing import Annotated

from bookwheel_contracts.model import format_time
from bookwheel_contracts.problems import GoneError, NotFoundError
from bookwheel_stores.records import BookReader
from bookwheel_stores.search.queries import Sort
from fastapi import APIRouter, Path, Query, Request, Response

from bookwheel_catalog import API_PREFIX, answers
from bookwheel_catalog.cursors import MAX_CURSOR_LENGTH
from bookwheel_catalog.dependencies import PartsOf, Reader
from bookwheel_catalog.history import read_history
from bookwheel_catalog.listing import Listing
from bookwheel_catalog.models import BookHistory, BookList, DetailedBook, PriceRange
from bookwheel_catalog.pages import matches_etag
from bookwheel_catalog.parameters import read_fields
from bookwheel_catalog.query_route import query_router
from bookwheel_catalog.requests import FieldSearchQuery, PriceRangeQuery, SearchQueryModel, TopRatedQuery
from bookwheel_catalog.search_service import MakePage

router = APIRouter(prefix=f"{API_PREFIX}/books", tags=["books"])
lists = query_router("books")
BookId = Annotated[str, Path(min_length=1, max_length=512, description="`isbn:<isbn13>` or `<source>:<key>`.")]
Fields = Annotated[str | None, Query(max_length=500, description="Only these fields, separated by commas.")]
Cursor = Annotated[str | None, Query(max_length=MAX_CURSOR_LENGTH, description="`next` of the page before.")]
DETAILED_FIELDS = (*answers.LISTED_FIELDS, "last_seen")


@lists.get("/books", response_class=Response, responses={200: {"model": BookList}})
def search(wanted: Annotated[SearchQueryModel, Query()]) -> MakePage:
    """Books that match a text and filters, with counts by facets."""
    return Listing(wanted.selection(), wanted.sort, wanted).page


@lists.get("/books/search", response_class=Response, responses={200: {"model": BookList}})
def search_by_fields(wanted: Annotated[FieldSearchQuery, Query()]) -> MakePage:
    """The same search with a parameter for each field."""
    return Listing(wanted.selection(), wanted.sort, wanted).page


@lists.get("/books/top-rated", response_class=Response, responses={200: {"model": BookList}})
def top_rated(wanted: Annotated[TopRatedQuery, Query()]) -> MakePage:
    """Rated books, best first."""
    return Listing(wanted.selection(), Sort.RATING_DESCENDING, wanted).page


@lists.get("/books/price-range", response_class=Response, responses={200: {"model": PriceRange}})
def price_range(wanted: Annotated[PriceRangeQuery, Query()]) -> MakePage:
    """Books with a price within limits, cheapest first, and the range of the prices by currency."""
    return Listing(wanted.selection(), wanted.sort, wanted).page_with_prices


@router.get("/{book_id:path}/history")
async def history(
    parts: PartsOf, _: Reader, book_id: BookId, cursor: Cursor = None, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> BookHistory:
    """Prices and stocks as they were observed, and what changed when."""
    return await asyncio.to_thread(read_history, parts.books, book_id, cursor=cursor, limit=limit)


@router.get("/{book_id:path}", response_class=Response, responses={200: {"model": DetailedBook}})
async def detail(request: Request, parts: PartsOf, _: Reader, book_id: BookId, fields: Fields = None) -> Response:
    """One book, as it was seen last; 410 for one that no source has any more. Its history stays."""
    chosen = read_fields(fields, DETAILED_FIELDS)
    book = await asyncio.to_thread(parts.books.get, book_id)
    if book is None:
        raise await asyncio.to_thread(_absence, parts.books, book_id)
    content = answers.book_detail(book)
    if chosen is not None:
        content = answers.chosen(content, chosen)
    # of the body, not of versions: that any of the offers was seen again is no new revision
    etag = f'"{blake2b(content, digest_size=12).hexdigest()}"'
    headers = {"Cache-Control": "private, no-cache", "ETag": etag}
    if matches_etag(request.headers.get("if-none-match"), etag):
        return Response(None, 304, headers)
    return Response(content, 200, headers, "application/json")


def _absence(books: BookReader, book_id: str) -> NotFoundError | GoneError:
    """Why there is no such book."""
    moment = books.removed_at(book_id)
    if moment is None:
        return NotFoundError(f"There is no book {book_id}.")
    return GoneError(
        f"No source has {book_id} since {format_time(moment)}. What was known of it: /books/{book_id}/history"
    )
