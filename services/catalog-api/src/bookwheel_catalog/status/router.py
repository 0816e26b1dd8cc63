"""State of the suite."""

import asyncio

from bookwheel_contracts.status import SuiteStatus
from fastapi import APIRouter

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.dependencies import Injected, Operator

router = APIRouter(prefix=f"{API_PREFIX}/status", tags=["operations"])


@router.get("")
async def get_status(dependencies: Injected, _: Operator) -> SuiteStatus:
    """Every service with its replicas, the backlog of the streams, the lag of index and lake, the latest comparison of
    index and records, the latest crawls, and the served models. A part that can't be read is null, and `faults` has the
    reason."""
    return await asyncio.to_thread(dependencies.status.get)
