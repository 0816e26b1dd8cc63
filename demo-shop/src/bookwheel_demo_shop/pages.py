"""The first storefront: pages with the markup of books.toscrape.com. Decision 10 lists the differences."""

from dataclasses import dataclass
from functools import cache, lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bookwheel_demo_shop.catalog import Catalog, Category, Listing

PAGE_SIZE = 20
STAR_WORDS = ("Zero", "One", "Two", "Three", "Four", "Five")
SHORT_TITLE_LENGTH = 24


@cache
def load_templates() -> Environment:
    """Returns the autoescaped templates of both storefronts, compiled once per process."""
    templates = Environment(
        loader=PackageLoader("bookwheel_demo_shop"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.filters["star_word"] = STAR_WORDS.__getitem__
    templates.filters["shortened"] = shorten
    return templates


def shorten(title: str) -> str:
    """Shortens a title for lists: "A Light in the ..."; the `title` attribute contains the full title."""
    if len(title) <= SHORT_TITLE_LENGTH:
        return title
    head, _, _ = title[:SHORT_TITLE_LENGTH].rpartition(" ")
    return f"{head or title[:SHORT_TITLE_LENGTH]} ..."


def count_pages(total: int) -> int:
    return max(1, -(-total // PAGE_SIZE))


@dataclass(frozen=True, slots=True)
class ListLocation:
    """The relative links of a list page. `root` and `catalogue` are the paths to `/` and to `/catalogue/`."""

    heading: str
    root: str
    catalogue: str
    category: Category | None = None
    first_page: str = "index.html"
    """The file name of page 1 in the link of page 2."""
    later_pages: str = ""
    """The folder of the next pages if it is not the folder of this page."""


HOME = ListLocation("All products", "", "catalogue/", later_pages="catalogue/")
ALL_PRODUCTS = ListLocation("All products", "../", "", first_page="page-1.html")
BOOKS = ListLocation("Books", "../../../", "../../")


def category_location(category: Category) -> ListLocation:
    return ListLocation(category.name, "../../../../", "../../../", category)


class Pages:
    """Renders pages as HTML. Methods return None for a page that does not exist on that day."""

    def __init__(self, catalog: Catalog, templates: Environment) -> None:
        self._catalog = catalog
        self._list = templates.get_template("list.html")
        self._sidebar_template = templates.get_template("sidebar.html")
        self._product = templates.get_template("product.html")
        self._cover = templates.get_template("cover.svg")
        self._sidebar = lru_cache(maxsize=64)(self._render_sidebar)

    def book_list(self, location: ListLocation, page: int, day: int) -> str | None:
        total = location.category.size if location.category else self._catalog.size
        pages = count_pages(total)
        if not 1 <= page <= pages:
            return None
        first = (page - 1) * PAGE_SIZE
        listings = self._catalog.listings(day, first, PAGE_SIZE, location.category)
        return self._list.render(
            heading=location.heading,
            root=location.root,
            catalogue=location.catalogue,
            category=location.category,
            sidebar=self._sidebar(location),
            listings=listings,
            total=total,
            first=first + 1,
            last=first + len(listings),
            page=page,
            pages=pages,
            previous=(location.first_page if page == 2 else f"page-{page - 1}.html") if page > 1 else None,
            next=f"{location.later_pages}page-{page + 1}.html" if page < pages else None,
        )

    def product(self, slug: str, number: int, day: int) -> str | None:
        listing = self._catalog.find(number, day)
        if listing is None or listing.book.slug != slug:
            return None
        return self._product.render(root="../../", listing=listing, availability=format_availability(listing))

    def cover(self, number: int, day: int) -> str | None:
        """Renders an SVG image."""
        listing = self._catalog.find(number, day)
        return self._cover.render(book=listing.book) if listing else None

    def _render_sidebar(self, location: ListLocation) -> Markup:
        current = location.category.number if location.category else None
        html = self._sidebar_template.render(
            catalogue=location.catalogue, current=current, categories=self._catalog.categories
        )
        return Markup(html)  # noqa: S704 - the template escapes its values


def format_availability(listing: Listing) -> str:
    return f"In stock ({listing.stock} available)" if listing.stock else "Out of stock"
