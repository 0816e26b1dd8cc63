"""How good the items of runs are, and what could not be taken in."""

import asyncio
from typing import Annotated

from bookwheel_contracts.problems import ConflictError, NotFoundError
from bookwheel_stores.records.runs.quarantine import QuarantineFilter, QuarantineState
from fastapi import APIRouter, Path, Query, Request, Response

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.dependencies import Operator, PartsOf, Reader
from bookwheel_catalog.models import QualityList, QuarantinedEntry, QuarantineList, ReplayOrder, ReplayQueued

router = APIRouter(prefix=API_PREFIX, tags=["quality"])
SourceName = Annotated[str, Path(max_length=100, description="The name of a source.")]
RunId = Annotated[str | None, Query(max_length=512, description="Only this run.")]
EntryNumber = Annotated[int, Path(ge=1, lt=1 << 62)]


@router.get("/quality")
async def quality(parts: PartsOf, _: Reader, run: RunId = None) -> QualityList:
    """Fill rates and validity of each source's latest run, compared with the complete runs before it."""
    if run is None:
        return QualityList(items=tuple(await asyncio.to_thread(parts.quality.list_latest)))
    report = await asyncio.to_thread(parts.quality.get, run)
    if report is None:
        raise NotFoundError(f"There is no crawl {run}.")
    return QualityList(items=(report,))


@router.get("/quality/{source}")
async def quality_of_source(
    parts: PartsOf,
    _: Reader,
    source: SourceName,
    run: RunId = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> QualityList:
    """The same for a source's runs, newest first."""
    if run is None:
        found = await asyncio.to_thread(parts.quality.list_for_source, source, limit=limit)
        if not found:
            raise NotFoundError(f"No items of a source {source} have come yet.")
        return QualityList(items=tuple(found))
    report = await asyncio.to_thread(parts.quality.get, run)
    if report is None or report.source != source:
        raise NotFoundError(f"The source {source} has no crawl {run}.")
    return QualityList(items=(report,))


@router.get("/quarantine")
async def quarantine(  # noqa: PLR0913 - one parameter for each of the query
    parts: PartsOf,
    _: Reader,
    *,
    source: Annotated[str | None, Query(max_length=100)] = None,
    run: RunId = None,
    code: Annotated[str | None, Query(max_length=64, description="The code of the first reason.")] = None,
    state: QuarantineState | None = QuarantineState.OPEN,
    after: Annotated[int, Query(ge=0, lt=1 << 62, description="`next` of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> QuarantineList:
    """What could not be taken in, and books that the index refuses for good (code `refused_by_index`), with the
    reasons, oldest first."""
    selection = QuarantineFilter(source=source, run_id=run, code=code)
    page = await asyncio.to_thread(parts.quarantine.page, selection, state=state, after_number=after, limit=limit + 1)
    total = await asyncio.to_thread(parts.quarantine.count, selection, state=state)
    items = tuple(QuarantinedEntry.of(one, with_body=False) for one in page[:limit])
    return QuarantineList(items=items, total=total, next=items[-1].id if len(page) > limit else None)


@router.get("/quarantine/{number}")
async def quarantined(parts: PartsOf, _: Reader, number: EntryNumber) -> QuarantinedEntry:
    """One of them with its body as it came; of a long one the beginning."""
    found = await asyncio.to_thread(parts.quarantine.get, number)
    if found is None:
        raise NotFoundError(f"Nothing in quarantine has the number {number}.")
    return QuarantinedEntry.of(found, with_body=True)


@router.post("/quarantine/replay", status_code=202)
async def replay(parts: PartsOf, _: Operator, order: ReplayOrder) -> ReplayQueued:
    """Has all that match taken in once more, by the rules of today. What an operator discarded with its run only where
    that run, or the code `run_discarded`, is named. Books that the index refused wait for the index alone."""
    selection = QuarantineFilter(source=order.source, run_id=order.run, code=order.code)
    return ReplayQueued(queued=await asyncio.to_thread(parts.quarantine.queue_replays, selection))


@router.post("/quarantine/{number}/replay", status_code=202)
async def replay_one(
    request: Request, response: Response, parts: PartsOf, _: Operator, number: EntryNumber
) -> QuarantinedEntry:
    """Has one taken in once more. The answer's `Location` tells, within seconds, what became of it."""
    is_queued = await asyncio.to_thread(parts.quarantine.queue_replay, number)
    found = await asyncio.to_thread(parts.quarantine.get, number)
    if found is None:
        raise NotFoundError(f"Nothing in quarantine has the number {number}.")
    if found.is_refused_book and found.state is QuarantineState.OPEN:
        raise ConflictError(f"Number {number} waits for the index, which is offered the book again each minute.")
    if not is_queued:
        raise ConflictError(f"Number {number} is {found.state.value}, and only what is open can be replayed.")
    response.headers["Location"] = request.url.path.removesuffix("/replay")
    return QuarantinedEntry.of(found, with_body=False)
