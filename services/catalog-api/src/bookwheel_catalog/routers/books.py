"""Books: lists in several forms, detail, history."""

import asyncio
from typing import Annotated

from bookwheel_contracts.problems import NotFound
from bookwheel_stores.search.queries import Selection, Sort
from fastapi import APIRouter, Depends, Path, Request, Response

from bookwheel_catalog import answers
from bookwheel_catalog.dependencies import Cursor, Fields, Limit, Order, Paged, PartsOf, Reader, Selected
from bookwheel_catalog.history import read_history
from bookwheel_catalog.listing import Listing
from bookwheel_catalog.models import BookHistory, BookList, DetailedBook, PriceRange
from bookwheel_catalog.pages import matches_etag
from bookwheel_catalog.parameters import read_fields
from bookwheel_catalog.selections import named_selection, priced_selection, rated_selection

router = APIRouter(prefix="/books", tags=["books"])
BookId = Annotated[str, Path(min_length=1, max_length=512, description="`isbn:<isbn13>` or `<source>:<key>`.")]
DETAILED_FIELDS = (*answers.LISTED_FIELDS, "last_seen")


@router.get("", response_class=Response, responses={200: {"model": BookList}})
async def search(
    request: Request, parts: PartsOf, _: Reader, selection: Selected, paging: Paged, sort: Order = None
) -> Response:
    """Books that match a text and filters, with counts by facets."""
    return await parts.catalogue.answer(request, Listing(selection, sort, paging).page)


@router.get("/search", response_class=Response, responses={200: {"model": BookList}})
async def search_by_fields(
    request: Request,
    parts: PartsOf,
    _: Reader,
    selection: Annotated[Selection, Depends(named_selection)],
    paging: Paged,
    sort: Order = None,
) -> Response:
    """The same search with a parameter for each field."""
    return await parts.catalogue.answer(request, Listing(selection, sort, paging).page)


@router.get("/top-rated", response_class=Response, responses={200: {"model": BookList}})
async def top_rated(
    request: Request,
    parts: PartsOf,
    _: Reader,
    selection: Annotated[Selection, Depends(rated_selection)],
    paging: Paged,
) -> Response:
    """Rated books, best first."""
    return await parts.catalogue.answer(request, Listing(selection, Sort.RATING_DESCENDING, paging).page)


@router.get("/price-range", response_class=Response, responses={200: {"model": PriceRange}})
async def price_range(
    request: Request,
    parts: PartsOf,
    _: Reader,
    selection: Annotated[Selection, Depends(priced_selection)],
    paging: Paged,
    sort: Order = Sort.PRICE,
) -> Response:
    """Books with a price within limits, cheapest first, and the range of the prices by currency."""
    return await parts.catalogue.answer(request, Listing(selection, sort, paging).page_with_prices)


@router.get("/{book_id:path}/history")
async def history(parts: PartsOf, _: Reader, book_id: BookId, cursor: Cursor = None, limit: Limit = 20) -> BookHistory:
    """Prices and stocks as they were observed, and what changed when."""
    return await asyncio.to_thread(read_history, parts.books, book_id, cursor=cursor, limit=limit)


@router.get("/{book_id:path}", response_class=Response, responses={200: {"model": DetailedBook}})
async def detail(request: Request, parts: PartsOf, _: Reader, book_id: BookId, fields: Fields = None) -> Response:
    """One book, as it was seen last."""
    chosen = read_fields(fields, DETAILED_FIELDS)
    book = await asyncio.to_thread(parts.books.get, book_id)
    if book is None:
        raise NotFound(f"There is no book {book_id}.")
    etag = f'"{book.revision:x}-{round(book.last_seen.timestamp() * 1000):x}-{fields or ""}"'
    headers = {"Cache-Control": "private, no-cache", "ETag": etag}
    if matches_etag(request.headers.get("if-none-match"), etag):
        return Response(None, 304, headers)
    content = answers.book_detail(book)
    if chosen is not None:
        content = answers.chosen(content, chosen)
    return Response(content, 200, headers, "application/json")
