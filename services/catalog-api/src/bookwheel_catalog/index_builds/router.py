"""Routes of index builds."""

import asyncio
from typing import Annotated

from bookwheel_contracts import ReindexJob
from fastapi import APIRouter, Path, Request, Response

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.dependencies import Injected, OperatorClaims

router = APIRouter(prefix=f"{API_PREFIX}/search", tags=["operations"])


@router.post("/reindex", status_code=202)
async def create_index_build(
    request: Request, response: Response, dependencies: Injected, claims: OperatorClaims
) -> ReindexJob:
    """Starts an index build from the records. The current index remains in use until the build is complete.

    Follow its progress at the URL in the `Location` header.
    """
    build = await asyncio.to_thread(dependencies.index_builds.submit, requested_by=claims.sub)
    response.headers["Location"] = f"{request.url.path}/{build.id}"
    return build


@router.get("/reindex/{job_id}")
async def get_index_build(
    dependencies: Injected,
    _: OperatorClaims,
    build_id: Annotated[str, Path(alias="job_id", max_length=64, pattern="^[0-9a-f]+$")],
) -> ReindexJob:
    """Returns an index build with its current state."""
    return await asyncio.to_thread(dependencies.index_builds.get, build_id)
