"""Runs the BentoML service in a single process."""

import bentoml
import uvicorn
from bookwheel_runtime.logs import configure_logs
from starlette.types import ASGIApp, Receive, Scope, Send

from bookwheel_ml.bento_service import REQUESTED_PATH_KEY, api, service
from bookwheel_ml.settings import MlSettings

_BENTO_PATHS = frozenset({"/livez", "/readyz", "/healthz"})
_OTHER_PATH = "/other"


def create_asgi_app() -> ASGIApp:
    """Returns BentoML's ASGI app. `/metrics` is answered by the API; it includes BentoML's metrics.

    BentoML labels its metrics with the requested path. Clients choose paths, so all undeclared paths share one label.
    """
    bentoml.server_context.service_name = bentoml.server_context.bento_name = service.name
    bento_app: ASGIApp = service.to_asgi()
    labeled_paths = _BENTO_PATHS | {path for path in api.openapi()["paths"] if "{" not in path}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path")
        if path == "/metrics":
            await api(scope, receive, send)
        elif scope["type"] != "http" or path in labeled_paths:
            await bento_app(scope, receive, send)
        else:
            await bento_app({**scope, "path": _OTHER_PATH, REQUESTED_PATH_KEY: path}, receive, send)

    return app


def serve(settings: MlSettings) -> None:
    """Serves until SIGTERM. `bentoml serve` would start a supervisor that imports everything a second time."""
    app = create_asgi_app()
    configure_logs("ml-serving", settings.log_level)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )
