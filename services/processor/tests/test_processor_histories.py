"""Reordered and redelivered entries of a crawl: the counts add up, and the records are the same."""

from collections.abc import Callable
from typing import Any

import pytest
from bookwheel_contracts import RawItem, RunState, Verdict
from bookwheel_processor.pipeline import ItemPipeline
from bookwheel_stores.records import RunStore
from bookwheel_stores.streams import StreamEntry
from bookwheel_testing.consistency import catalog_contents, check_consistent
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

ISBN = "0306406152"
_quickly = settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],  # without Phase.explain, which takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
_sightings = st.lists(
    st.fixed_dictionaries(
        {
            "run": st.sampled_from(["run-1", "run-2"]),
            "source": st.sampled_from(["shop", "rival"]),
            "key": st.sampled_from(["a", "b"]),
            "isbn": st.sampled_from([None, None, ISBN]),
            "title": st.sampled_from(["One", "One", "One", None]),
            "price": st.sampled_from(["£1.00", "£2.00", "£2.00", "nonsense"]),
            "minute": st.integers(0, 5),
        }
    ),
    max_size=14,
)


def _items(scraped: Any, sightings: list[dict[str, Any]]) -> list[RawItem]:
    numbers: dict[str, int] = {}
    items = []
    for sighting in sightings:
        numbers[sighting["run"]] = numbers.get(sighting["run"], 0) + 1
        items.append(scraped.item(numbers[sighting["run"]], **sighting))
    return items


@pytest.mark.slow_on("postgresql")
@_quickly
@given(sightings=_sightings, data=st.data())
def test_the_counts_add_up(
    new_engine: Callable[[], Engine], scraped: Any, sightings: list[dict[str, Any]], data: st.DataObject
) -> None:
    items = _items(scraped, sightings)
    totals = {run: sum(1 for item in items if item.run_id == run) for run in ("run-1", "run-2")}
    ends = [scraped.finished(run, scraped=total) for run, total in totals.items()]
    once = scraped.entries(*items, *ends)
    again = [StreamEntry(f"9{entry.id}", entry.body, 2) for entry in once]
    deliveries = data.draw(st.permutations(once + data.draw(st.lists(st.sampled_from(again), max_size=6))))
    size = data.draw(st.integers(1, 6))
    engine = new_engine()
    for at in range(0, len(deliveries), size):
        ItemPipeline(engine).ingest(deliveries[at : at + size])
    for run_id, total in totals.items():
        run = RunStore(engine).get(run_id)
        assert run is not None
        assert run.state is RunState.COMPLETE
        assert run.counts.scraped == total == sum(getattr(run.counts, verdict.value) for verdict in Verdict)
    check_consistent(engine)


@pytest.mark.slow_on("postgresql")
@_quickly
@given(sightings=_sightings, data=st.data())
def test_batches_of_any_size_lead_to_the_same_books(
    new_engine: Callable[[], Engine], scraped: Any, sightings: list[dict[str, Any]], data: st.DataObject
) -> None:
    entries = scraped.entries(*_items(scraped, sightings))
    at_once, in_parts = new_engine(), new_engine()
    ItemPipeline(at_once).ingest(entries)
    size = data.draw(st.integers(1, 5))
    for at in range(0, len(entries), size):
        ItemPipeline(in_parts).ingest(entries[at : at + size])
    assert catalog_contents(at_once) == catalog_contents(in_parts)
