"""What can be asked of the index over HTTP: a model for the query of each route, and the selection that it means."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal

from bookwheel_stores.search.queries import Filter, Range, Selection, Sort, SuggestionKind, TextQuery
from pydantic import BaseModel, ConfigDict, Field

from bookwheel_catalog.cursors import MAX_CURSOR_LENGTH
from bookwheel_catalog.parameters import MAX_TEXT_LENGTH, read_filters, read_isbn, read_text, read_time, reject

_MONTH = timedelta(days=30)
_MONTH_ONE = datetime.min.replace(tzinfo=UTC) + _MONTH
Words = Annotated[str | None, Field(max_length=MAX_TEXT_LENGTH)]
Name = Annotated[str | None, Field(min_length=1, max_length=200)]
Price = Annotated[Decimal | None, Field(ge=0, max_digits=14, decimal_places=4)]
Stars = Annotated[float | None, Field(ge=0, le=5, allow_inf_nan=False)]


class QueryModel(BaseModel):
    model_config = ConfigDict(frozen=True)


class SelectionQuery(QueryModel):
    q: Words = Field(default=None, description='Words that must all match, `"phrases"`, and -words to exclude.')
    filters: list[str] = Field(
        default=[],
        alias="filter",
        max_length=100,
        description="`field:value`, repeatable: values of one field widen, fields narrow. "
        "Numbers and times take ranges `low..high`, `low..`, `..high`.",
    )

    def selection(self) -> Selection:
        return Selection(read_text(self.q), read_filters(self.filters))


class ListQuery(QueryModel):
    facets: list[str] = Field(
        default=[],
        alias="facet",
        max_length=20,
        description="Fields to count the matching books by, repeatable. A field's own filters do not narrow its facet.",
    )
    fields: str | None = Field(
        default=None, max_length=500, description="Only these fields of each book, separated by commas."
    )
    cursor: str | None = Field(default=None, max_length=MAX_CURSOR_LENGTH, description="`next` of the page before.")
    limit: int = Field(default=20, ge=1, le=100, description="Items on a page.")


class SortedQuery(QueryModel):
    sort: Sort | None = Field(default=None, description="By default `relevance` with text, else `newest`.")


class SearchQueryModel(SelectionQuery, ListQuery, SortedQuery):
    """`GET /books`."""


class FieldSearchQuery(ListQuery, SortedQuery):
    """`GET /books/search`: texts match as in `q`, each in its own field, and all of them must."""

    title: Words = None
    author: Words = None
    category: Words = None
    description: Words = None
    isbn: str | None = Field(
        default=None, max_length=64, description="ISBN-13 or ISBN-10, with or without hyphens; both find the same book."
    )
    source: Name = None
    min_price: Price = None
    max_price: Price = None
    min_rating: Stars = None
    in_stock: bool | None = None

    def selection(self) -> Selection:
        texts = [
            read_text(getattr(self, name), parameter=name, name=name)
            for name in ("title", "author", "category", "description")
        ]
        filters = [
            None if self.isbn is None else Filter("isbn13", values=(read_isbn("isbn", self.isbn),)),
            _exactly("source", self.source),
            _between("price", self.min_price, self.max_price, parameter="min_price"),
            _between("rating", self.min_rating, None),
            None if self.in_stock is None else Filter("in_stock", values=(str(self.in_stock).lower(),)),
        ]
        return Selection(_together([text for text in texts if text]), _given(*filters))


class TopRatedQuery(SelectionQuery, ListQuery):
    """`GET /books/top-rated`."""

    category: Name = Field(default=None, description="Exactly this category.")
    min_rating: Stars = None
    min_count: int | None = Field(default=None, ge=0, le=1 << 53, description="Least number of ratings.")

    def selection(self) -> Selection:
        whole = super().selection()
        filters = [
            _between("rating", self.min_rating or 0, None),
            _exactly("category", self.category),
            _between("rating_count", self.min_count, None),
        ]
        return Selection(whole.text, (*whole.filters, *_given(*filters)))


class PriceRangeQuery(SelectionQuery, ListQuery):
    """`GET /books/price-range`."""

    minimum: Price = Field(default=None, alias="min")
    maximum: Price = Field(default=None, alias="max")
    currency: str | None = Field(default=None, pattern="^[A-Z]{3}$", description="An ISO 4217 code.")
    sort: Sort = Sort.PRICE

    def selection(self) -> Selection:
        whole = super().selection()
        priced = _between("price", self.minimum or Decimal(0), self.maximum, parameter="min")
        return Selection(whole.text, (*whole.filters, *_given(priced, _exactly("currency", self.currency))))


class SuggestQuery(QueryModel):
    """`GET /suggest`."""

    q: str = Field(min_length=1, max_length=100, description="What has been typed so far.")
    kinds: list[SuggestionKind] = Field(default=[], alias="type", max_length=3, description="By default all of them.")
    limit: int = Field(default=10, ge=1, le=50)


class TrendQuery(SelectionQuery):
    """`GET /stats/prices`."""

    interval: Literal["day", "week", "month"] = "day"
    start: str | None = Field(default=None, alias="from", max_length=40, description="A date or time.")
    end: str | None = Field(default=None, alias="to", max_length=40, description="A date or time; by default now.")

    def span(self, now: datetime) -> tuple[datetime, datetime]:
        end = now if self.end is None else read_time("to", self.end, is_high=True)
        start = max(end, _MONTH_ONE) - _MONTH if self.start is None else read_time("from", self.start, is_high=False)
        if start > end:
            reject("from", "is after the end of the time asked for")
        return start, end


def _given(*filters: Filter | None) -> tuple[Filter, ...]:
    return tuple(each for each in filters if each is not None)


def _exactly(name: str, value: str | None) -> Filter | None:
    return Filter(name, values=(value,)) if value else None


def _between(name: str, low: Decimal | float | None, high: Decimal | None, *, parameter: str = "") -> Filter | None:
    if low is None and high is None:
        return None
    if low is not None and high is not None and low > high:
        reject(parameter, "is above the maximum")
    return Filter(name, ranges=(Range(low, high),))


def _together(texts: list[TextQuery]) -> TextQuery | None:
    if not texts:
        return None
    # a text of punctuation alone matches nothing, also beside others that match
    if any(not text.required and not text.excluded for text in texts):
        return TextQuery()
    required = tuple(clause for text in texts for clause in text.required)
    excluded = tuple(clause for text in texts for clause in text.excluded)
    title = next((text.whole for text in texts if text.required and text.required[0].name == "title"), ())
    return TextQuery(required, excluded, title)
