"""Routes for the gateway and the services: credential check, public keys, OpenAPI and readiness of the suite."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response

from bookwheel_accounts.credentials import InvalidCredentialError
from bookwheel_accounts.dependencies import Injected
from bookwheel_accounts.identity import format_scopes

router = APIRouter(include_in_schema=False)

_REJECTION_CACHE_SECONDS = 1


@router.get("/.well-known/jwks.json")
async def get_jwks(dependencies: Injected, response: Response) -> dict[str, Any]:
    response.headers["Cache-Control"] = "public, max-age=60"
    return dependencies.key_ring.jwks()


@router.get("/verify")
def verify_credential(
    dependencies: Injected, authorization: Annotated[str, Header()] = "", x_api_key: Annotated[str, Header()] = ""
) -> Response:
    """Checks the credential of a request for the gateway.

    Returns 204 with the subject and the internal token, or 401 with the reason.
    `X-Accel-Expires` limits how long nginx may cache the response, at most until the credential expires.
    """
    try:
        identity, remaining_seconds = dependencies.credentials.verify(authorization, x_api_key)
    except InvalidCredentialError as error:
        return Response(
            status_code=401,
            headers={"X-Refusal": error.reason, "X-Accel-Expires": str(_REJECTION_CACHE_SECONDS)},
        )
    return Response(
        status_code=204,
        headers={
            "X-Subject": identity.user_id,
            "X-Scopes": format_scopes(identity.scopes),
            "X-Internal-Token": dependencies.tokens.create_internal_token(identity),
            "X-Accel-Expires": str(int(min(dependencies.verify_cache_seconds, remaining_seconds))),
        },
    )


@router.get("/suite/openapi.json")
async def get_suite_openapi(request: Request, dependencies: Injected) -> dict[str, Any]:
    return await dependencies.suite_overview.get_openapi(request.app.openapi())


@router.get("/suite/readyz")
async def get_suite_readiness(dependencies: Injected, response: Response) -> dict[str, Any]:
    statuses = await dependencies.suite_overview.get_readiness()
    is_ready = all(status["status"] == "ready" for status in statuses.values())
    response.status_code = 200 if is_ready else 503
    return {"status": "ready" if is_ready else "not ready", "services": statuses}
