"""API models and query parameters of quality and quarantine."""

from typing import Annotated, Self

from bookwheel_contracts import FieldError, RunQualityReport, Verdict
from bookwheel_contracts.model import Contract, Timestamp
from bookwheel_runtime.query_models import QueryModel
from bookwheel_stores.records.runs.quarantine import QuarantineEntry, QuarantineState
from pydantic import Field

MAX_BODY_LENGTH = 100_000
RunFilter = Annotated[str | None, Field(max_length=512, description="Return only results of this run.")]


class QualityList(Contract):
    items: tuple[RunQualityReport, ...]


class FaultItem(Contract):
    """A field that could not be read. `text` is the text as found. The item was published without the field.

    `field` is `page` for a block of structured data.
    """

    id: int
    run_id: str
    field: str
    code: str
    text: str
    url: str
    found_at: Timestamp


class FaultList(Contract):
    """Faults of fields, newest first; pass `next` as `after` for the following ones."""

    items: tuple[FaultItem, ...]
    next: int | None


class FaultParameters(QueryModel):
    run: RunFilter = None
    field: str | None = Field(default=None, max_length=64)
    code: str | None = Field(default=None, max_length=64)
    after: int | None = Field(default=None, ge=1, lt=1 << 62, description="The `next` value of the previous page.")
    limit: int = Field(default=100, ge=1, le=1000)


class QuarantineItem(Contract):
    """An item that could not be ingested, or a book that the search index rejected.

    `state` is `open`, `queued` (for a replay) or `replayed`. `verdict` is the result of the replay. `body` is the
    stream entry as received; it is null in lists. `truncated` is true if the entry is longer than `body`. A rejected
    book has the code `refused_by_index`; its state becomes `replayed` when the index accepts it.
    """

    id: int
    run_id: str | None
    source: str | None
    url: str | None
    code: str
    reasons: tuple[FieldError, ...]
    state: QuarantineState
    quarantined_at: Timestamp
    replayed_at: Timestamp | None
    verdict: Verdict | None
    body: str | None = None
    truncated: bool = False

    @classmethod
    def from_entry(cls, entry: QuarantineEntry, *, with_body: bool) -> Self:
        return cls(
            id=entry.number,
            run_id=entry.run_id,
            source=entry.source,
            url=entry.url,
            code=entry.code,
            reasons=entry.reasons,
            state=entry.state,
            quarantined_at=entry.quarantined_at,
            replayed_at=entry.replayed_at,
            verdict=entry.verdict,
            body=entry.body[:MAX_BODY_LENGTH] if with_body else None,
            truncated=with_body and len(entry.body) > MAX_BODY_LENGTH,
        )


class QuarantineList(Contract):
    """A page of quarantine entries. `total` counts all matching entries; pass `next` as `after` for the next page."""

    items: tuple[QuarantineItem, ...]
    total: int
    next: int | None


class CreateReplay(Contract):
    """Selects the open entries to replay. Without any field, all open entries are replayed."""

    source: Annotated[str | None, Field(max_length=100)] = None
    run: Annotated[str | None, Field(max_length=512)] = None
    code: Annotated[str | None, Field(max_length=64)] = None


class QueuedReplays(Contract):
    """The number of entries that the processor will replay."""

    queued: int


class QualityParameters(QueryModel):
    run: RunFilter = None


class SourceQualityParameters(QualityParameters):
    limit: int = Field(default=10, ge=1, le=100)


class QuarantineParameters(QueryModel):
    source: str | None = Field(default=None, max_length=100)
    run: RunFilter = None
    code: str | None = Field(
        default=None, max_length=64, description="Return only entries whose first reason has this code."
    )
    state: QuarantineState | None = QuarantineState.OPEN
    after: int = Field(default=0, ge=0, lt=1 << 62, description="The `next` value of the previous page.")
    limit: int = Field(default=20, ge=1, le=200)
