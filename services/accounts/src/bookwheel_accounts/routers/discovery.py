"""For machines: the public keys, the gateway's credential check, the suite's documents."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response

from bookwheel_accounts.credentials import InvalidCredentialError
from bookwheel_accounts.dependencies import ServicesHere
from bookwheel_accounts.identity import format_scopes

router = APIRouter(include_in_schema=False)

_REFUSAL_CACHE_SECONDS = 1


@router.get("/.well-known/jwks.json")
async def jwks(services: ServicesHere, response: Response) -> dict[str, Any]:
    response.headers["Cache-Control"] = "public, max-age=60"
    return services.ring.jwks()


@router.get("/verify")
def verify(
    services: ServicesHere,
    authorization: Annotated[str, Header()] = "",
    x_api_key: Annotated[str, Header()] = "",
) -> Response:
    """For the gateway only: 204 with the subject and the internal token, or 401 with the reason.

    `X-Accel-Expires` tells nginx for how long it may reuse the answer: never beyond the credential's own end.
    """
    try:
        identity, seconds_left = services.credentials.check(authorization, x_api_key)
    except InvalidCredentialError as refused:
        return Response(
            status_code=401,
            headers={"X-Refusal": refused.reason, "X-Accel-Expires": str(_REFUSAL_CACHE_SECONDS)},
        )
    return Response(
        status_code=204,
        headers={
            "X-Subject": identity.user_id,
            "X-Scopes": format_scopes(identity.scopes),
            "X-Internal-Token": services.tokens.internal_token(identity),
            "X-Accel-Expires": str(int(min(services.verify_cache_seconds, seconds_left))),
        },
    )


@router.get("/suite/openapi.json")
async def suite_openapi(request: Request, services: ServicesHere) -> dict[str, Any]:
    return await services.suite.openapi(request.app.openapi())


@router.get("/suite/readyz")
async def suite_readyz(services: ServicesHere, response: Response) -> dict[str, Any]:
    found = await services.suite.readiness()
    ready = all(answer["status"] == "ready" for answer in found.values())
    response.status_code = 200 if ready else 503
    return {"status": "ready" if ready else "not ready", "services": found}
