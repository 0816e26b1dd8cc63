"""The ASGI app of the shop: the pages of both storefronts and the control routes."""

import re
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from bookwheel_demo_shop.catalog import Catalog
from bookwheel_demo_shop.control import Clock, ControlRoutes
from bookwheel_demo_shop.faults import LOOP_PATH, Faults
from bookwheel_demo_shop.pages import ALL_PRODUCTS, BOOKS, HOME, Pages, category_location, load_templates
from bookwheel_demo_shop.schema_pages import SchemaPages

ROBOTS = "User-agent: *\nDisallow: /_shop/\n"
NOT_FOUND = "<!DOCTYPE html><title>404</title><h1>404: page not found</h1>"

PageRenderer = Callable[[Request], str | None]


def parse_number(text: str) -> int | None:
    """Parses a positive number without sign and leading zeros, of at most 9 digits; None if it is invalid."""
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,8}", text) else None


def parse_page_number(file_name: str, *, first: str | None = None) -> int | None:
    """Returns 1 for the file name `first`, N for `page-N.html`, and None for other names."""
    if file_name == first:
        return 1
    match = re.fullmatch(r"page-([0-9]+)\.html", file_name)
    return parse_number(match[1]) if match else None


def split_slug_and_number(folder: str) -> tuple[str, int | None]:
    """Splits `the-lost-moon_12` into `("the-lost-moon", 12)`."""
    slug, _, number = folder.rpartition("_")
    return slug, parse_number(number)


class Storefronts:
    """Renders the pages of both storefronts. Methods return None for a page that does not exist."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        templates = load_templates()
        self._clock = clock
        self._pages = Pages(catalog, templates)
        self._schema_pages = SchemaPages(catalog, templates)
        self._categories = {f"{category.slug}_{category.number}": category for category in catalog.categories}

    def home(self, _request: Request) -> str | None:
        return self._pages.book_list(HOME, 1, self._clock.day)

    def all_products(self, request: Request) -> str | None:
        page = parse_page_number(request.path_params["file_name"])
        return self._pages.book_list(ALL_PRODUCTS, page, self._clock.day) if page else None

    def books(self, request: Request) -> str | None:
        page = parse_page_number(request.path_params["file_name"], first="index.html")
        return self._pages.book_list(BOOKS, page, self._clock.day) if page else None

    def category(self, request: Request) -> str | None:
        page = parse_page_number(request.path_params["file_name"], first="index.html")
        category = self._categories.get(request.path_params["folder"])
        return self._pages.book_list(category_location(category), page, self._clock.day) if page and category else None

    def product(self, request: Request) -> str | None:
        slug, number = split_slug_and_number(request.path_params["folder"])
        return self._pages.product(slug, number, self._clock.day) if number else None

    def cover(self, request: Request) -> str | None:
        number = parse_number(request.path_params["number"])
        return self._pages.cover(number, self._clock.day) if number else None

    def schema_list(self, request: Request) -> str | None:
        page = parse_number(request.path_params.get("number", "1"))
        return self._schema_pages.book_list(page, self._clock.day) if page else None

    def schema_book(self, request: Request) -> str | None:
        number = parse_number(request.path_params["number"])
        return self._schema_pages.book(number, self._clock.day) if number else None


def create_app(*, books: int, seed: int, day: int = 0) -> Starlette:
    """Raises ValueError if the number of books or the day is out of range."""
    catalog, clock, faults = Catalog(size=books, seed=seed), Clock(day), Faults()
    storefronts = Storefronts(catalog, clock)

    def page(path: str, render: PageRenderer, media_type: str = "text/html") -> Route:
        async def endpoint(request: Request) -> Response:
            content = render(request)
            if content is None:
                return HTMLResponse(NOT_FOUND, 404)
            return await faults.apply(request.scope["path"], Response(content, media_type=media_type))

        return Route(path, endpoint, methods=["GET"])

    return Starlette(
        routes=[
            page("/catalogue/{folder}/index.html", storefronts.product),
            page("/catalogue/{file_name}", storefronts.all_products),
            page("/", storefronts.home),
            page("/index.html", storefronts.home),
            page("/catalogue/category/books_1/{file_name}", storefronts.books),
            page("/catalogue/category/books/{folder}/{file_name}", storefronts.category),
            page("/schema/books/{number}", storefronts.schema_book),
            page("/schema/page/{number}", storefronts.schema_list),
            page("/schema/", storefronts.schema_list),
            page("/media/cache/{number}.svg", storefronts.cover, "image/svg+xml"),
            Route("/robots.txt", robots),
            Route(f"{LOOP_PATH}/{{turn}}", redirect_loop),
            Mount("/static", StaticFiles(packages=[("bookwheel_demo_shop", "static")])),
            Mount("/_shop", routes=ControlRoutes(catalog, clock, faults).routes()),
        ],
    )


async def robots(_request: Request) -> Response:
    return PlainTextResponse(ROBOTS)


async def redirect_loop(request: Request) -> Response:
    return RedirectResponse(f"{LOOP_PATH}/{'2' if request.path_params['turn'] == '1' else '1'}", 302)
