"""What operators do to the search index."""

import asyncio
from typing import Annotated

from bookwheel_contracts import ReindexJob
from fastapi import APIRouter, Path, Request, Response

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.dependencies import Operator, PartsOf

router = APIRouter(prefix=f"{API_PREFIX}/search", tags=["operations"])


@router.post("/reindex", status_code=202)
async def reindex(request: Request, response: Response, parts: PartsOf, claims: Operator) -> ReindexJob:
    """Has the search index built anew from the records, while the old one serves. `Location` is where to follow it."""
    job = await asyncio.to_thread(parts.reindexing.place, requested_by=claims.sub)
    response.headers["Location"] = f"{request.url.path}/{job.id}"
    return job


@router.get("/reindex/{job_id}")
async def reindex_job(
    parts: PartsOf, _: Operator, job_id: Annotated[str, Path(max_length=64, pattern="^[0-9a-f]+$")]
) -> ReindexJob:
    """A build of the index, as it is now."""
    return await asyncio.to_thread(parts.reindexing.get, job_id)
