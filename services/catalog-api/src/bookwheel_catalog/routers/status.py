"""How the suite is."""

import asyncio

from bookwheel_contracts.status import SuiteStatus
from fastapi import APIRouter

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.dependencies import Operator, PartsOf

router = APIRouter(prefix=f"{API_PREFIX}/status", tags=["operations"])


@router.get("")
async def status(parts: PartsOf, _: Operator) -> SuiteStatus:
    """Every service with its replicas, what waits in the streams, how far index and lake are behind the records, what
    the latest comparison of index and records found, the latest crawls, the models that are served. What can't be
    asked right now is null, and `faults` says why."""
    return await asyncio.to_thread(parts.status.read)
