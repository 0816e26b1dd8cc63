"""Routes of the quality reports and of the quarantine."""

import asyncio
from typing import Annotated

from bookwheel_contracts.problems import ConflictError, NotFoundError
from bookwheel_stores.records.runs.quarantine import QuarantineEntry, QuarantineFilter, QuarantineState
from fastapi import APIRouter, Path, Query, Request, Response

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.dependencies import Dependencies, Injected, OperatorClaims, ReaderClaims
from bookwheel_catalog.quality.models import (
    CreateReplay,
    FaultItem,
    FaultList,
    FaultParameters,
    QualityList,
    QualityParameters,
    QuarantineItem,
    QuarantineList,
    QuarantineParameters,
    QueuedReplays,
    SourceQualityParameters,
)

router = APIRouter(prefix=API_PREFIX, tags=["quality"])
SourceName = Annotated[str, Path(max_length=100, description="The name of a source.")]
EntryNumber = Annotated[int, Path(ge=1, lt=1 << 62)]


@router.get("/quality")
async def list_quality(
    dependencies: Injected, _: ReaderClaims, parameters: Annotated[QualityParameters, Query()]
) -> QualityList:
    """Returns the fill rates and validity of each source's latest run, compared with its earlier complete runs."""
    if parameters.run is None:
        return QualityList(items=tuple(await asyncio.to_thread(dependencies.quality.list_latest)))
    report = await asyncio.to_thread(dependencies.quality.get, parameters.run)
    if report is None:
        raise NotFoundError(f"Crawl {parameters.run} does not exist.")
    return QualityList(items=(report,))


@router.get("/quality/{source}")
async def list_quality_of_source(
    dependencies: Injected,
    _: ReaderClaims,
    source: SourceName,
    parameters: Annotated[SourceQualityParameters, Query()],
) -> QualityList:
    """Returns the quality reports of a source's runs, newest first."""
    if parameters.run is None:
        reports = await asyncio.to_thread(dependencies.quality.list_for_source, source, limit=parameters.limit)
        if not reports:
            raise NotFoundError(f"The source {source} has no items yet.")
        return QualityList(items=tuple(reports))
    report = await asyncio.to_thread(dependencies.quality.get, parameters.run)
    if report is None or report.source != source:
        raise NotFoundError(f"The source {source} has no crawl {parameters.run}.")
    return QualityList(items=(report,))


@router.get("/quality/{source}/faults")
async def list_field_faults(
    dependencies: Injected, _: ReaderClaims, source: SourceName, parameters: Annotated[FaultParameters, Query()]
) -> FaultList:
    """Lists the fields of a source's pages that could not be read, newest first.

    Faults are deleted some time after the end of their crawl, by default after 30 days. Their counts stay.
    """
    limit = parameters.limit
    rows = await asyncio.to_thread(
        dependencies.field_faults.page,
        source,
        run_id=parameters.run,
        field=parameters.field,
        code=parameters.code,
        before_number=parameters.after,
        limit=limit + 1,
    )
    items = tuple(
        FaultItem(
            id=row.number,
            run_id=row.run_id,
            field=row.field,
            code=row.code,
            text=row.text,
            url=row.url,
            found_at=row.found_at,
        )
        for row in rows[:limit]
    )
    return FaultList(items=items, next=items[-1].id if len(rows) > limit else None)


@router.get("/quarantine")
async def list_quarantine(
    dependencies: Injected, _: ReaderClaims, parameters: Annotated[QuarantineParameters, Query()]
) -> QuarantineList:
    """Lists quarantined items and books with their reasons, oldest first.

    The items could not be ingested. The books were permanently rejected by the search index: their code is
    `refused_by_index`.
    """
    quarantine, state, limit = dependencies.quarantine, parameters.state, parameters.limit
    entry_filter = QuarantineFilter(source=parameters.source, run_id=parameters.run, code=parameters.code)
    page = await asyncio.to_thread(
        quarantine.page, entry_filter, state=state, after_number=parameters.after, limit=limit + 1
    )
    total = await asyncio.to_thread(quarantine.count, entry_filter, state=state)
    items = tuple(QuarantineItem.from_entry(entry, with_body=False) for entry in page[:limit])
    return QuarantineList(items=items, total=total, next=items[-1].id if len(page) > limit else None)


@router.get("/quarantine/{number}")
async def get_quarantined_entry(dependencies: Injected, _: ReaderClaims, number: EntryNumber) -> QuarantineItem:
    """Returns a quarantine entry with its body as received. A long body is truncated."""
    return QuarantineItem.from_entry(await _get_entry(dependencies, number), with_body=True)


@router.post("/quarantine/replay", status_code=202)
async def replay_entries(dependencies: Injected, _: OperatorClaims, body: CreateReplay) -> QueuedReplays:
    """Replays all matching entries: they are ingested again by the current rules.

    Items of a discarded run are replayed only if `run` names that run or `code` is `run_discarded`. Books that the
    index rejected are not replayed.
    """
    entry_filter = QuarantineFilter(source=body.source, run_id=body.run, code=body.code)
    return QueuedReplays(queued=await asyncio.to_thread(dependencies.quarantine.queue_replays, entry_filter))


@router.post("/quarantine/{number}/replay", status_code=202)
async def replay_entry(
    request: Request, response: Response, dependencies: Injected, _: OperatorClaims, number: EntryNumber
) -> QuarantineItem:
    """Replays a quarantine entry. Read the result at the URL in the `Location` header after some seconds."""
    is_queued = await asyncio.to_thread(dependencies.quarantine.queue_replay, number)
    entry = await _get_entry(dependencies, number)
    if entry.is_rejected_by_index and entry.state is QuarantineState.OPEN:
        raise ConflictError(
            f"Entry {number} is a book that the search index rejected: indexing is retried every minute."
        )
    if not is_queued:
        raise ConflictError(f"Entry {number} is {entry.state.value}: only an open entry can be replayed.")
    response.headers["Location"] = request.url.path.removesuffix("/replay")
    return QuarantineItem.from_entry(entry, with_body=False)


async def _get_entry(dependencies: Dependencies, number: int) -> QuarantineEntry:
    entry = await asyncio.to_thread(dependencies.quarantine.get, number)
    if entry is None:
        raise NotFoundError(f"Quarantine entry {number} does not exist.")
    return entry
