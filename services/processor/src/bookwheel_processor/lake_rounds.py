"""The rounds that fill the lake: plain functions over the parts, each safe to call at any time."""

from bookwheel_contracts.crawls import RAW_STREAM
from bookwheel_stores.lake import Bronze
from bookwheel_stores.streams import StreamEntry

from bookwheel_processor.draining import Drain
from bookwheel_processor.rounds import Parts
from bookwheel_processor.slots import slot

LAKE_GROUP = "lake"
_BATCH = 2000


def bronze_round(parts: Parts) -> int:
    """Keeps what the raw stream holds as it was received; returns the number of entries."""
    with slot(parts.slots, "bronze") as is_mine:
        if not is_mine:
            return 0
        bronze = Bronze(parts.lake, parts.consumer)

        def take(entries: list[StreamEntry]) -> None:
            bronze.add(entries)

        reader = parts.reader(RAW_STREAM, group=LAKE_GROUP)
        return Drain(reader, _BATCH, linger_ms=1).run(take)
