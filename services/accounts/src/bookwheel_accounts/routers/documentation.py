"""`/docs`: Swagger UI with its assets, and a page that explains the API's problem codes."""

import gzip
from functools import cache
from html import escape
from importlib.resources import files
from typing import Annotated, Final

from bookwheel_contracts import problems as contract_problems
from bookwheel_contracts.problems import BookwheelError, NotFoundError
from fastapi import APIRouter, Header, Response
from fastapi.responses import HTMLResponse

from bookwheel_accounts import gateway_problems

router = APIRouter(prefix="/docs", include_in_schema=False)

_MEDIA_TYPES: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
_START_SCRIPT = """SwaggerUIBundle({
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
async def get_swagger_ui() -> HTMLResponse:
    return HTMLResponse(_PAGE)


@router.get("/start.js")
async def get_start_script() -> Response:
    return Response(_START_SCRIPT, media_type="text/javascript")


@cache
def _load_asset(name: str) -> tuple[bytes, bytes]:
    """Returns a file of Swagger UI, uncompressed and gzipped. Cached, because compression takes 0.1 s."""
    content = files("fastapi_swagger").joinpath("resources", name).read_bytes()
    return content, gzip.compress(content, mtime=0)


@router.get("/assets/{name}")
def get_asset(name: str, accept_encoding: Annotated[str, Header()] = "") -> Response:
    """Returns a file of Swagger UI. Raises NotFoundError for an unknown name."""
    if name not in _MEDIA_TYPES:
        raise NotFoundError("The file does not exist.")
    content, gzipped_content = _load_asset(name)
    if "gzip" in accept_encoding:
        return Response(
            gzipped_content, headers={**_CACHE_FOR_A_DAY, "Content-Encoding": "gzip"}, media_type=_MEDIA_TYPES[name]
        )
    return Response(content, headers=_CACHE_FOR_A_DAY, media_type=_MEDIA_TYPES[name])


@router.get("/problems")
async def get_problems() -> HTMLResponse:
    """Returns a page that explains the problem codes. The `type` of a problem links to it."""
    rows = "".join(
        f'<tr id="{problem.code}"><td><code>{problem.code}</code></td><td>{problem.status}</td>'
        f"<td>{escape(problem.title)}</td><td>{escape(_explain(problem))}</td></tr>"
        for problem in sorted(_list_problems(), key=lambda problem: (problem.status, problem.code))
    )
    return HTMLResponse(
        f"{_HEAD}<title>Bookwheel problems</title></head><body><h1>Problems</h1>"
        "<p>Errors are <code>application/problem+json</code> (RFC 9457). <code>code</code> is stable; "
        "<code>trace_id</code> finds the request in the logs; <code>errors</code> names the faulty fields.</p>"
        "<table><thead><tr><th>code</th><th>status</th><th>title</th><th></th></tr></thead>"
        f"<tbody>{rows}</tbody></table></body></html>"
    )


def _list_problems() -> set[type[BookwheelError]]:
    """Returns the problem classes of the services and of the gateway."""
    declared_values = (*vars(contract_problems).values(), *vars(gateway_problems).values())
    return {problem for problem in declared_values if isinstance(problem, type) and issubclass(problem, BookwheelError)}


def _explain(problem: type[BookwheelError]) -> str:
    docstring = problem.__doc__ if problem is not BookwheelError else "A bug, or a failure of the machine."
    return " ".join((docstring or "").split())
