"""What routes are given: the wired parts of the app, the verified caller, and parameters that several routes share."""

from dataclasses import dataclass
from typing import Annotated

from bookwheel_contracts import Claims, Scope
from bookwheel_runtime.tokens import require
from bookwheel_stores.records import BookReader
from bookwheel_stores.search.queries import Selection, Sort
from fastapi import Depends, Query, Request

from bookwheel_catalog.catalogue import Catalogue
from bookwheel_catalog.crawls import CrawlOrders, Sources
from bookwheel_catalog.cursors import MAX_CURSOR_LENGTH
from bookwheel_catalog.parameters import MAX_TEXT_LENGTH, read_selection


@dataclass(frozen=True, slots=True)
class Parts:
    catalogue: Catalogue
    books: BookReader
    sources: Sources
    orders: CrawlOrders


# asynchronous, though nothing is awaited: FastAPI sends any other dependency through a thread
async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


PartsOf = Annotated[Parts, Depends(_parts)]
Reader = Annotated[Claims, Depends(require(Scope.CATALOG_READ))]
Crawler = Annotated[Claims, Depends(require(Scope.CRAWL_WRITE))]

Text = Annotated[
    str | None,
    Query(max_length=MAX_TEXT_LENGTH, description='Words that must all match, `"phrases"`, and -words to exclude.'),
]
Filters = Annotated[
    list[str],
    Query(
        alias="filter",
        default_factory=list,
        max_length=100,
        description="`field:value`, repeatable: values of one field widen, fields narrow. "
        "Numbers and times take ranges `low..high`, `low..`, `..high`.",
    ),
]
Facets = Annotated[
    list[str],
    Query(
        alias="facet",
        default_factory=list,
        max_length=20,
        description="Fields to count the matching books by, repeatable. A field's own filters do not narrow its facet.",
    ),
]
Fields = Annotated[str | None, Query(max_length=500, description="Only these fields of each book, comma-separated.")]
Order = Annotated[Sort | None, Query(alias="sort", description="By default `relevance` with text, else `newest`.")]
Cursor = Annotated[str | None, Query(max_length=MAX_CURSOR_LENGTH, description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=100, description="Items on a page.")]


@dataclass(frozen=True, slots=True)
class Paging:
    """Which part of a list is shown, and how."""

    cursor: str | None
    limit: int
    fields: str | None
    facets: list[str]


async def _paging(facets: Facets, cursor: Cursor = None, limit: Limit = 20, fields: Fields = None) -> Paging:
    return Paging(cursor, limit, fields, facets)


async def _selection(filters: Filters, q: Text = None) -> Selection:
    return read_selection(q, filters)


Selected = Annotated[Selection, Depends(_selection)]
Paged = Annotated[Paging, Depends(_paging)]
