"""The route of the status of all services."""

import asyncio

from bookwheel_contracts.status import SuiteStatus
from fastapi import APIRouter

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.dependencies import Injected, OperatorClaims

router = APIRouter(prefix=f"{API_PREFIX}/status", tags=["operations"])


@router.get("")
async def get_status(dependencies: Injected, _: OperatorClaims) -> SuiteStatus:
    """Returns the status of all services.

    It has the replicas of each service, the stream backlogs, the lag of the search index and the lake, the latest
    comparison of the index with the records, the latest crawls, and the served models. An unavailable part is null;
    `faults` gives the reason.
    """
    return await asyncio.to_thread(dependencies.status.get)
