"""Stores the pages of runs and the faults of fields, in the caller's transaction."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from bookwheel_contracts import FetchedPage, RunPages
from bookwheel_stores.records.runs.field_faults import FieldFaultWriter, PageFault
from bookwheel_stores.records.runs.pages import RunPageWriter
from sqlalchemy import Connection

from bookwheel_processor.ingest.decoding import AcceptedItem


def record_pages_and_faults(
    connection: Connection,
    run_numbers: Mapping[str, int],
    messages: Sequence[RunPages],
    accepted: Sequence[AcceptedItem],
    *,
    now: int,
) -> None:
    """Store new pages and the faults of new pages and items. The runs, by run id, must be locked.

    Redelivered pages are not counted again.
    """
    pages_by_run: dict[int, dict[int, FetchedPage]] = defaultdict(dict)
    for message in messages:
        pages_by_run[run_numbers[message.run_id]].update(enumerate(message.pages, start=message.first_page))
    faults_by_run: dict[int, list[PageFault]] = defaultdict(list)
    page_writer, fault_writer = RunPageWriter(connection), FieldFaultWriter(connection)
    for number, pages in sorted(pages_by_run.items()):
        for page in page_writer.add(number, pages, now=now):
            faults_by_run[number].extend(PageFault(fault, page.url, now) for fault in page.faults)
    for item in accepted:
        faults_by_run[run_numbers[item.raw_item.run_id]].extend(item_faults(item))
    for number, faults in sorted(faults_by_run.items()):
        fault_writer.add(number, faults)


def item_faults(item: AcceptedItem) -> list[PageFault]:
    """Return the faults that the scraper and the cleaning found in an item."""
    faults = (*item.raw_item.faults, *item.offer.faults)
    return [PageFault(fault, item.offer.url, item.sighting.seen_at) for fault in faults]
