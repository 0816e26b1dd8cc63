"""The command `bookwheel-demo-shop`."""

import argparse
from collections.abc import Sequence
from urllib.request import urlopen

DEFAULT_BOOKS = 1_000
DEFAULT_SEED = 1588


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="bookwheel-demo-shop",
        description="Serves a generated, deterministic bookshop to crawl.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=("serve", "health"),
        default="serve",
        help="serve the shop, or check that it is healthy",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8085, help="TCP port to listen on")
    parser.add_argument("--books", type=int, default=DEFAULT_BOOKS, help="number of books, 1 to 100000")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="seed of the generated books")
    parser.add_argument("--day", type=int, default=0, help="the shop's first day")
    options = parser.parse_args(arguments)
    if options.command == "health":
        with urlopen(f"http://127.0.0.1:{options.port}/", timeout=5):
            return
    # Imported here because `health` runs every few seconds, and these imports take a second.
    import uvicorn  # noqa: PLC0415

    from bookwheel_demo_shop.app import create_app  # noqa: PLC0415

    try:
        app = create_app(books=options.books, seed=options.seed, day=options.day)
    except ValueError as error:
        parser.error(str(error))
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        access_log=False,
        server_header=False,
    )
