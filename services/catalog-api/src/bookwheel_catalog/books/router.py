"""Routes of book lists, books and their history."""

import asyncio
from typing import Annotated

from bookwheel_contracts.model import format_time
from bookwheel_contracts.problems import GoneError, NotFoundError
from bookwheel_stores.records import BookReader
from fastapi import APIRouter, Path, Query, Request, Response

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.books.history import read_history
from bookwheel_catalog.books.models import BookHistory, BookList, BookListWithPrices, DetailedBook
from bookwheel_catalog.books.parameters import (
    DetailParameters,
    FieldSearchParameters,
    ListParameters,
    PriceRangeParameters,
    SearchParameters,
    TopRatedParameters,
)
from bookwheel_catalog.books.rendering import render_book, render_book_list, select_fields
from bookwheel_catalog.dependencies import Injected, ReaderClaims
from bookwheel_catalog.http_caching import conditional_json
from bookwheel_catalog.search.cursors import encode_position
from bookwheel_catalog.search.page_cache import RenderedPage, cached_response
from bookwheel_catalog.search.parameters import CursorParameters
from bookwheel_catalog.search.rendering import render_prices
from bookwheel_catalog.search.service import SearchService

router = APIRouter(prefix=f"{API_PREFIX}/books", tags=["books"])
BookId = Annotated[str, Path(min_length=1, max_length=512, description="`isbn:<isbn13>` or `<source>:<key>`.")]


@router.get("", response_class=Response, responses={200: {"model": BookList}})
async def search_books(
    request: Request, dependencies: Injected, _: ReaderClaims, parameters: Annotated[SearchParameters, Query()]
) -> Response:
    """Searches books by text and filters; returns matching books and facets."""
    return await _respond_with_list(request, dependencies.search, parameters)


@router.get("/search", response_class=Response, responses={200: {"model": BookList}})
async def search_books_by_fields(
    request: Request, dependencies: Injected, _: ReaderClaims, parameters: Annotated[FieldSearchParameters, Query()]
) -> Response:
    """Searches books with a separate parameter for each field."""
    return await _respond_with_list(request, dependencies.search, parameters)


@router.get("/top-rated", response_class=Response, responses={200: {"model": BookList}})
async def list_top_rated_books(
    request: Request, dependencies: Injected, _: ReaderClaims, parameters: Annotated[TopRatedParameters, Query()]
) -> Response:
    """Lists rated books, highest rating first."""
    return await _respond_with_list(request, dependencies.search, parameters)


@router.get("/price-range", response_class=Response, responses={200: {"model": BookListWithPrices}})
async def list_books_by_price(
    request: Request, dependencies: Injected, _: ReaderClaims, parameters: Annotated[PriceRangeParameters, Query()]
) -> Response:
    """Lists books in a price range, lowest price first, and summarizes their prices by currency."""
    return await _respond_with_list(request, dependencies.search, parameters, with_prices=True)


@router.get("/{book_id:path}/history")
async def get_book_history(
    dependencies: Injected, _: ReaderClaims, book_id: BookId, parameters: Annotated[CursorParameters, Query()]
) -> BookHistory:
    """Returns the observed prices and stocks of a book, and its changes."""
    return await asyncio.to_thread(
        read_history, dependencies.books, book_id, cursor=parameters.cursor, limit=parameters.limit
    )


@router.get("/{book_id:path}", response_class=Response, responses={200: {"model": DetailedBook}})
async def get_book(
    request: Request,
    dependencies: Injected,
    _: ReaderClaims,
    book_id: BookId,
    parameters: Annotated[DetailParameters, Query()],
) -> Response:
    """Returns a book in its current state, or 410 for a removed book. The history of a removed book remains."""
    fields = parameters.field_names()
    book = await asyncio.to_thread(dependencies.books.get, book_id)
    if book is None:
        raise await asyncio.to_thread(_missing_book_error, dependencies.books, book_id)
    content = render_book(book)
    # the ETag is a hash of the body, because `last_seen` changes without a new revision
    return conditional_json(request, content if fields is None else select_fields(content, fields))


async def _respond_with_list(
    request: Request, search: SearchService, parameters: ListParameters, *, with_prices: bool = False
) -> Response:
    query, fields = parameters.search_query(), parameters.field_names()

    async def render_page() -> RenderedPage:
        page = await search.search(query)
        statistics = await search.get_statistics(query.criteria) if with_prices else None
        prices = None if statistics is None else render_prices(statistics.prices)
        cursor = None if page.next is None else encode_position(page.next, query.criteria, query.sort)
        return RenderedPage(render_book_list(page, next_cursor=cursor, fields=fields, prices=prices), cursor)

    return await cached_response(request, search, render_page)


def _missing_book_error(books: BookReader, book_id: str) -> NotFoundError | GoneError:
    removed_at = books.removed_at(book_id)
    if removed_at is None:
        return NotFoundError(f"Book {book_id} does not exist.")
    return GoneError(
        f"Book {book_id} was removed at {format_time(removed_at)}. Its history is at /books/{book_id}/history."
    )
