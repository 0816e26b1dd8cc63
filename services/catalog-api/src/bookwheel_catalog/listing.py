"""Makes one page of a list of books."""

from bookwheel_stores.search import IndexReader
from bookwheel_stores.search.queries import SearchPage, SearchQuery, Selection, Sort

from bookwheel_catalog import answers
from bookwheel_catalog.cursors import decode_position, encode_position
from bookwheel_catalog.pages import Page
from bookwheel_catalog.parameters import read_facets, read_fields
from bookwheel_catalog.requests import ListQuery


class Listing:
    """A request for a page, checked when it is made: raises InvalidParameter or InvalidCursor."""

    def __init__(self, selection: Selection, sort: Sort | None, wanted: ListQuery) -> None:
        self._fields = read_fields(wanted.fields, answers.LISTED_FIELDS)
        sort = sort or (Sort.NEWEST if selection.text is None else Sort.RELEVANCE)
        after = decode_position(wanted.cursor, selection, sort)
        self._query = SearchQuery(selection, sort, wanted.limit, after, read_facets(wanted.facets))

    def page(self, index: IndexReader) -> Page:
        found, following = self._search(index)
        return Page(answers.book_list(found, following=following, fields=self._fields), following)

    def page_with_prices(self, index: IndexReader) -> Page:
        """The page, and the prices of all books on the list by currency."""
        found, following = self._search(index)
        more = {"prices": answers.prices(index.statistics(self._query.selection).prices)}
        return Page(answers.book_list(found, following=following, fields=self._fields, more=more), following)

    def _search(self, index: IndexReader) -> tuple[SearchPage, str | None]:
        found = index.search(self._query)
        if found.next is None:
            return found, None
        return found, encode_position(found.next, self._query.selection, self._query.sort)
