"""What serves the catalog's app: uvicorn, in one process or in several."""

import uvicorn
from bookwheel_runtime.memory import collect_garbage_rarely

from bookwheel_catalog import workers
from bookwheel_catalog.app import create_app
from bookwheel_catalog.query_route import ShortWay
from bookwheel_catalog.settings import CatalogSettings


def serve(settings: CatalogSettings) -> int:
    """Serves until it is told to stop. Returns the exit status."""

    def make_app() -> ShortWay:
        app = create_app(settings)
        collect_garbage_rarely()
        return app

    config = uvicorn.Config(
        make_app,
        factory=True,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
    )
    return workers.serve(config, settings.catalog_workers)
