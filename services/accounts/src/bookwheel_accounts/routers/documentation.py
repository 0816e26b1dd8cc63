"""`/docs`: Swagger UI and the list of problems. All assets are served from here."""

import gzip
from functools import cache
from html import escape
from importlib.resources import files
from typing import Annotated, Final

from bookwheel_contracts import problems as contracts
from bookwheel_contracts.problems import BookwheelError, NotFoundError
from fastapi import APIRouter, Header, Response
from fastapi.responses import HTMLResponse

from bookwheel_accounts import gateway_problems

router = APIRouter(prefix="/docs", include_in_schema=False)

_ASSETS: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
_START = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, displayRequestDuration: true,
  presets: [SwaggerUIBundle.presets.apis], defaultModelsExpandDepth: 0, tryItOutEnabled: true,
});
"""
_HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="/docs/assets/favicon-32x32.png">'
)
_PAGE = (
    f'{_HEAD}<title>Bookwheel API</title><link rel="stylesheet" href="/docs/assets/swagger-ui.css"></head><body>'
    '<div id="swagger-ui"></div><script src="/docs/assets/swagger-ui-bundle.js"></script>'
    '<script src="/docs/start.js"></script></body></html>'
)
_CACHE_FOR_A_DAY = {"Cache-Control": "public, max-age=86400", "Vary": "Accept-Encoding"}


@router.get("")
async def page() -> HTMLResponse:
    return HTMLResponse(_PAGE)


@router.get("/start.js")
async def start() -> Response:
    return Response(_START, media_type="text/javascript")


@cache
def _asset(name: str) -> tuple[bytes, bytes]:
    """Returns a file of Swagger UI, plain and compressed. Cached, because compression takes 0.1 s."""
    content = files("fastapi_swagger").joinpath("resources", name).read_bytes()
    return content, gzip.compress(content, mtime=0)


@router.get("/assets/{name}")
def asset(name: str, accept_encoding: Annotated[str, Header()] = "") -> Response:
    """Raises NotFoundError."""
    if name not in _ASSETS:
        raise NotFoundError("There is no such file.")
    plain, compressed = _asset(name)
    if "gzip" in accept_encoding:
        return Response(compressed, headers={**_CACHE_FOR_A_DAY, "Content-Encoding": "gzip"}, media_type=_ASSETS[name])
    return Response(plain, headers=_CACHE_FOR_A_DAY, media_type=_ASSETS[name])


@router.get("/problems")
async def problems() -> HTMLResponse:
    """Explains each problem; the `type` of a problem links to it."""
    rows = "".join(
        f'<tr id="{kind.code}"><td><code>{kind.code}</code></td><td>{kind.status}</td><td>{escape(kind.title)}</td>'
        f"<td>{escape(_explanation(kind))}</td></tr>"
        for kind in sorted(_problems(), key=lambda kind: (kind.status, kind.code))
    )
    return HTMLResponse(
        f"{_HEAD}<title>Bookwheel problems</title></head><body><h1>Problems</h1>"
        "<p>Errors are <code>application/problem+json</code> (RFC 9457). <code>code</code> is stable; "
        "<code>trace_id</code> finds the request in the logs; <code>errors</code> names the faulty fields.</p>"
        "<table><thead><tr><th>code</th><th>status</th><th>title</th><th></th></tr></thead>"
        f"<tbody>{rows}</tbody></table></body></html>"
    )


def _problems() -> set[type[BookwheelError]]:
    """Returns all problems of the contracts and the gateway."""
    declared = (*vars(contracts).values(), *vars(gateway_problems).values())
    return {kind for kind in declared if isinstance(kind, type) and issubclass(kind, BookwheelError)}


def _explanation(kind: type[BookwheelError]) -> str:
    docstring = kind.__doc__ if kind is not BookwheelError else "A bug, or a fault of the machine."
    return " ".join((docstring or "").split())
