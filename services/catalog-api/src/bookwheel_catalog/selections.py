"""Selections of books from parameters of their own, for those who expect a parameter for each field."""

from decimal import Decimal
from typing import Annotated

from bookwheel_stores.search.queries import Filter, Range, Selection, TextQuery
from fastapi import Query

from bookwheel_catalog.dependencies import Selected
from bookwheel_catalog.parameters import MAX_TEXT_LENGTH, read_text, reject

Words = Annotated[str | None, Query(max_length=MAX_TEXT_LENGTH)]
Price = Annotated[Decimal | None, Query(ge=0, max_digits=14, decimal_places=4)]
Stars = Annotated[float | None, Query(ge=0, le=5, allow_inf_nan=False)]
Currency = Annotated[str | None, Query(pattern="^[A-Z]{3}$", description="An ISO 4217 code.")]


async def named_selection(  # noqa: PLR0913, PLR0917 - each is a query parameter of its own
    title: Words = None,
    author: Words = None,
    category: Words = None,
    description: Words = None,
    isbn: Annotated[str | None, Query(max_length=20, description="ISBN-13, with or without hyphens.")] = None,
    source: Annotated[str | None, Query(min_length=1, max_length=100)] = None,
    min_price: Price = None,
    max_price: Price = None,
    min_rating: Stars = None,
    in_stock: bool | None = None,  # noqa: FBT001
) -> Selection:
    """Texts match as in `q`, each in its own field; all of them must."""
    named = {"title": title, "author": author, "category": category, "description": description}
    texts = [read_text(text, parameter=name, name=name) for name, text in named.items()]
    filters = [
        Filter("isbn13", values=(isbn.replace("-", "").replace(" ", ""),)) if isbn else None,
        Filter("source", values=(source,)) if source else None,
        _range("price", min_price, max_price, parameter="min_price"),
        _range("rating", min_rating, None),
        None if in_stock is None else Filter("in_stock", values=("true" if in_stock else "false",)),
    ]
    return Selection(_together([text for text in texts if text]), tuple(each for each in filters if each))


async def rated_selection(
    selection: Selected,
    category: Annotated[str | None, Query(min_length=1, max_length=200, description="Exactly this category.")] = None,
    min_rating: Stars = None,
    min_count: Annotated[int | None, Query(ge=0, description="Least number of ratings.")] = None,
) -> Selection:
    """Only rated books."""
    filters = (
        *selection.filters,
        Filter("rating", ranges=(Range(min_rating or 0, None),)),
        *([Filter("category", values=(category,))] if category else []),
        *([Filter("rating_count", ranges=(Range(min_count, None),))] if min_count else []),
    )
    return Selection(selection.text, filters)


async def priced_selection(
    selection: Selected,
    minimum: Annotated[Price, Query(alias="min")] = None,
    maximum: Annotated[Price, Query(alias="max")] = None,
    currency: Currency = None,
) -> Selection:
    """Only priced books."""
    priced = _range("price", minimum or Decimal(0), maximum, parameter="min")
    filters = [*selection.filters, priced, Filter("currency", values=(currency,)) if currency else None]
    return Selection(selection.text, tuple(each for each in filters if each))


def _range(name: str, low: Decimal | float | None, high: Decimal | None, *, parameter: str = "") -> Filter | None:
    if low is None and high is None:
        return None
    if low is not None and high is not None and low > high:
        reject(parameter, "is above the maximum")
    return Filter(name, ranges=(Range(low, high),))


def _together(texts: list[TextQuery]) -> TextQuery | None:
    if not texts:
        return None
    required = tuple(clause for text in texts for clause in text.required)
    excluded = tuple(clause for text in texts for clause in text.excluded)
    # a text of punctuation alone matches nothing, also beside others that match
    unmatchable = any(not text.required and not text.excluded for text in texts)
    title = next((text.whole for text in texts if text.whole and text.required[0].name == "title"), ())
    return TextQuery(() if unmatchable else required, () if unmatchable else excluded, title)
