"""Query parameters of the book routes and their conversion to search queries."""

from abc import abstractmethod
from decimal import Decimal
from typing import Annotated

from bookwheel_runtime.query_models import QueryModel
from bookwheel_stores.search.queries import Filter, SearchCriteria, SearchQuery, Sort, TextQuery
from pydantic import Field

from bookwheel_catalog.books.models import DETAILED_FIELDS, LISTED_FIELDS
from bookwheel_catalog.search.cursors import decode_position
from bookwheel_catalog.search.parameters import (
    CriteriaParameters,
    CursorParameters,
    ExactName,
    SearchText,
    create_exact_filter,
    create_range_filter,
)
from bookwheel_catalog.search.parsing import parse_facets, parse_fields, parse_isbn, parse_query_text

Price = Annotated[Decimal | None, Field(ge=0, max_digits=14, decimal_places=4)]
Rating = Annotated[float | None, Field(ge=0, le=5, allow_inf_nan=False)]


class ListParameters(CursorParameters):
    """Query parameters of all book lists."""

    facets: list[str] = Field(
        default=[],
        alias="facet",
        max_length=20,
        description="Fields whose values are counted in the matching books, repeatable. Filters of a field do not "
        "apply to its own facet.",
    )
    fields: str | None = Field(
        default=None, max_length=500, description="Fields of each book to return, separated by commas."
    )

    @abstractmethod
    def criteria(self) -> SearchCriteria: ...

    def sort_order(self, criteria: SearchCriteria) -> Sort:
        return Sort.NEWEST if criteria.text is None else Sort.RELEVANCE

    def search_query(self) -> SearchQuery:
        """Returns the search query. Raises InvalidParameterError or InvalidCursorError."""
        criteria = self.criteria()
        sort = self.sort_order(criteria)
        after = decode_position(self.cursor, criteria, sort)
        return SearchQuery(criteria, sort, self.limit, after, parse_facets(self.facets))

    def field_names(self) -> tuple[str, ...] | None:
        """Returns the fields of each book, None for all fields. Raises InvalidParameterError."""
        return parse_fields(self.fields, LISTED_FIELDS)


class SortedListParameters(ListParameters):
    sort: Sort | None = Field(
        default=None, description="The sort order. Default: `relevance` with a text, otherwise `newest`."
    )

    def sort_order(self, criteria: SearchCriteria) -> Sort:
        return self.sort or super().sort_order(criteria)


class SearchParameters(CriteriaParameters, SortedListParameters):
    """Query parameters of `GET /books`."""


class FieldSearchParameters(SortedListParameters):
    """Query parameters of `GET /books/search`. Each text is parsed like `q` and searched in its field."""

    title: SearchText = None
    author: SearchText = None
    category: SearchText = None
    description: SearchText = None
    isbn: str | None = Field(default=None, max_length=64, description="ISBN-13 or ISBN-10, with or without hyphens.")
    source: ExactName = None
    min_price: Price = None
    max_price: Price = None
    min_rating: Rating = None
    in_stock: bool | None = None

    def criteria(self) -> SearchCriteria:
        texts = [
            parse_query_text(getattr(self, name), parameter=name, field=name)
            for name in ("title", "author", "category", "description")
        ]
        filters = [
            None if self.isbn is None else Filter("isbn13", values=(parse_isbn("isbn", self.isbn),)),
            create_exact_filter("source", self.source),
            create_range_filter("price", self.min_price, self.max_price, lower_parameter="min_price"),
            create_range_filter("rating", self.min_rating),
            None if self.in_stock is None else Filter("in_stock", values=(str(self.in_stock).lower(),)),
        ]
        return SearchCriteria(_combine([text for text in texts if text]), _remove_none(filters))


class TopRatedParameters(CriteriaParameters, ListParameters):
    """Query parameters of `GET /books/top-rated`."""

    category: ExactName = Field(default=None, description="The exact name of the category.")
    min_rating: Rating = None
    min_count: int | None = Field(default=None, ge=0, le=1 << 53, description="Minimum number of ratings.")

    def criteria(self) -> SearchCriteria:
        criteria = super().criteria()
        filters = [
            create_range_filter("rating", self.min_rating or 0),
            create_exact_filter("category", self.category),
            create_range_filter("rating_count", self.min_count),
        ]
        return SearchCriteria(criteria.text, (*criteria.filters, *_remove_none(filters)))

    def sort_order(self, criteria: SearchCriteria) -> Sort:  # noqa: ARG002 - the sort order is fixed
        return Sort.RATING_DESCENDING


class PriceRangeParameters(CriteriaParameters, ListParameters):
    """Query parameters of `GET /books/price-range`."""

    minimum: Price = Field(default=None, alias="min")
    maximum: Price = Field(default=None, alias="max")
    currency: str | None = Field(default=None, pattern="^[A-Z]{3}$", description="An ISO 4217 code.")
    sort: Sort = Sort.PRICE

    def criteria(self) -> SearchCriteria:
        criteria = super().criteria()
        filters = [
            create_range_filter("price", self.minimum or Decimal(0), self.maximum),
            create_exact_filter("currency", self.currency),
        ]
        return SearchCriteria(criteria.text, (*criteria.filters, *_remove_none(filters)))

    def sort_order(self, criteria: SearchCriteria) -> Sort:  # noqa: ARG002 - the default is fixed
        return self.sort


class DetailParameters(QueryModel):
    fields: str | None = Field(default=None, max_length=500, description="Fields to return, separated by commas.")

    def field_names(self) -> tuple[str, ...] | None:
        """Returns the fields, None for all fields. Raises InvalidParameterError."""
        return parse_fields(self.fields, DETAILED_FIELDS)


def _remove_none(filters: list[Filter | None]) -> tuple[Filter, ...]:
    return tuple(filter_ for filter_ in filters if filter_ is not None)


def _combine(texts: list[TextQuery]) -> TextQuery | None:
    """Combines text queries with AND."""
    if not texts:
        return None
    # a text with only punctuation matches nothing, so the combined query matches nothing
    if any(not text.required and not text.excluded for text in texts):
        return TextQuery()
    required = tuple(clause for text in texts for clause in text.required)
    excluded = tuple(clause for text in texts for clause in text.excluded)
    title_words = next((text.words for text in texts if text.required and text.required[0].field == "title"), ())
    return TextQuery(required, excluded, title_words)
