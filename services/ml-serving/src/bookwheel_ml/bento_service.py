"""The BentoML service. `bentoml build` packs it; `bookwheel_ml.server` runs it."""

from contextlib import AsyncExitStack

import bentoml
from bookwheel_contracts.problems import BookwheelError
from bookwheel_runtime.settings import load_settings
from starlette.types import Receive, Scope, Send

from bookwheel_ml.app import create_app, open_dependencies
from bookwheel_ml.settings import MlSettings

REQUESTED_PATH_KEY = "bookwheel_ml.path"
"""ASGI scope key of the requested path. `server` sets it where it replaced `path` by a label for BentoML's metrics."""

settings = load_settings(MlSettings)
api = create_app(settings)


class RatingService:
    """Serves the API, and BentoML's `/livez`, `/readyz`, `/healthz` and metrics."""

    def __init__(self) -> None:
        self._exit_stack = AsyncExitStack()

    async def start(self) -> None:
        api.state.dependencies = await self._exit_stack.enter_async_context(open_dependencies(settings))

    async def stop(self) -> None:
        await self._exit_stack.aclose()

    bentoml.on_startup(start)
    bentoml.on_shutdown(stop)

    async def __is_ready__(self) -> bool:
        try:
            await api.state.dependencies.champion.check_ready()
            await api.state.token_verifier.check()
        except BookwheelError:
            return False
        return True


async def _call_api(scope: Scope, receive: Receive, send: Send) -> None:
    """Calls the API. BentoML would answer undeclared paths itself if the API were mounted as a Starlette app."""
    if REQUESTED_PATH_KEY in scope:
        scope["path"] = scope[REQUESTED_PATH_KEY]
    await api(scope, receive, send)


service = bentoml.service(
    RatingService,
    name="bookwheel_ml",
    workers=1,
    traffic={"timeout": 60},
    metrics={"enabled": True},
    logging={"access": {"enabled": False}},  # the API logs each request with its trace
    tracing={"excluded_urls": ".*"},
)
service.mount_asgi_app(_call_api)
