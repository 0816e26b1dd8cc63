"""Quality of the items of runs, and the quarantine."""

import asyncio
from typing import Annotated

from bookwheel_contracts.problems import ConflictError, NotFoundError
from bookwheel_stores.records.runs.quarantine import QuarantineFilter, QuarantineState
from fastapi import APIRouter, Path, Query, Request, Response

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.dependencies import Injected, Operator, Reader
from bookwheel_catalog.quality.models import (
    CreateReplay,
    QualityList,
    QualityParameters,
    QuarantinedEntry,
    QuarantineList,
    QuarantineParameters,
    ReplayQueued,
    SourceQualityParameters,
)

router = APIRouter(prefix=API_PREFIX, tags=["quality"])
SourceName = Annotated[str, Path(max_length=100, description="The name of a source.")]
EntryNumber = Annotated[int, Path(ge=1, lt=1 << 62)]


@router.get("/quality")
async def list_quality(
    dependencies: Injected, _: Reader, parameters: Annotated[QualityParameters, Query()]
) -> QualityList:
    """Fill rates and validity of each source's latest run, compared with the complete runs before it."""
    if parameters.run is None:
        return QualityList(items=tuple(await asyncio.to_thread(dependencies.quality.list_latest)))
    report = await asyncio.to_thread(dependencies.quality.get, parameters.run)
    if report is None:
        raise NotFoundError(f"There is no crawl {parameters.run}.")
    return QualityList(items=(report,))


@router.get("/quality/{source}")
async def list_quality_of_source(
    dependencies: Injected,
    _: Reader,
    source: SourceName,
    parameters: Annotated[SourceQualityParameters, Query()],
) -> QualityList:
    """The same for a source's runs, newest first."""
    if parameters.run is None:
        reports = await asyncio.to_thread(dependencies.quality.list_for_source, source, limit=parameters.limit)
        if not reports:
            raise NotFoundError(f"The source {source} has no items yet.")
        return QualityList(items=tuple(reports))
    report = await asyncio.to_thread(dependencies.quality.get, parameters.run)
    if report is None or report.source != source:
        raise NotFoundError(f"The source {source} has no crawl {parameters.run}.")
    return QualityList(items=(report,))


@router.get("/quarantine")
async def list_quarantine(
    dependencies: Injected, _: Reader, parameters: Annotated[QuarantineParameters, Query()]
) -> QuarantineList:
    """Items that could not be ingested, and books that the index refuses for good (code `refused_by_index`), with the
    reasons, oldest first."""
    quarantine, state, limit = dependencies.quarantine, parameters.state, parameters.limit
    entry_filter = QuarantineFilter(source=parameters.source, run_id=parameters.run, code=parameters.code)
    page = await asyncio.to_thread(
        quarantine.page, entry_filter, state=state, after_number=parameters.after, limit=limit + 1
    )
    total = await asyncio.to_thread(quarantine.count, entry_filter, state=state)
    items = tuple(QuarantinedEntry.from_entry(entry, with_body=False) for entry in page[:limit])
    return QuarantineList(items=items, total=total, next=items[-1].id if len(page) > limit else None)


@router.get("/quarantine/{number}")
async def get_quarantined_entry(dependencies: Injected, _: Reader, number: EntryNumber) -> QuarantinedEntry:
    """One entry with its body as received; of a long body the beginning."""
    entry = await asyncio.to_thread(dependencies.quarantine.get, number)
    if entry is None:
        raise NotFoundError(f"There is no entry {number} in quarantine.")
    return QuarantinedEntry.from_entry(entry, with_body=True)


@router.post("/quarantine/replay", status_code=202)
async def replay_entries(dependencies: Injected, _: Operator, body: CreateReplay) -> ReplayQueued:
    """Ingests all matching entries again by the current rules. Items that an operator discarded with their run are
    replayed only if that run, or the code `run_discarded`, is given. Books that the index refused are not replayed."""
    entry_filter = QuarantineFilter(source=body.source, run_id=body.run, code=body.code)
    return ReplayQueued(queued=await asyncio.to_thread(dependencies.quarantine.queue_replays, entry_filter))


@router.post("/quarantine/{number}/replay", status_code=202)
async def replay_entry(
    request: Request, response: Response, dependencies: Injected, _: Operator, number: EntryNumber
) -> QuarantinedEntry:
    """Ingests one entry again. Its result is at the answer's `Location` within seconds."""
    is_queued = await asyncio.to_thread(dependencies.quarantine.queue_replay, number)
    entry = await asyncio.to_thread(dependencies.quarantine.get, number)
    if entry is None:
        raise NotFoundError(f"There is no entry {number} in quarantine.")
    if entry.is_refused_book and entry.state is QuarantineState.OPEN:
        raise ConflictError(f"Entry {number} waits for the index, which is offered the book again each minute.")
    if not is_queued:
        raise ConflictError(f"Entry {number} is {entry.state.value}: only an open one can be replayed.")
    response.headers["Location"] = request.url.path.removesuffix("/replay")
    return QuarantinedEntry.from_entry(entry, with_body=False)
