"""The Bento service, and the one process that runs it."""

from contextlib import AsyncExitStack

import bentoml
import uvicorn
from bookwheel_contracts.problems import BookwheelError
from bookwheel_runtime.logs import configure_logs
from starlette.types import ASGIApp, Receive, Scope, Send

from bookwheel_ml.app import create_app, running_services
from bookwheel_ml.settings import MlSettings


def create_service(settings: MlSettings) -> ASGIApp:
    """BentoML's ASGI app with the API mounted in it, for an event loop to run.

    `/livez` and `/readyz` are BentoML's own, `/metrics` is every service's. The API is mounted as a plain callable:
    every other path then is the API's, with its problem responses, and never BentoML's pages.
    """
    api = create_app(settings)

    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await api(scope, receive, send)

    class RatingService:
        def __init__(self) -> None:
            self._running = AsyncExitStack()

        async def start(self) -> None:
            api.state.services = await self._running.enter_async_context(running_services(settings))

        async def stop(self) -> None:
            await self._running.aclose()

        bentoml.on_startup(start)
        bentoml.on_shutdown(stop)

        async def __is_ready__(self) -> bool:
            try:
                await api.state.services.champion.check()
                await api.state.token_verifier.check()
            except BookwheelError:
                return False
            return True

    service = bentoml.service(
        RatingService,
        name="bookwheel_ml",
        workers=1,
        traffic={"timeout": 60},
        logging={"access": {"enabled": False}},
        metrics={"enabled": False},
        tracing={"excluded_urls": ".*"},
    )
    service.mount_asgi_app(mounted)
    bento: ASGIApp = service.to_asgi()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (api if scope.get("path") == "/metrics" else bento)(scope, receive, send)

    return app


def serve(settings: MlSettings) -> None:
    """Runs until SIGTERM. One process: `bentoml serve` would load everything twice, for a supervisor of its own."""
    app = create_service(settings)
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
