"""Creates the FastAPI app of a service: problems, traces, access log, health, metrics and strict query parameters."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI, Response
from starlette.middleware import Middleware
from starlette.types import Lifespan

from bookwheel_runtime.metrics import CONTENT_TYPE_LATEST, metrics_page
from bookwheel_runtime.problem_responses import add_problem_handlers
from bookwheel_runtime.query_models import check_query_names
from bookwheel_runtime.request_middleware import RequestMiddleware
from bookwheel_runtime.tokens import TokenVerifier

ReadinessCheck = Callable[[], Awaitable[None]]
"""Raises an exception while a dependency is unavailable. Its text names the dependency and the reason."""


def create_service_app(
    *,
    title: str,
    description: str,
    token_verifier: TokenVerifier | None,
    readiness: Mapping[str, ReadinessCheck],
    lifespan: Lifespan[FastAPI] | None = None,
    middleware: Sequence[Middleware] = (),
) -> FastAPI:
    """Returns an app to which the service adds its routers.

    `/livez` returns 200. `/readyz` runs the checks and returns 503 with the reasons of failed checks. `/metrics`
    returns the Prometheus metrics. `middleware` runs inside `RequestMiddleware`.
    """
    checks = {**readiness, "token keys": token_verifier.check} if token_verifier else readiness
    app = FastAPI(
        title=title,
        description=description,
        version=version("bookwheel-runtime"),
        lifespan=lifespan,
        dependencies=[Depends(check_query_names)],
        middleware=[Middleware(RequestMiddleware), *middleware],
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.token_verifier = token_verifier
    add_problem_handlers(app)
    _add_health_routes(app, checks)
    return app


def _add_health_routes(app: FastAPI, checks: Mapping[str, ReadinessCheck]) -> None:
    @app.get("/livez", tags=["meta"])
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", tags=["meta"])
    async def readyz(response: Response) -> dict[str, Any]:
        results: dict[str, str] = {}
        for name, check in checks.items():
            try:
                await check()
                results[name] = "ok"
            except Exception as error:  # noqa: BLE001 - any error of a dependency is part of the response
                results[name] = f"{type(error).__name__}: {error}"
        is_ready = all(result == "ok" for result in results.values())
        response.status_code = 200 if is_ready else 503
        return {"status": "ready" if is_ready else "not ready", "checks": results}

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(metrics_page(), media_type=CONTENT_TYPE_LATEST)
