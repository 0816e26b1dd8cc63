"""The objects that the worker's jobs share."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bookwheel_contracts.redis_keys import RAW_GROUPS, RAW_STREAM
from bookwheel_runtime.health_server import Progress
from bookwheel_stores.cache import Generation
from bookwheel_stores.lake import Lake, LakeAddress
from bookwheel_stores.lake.silver import Silver
from bookwheel_stores.records import ChangeFeed, RejectedBooks, connect_database, supports_concurrent_writers
from bookwheel_stores.records.feed.snapshots import SnapshotReader
from bookwheel_stores.search import IndexWriter, open_index_build, open_index_writer
from bookwheel_stores.streams import StreamReader, connect_redis
from redis import Redis
from sqlalchemy import Engine

from bookwheel_processor.lake.silver_projection import SilverProjection
from bookwheel_processor.search_index.projection import Projection
from bookwheel_processor.search_index.reindexing import Reindexing
from bookwheel_processor.settings import ProcessorSettings

GROUP = "processor"


@dataclass(frozen=True, slots=True)
class Dependencies:
    """`trigger_ingest` and `trigger_projection` make a worker start the job soon."""

    settings: ProcessorSettings
    engine: Engine
    redis: Redis
    projection: Projection
    progress: Progress
    open_index: Callable[[], IndexWriter]
    reindexing: Reindexing
    lake: Lake
    silver: SilverProjection
    consumer: str
    trigger_ingest: Callable[[], None]
    trigger_projection: Callable[[], None]

    @property
    def lock_folder(self) -> Path:
        return self.settings.state_dir / "run"

    @property
    def ingest_workers(self) -> int:
        """The maximum number of concurrent ingest jobs on this machine."""
        return self.settings.ingest_workers if supports_concurrent_writers(self.engine) else 1

    def reader(self, stream: str, *, group: str = GROUP, slot: int = 0) -> StreamReader:
        """Create a reader. `slot` distinguishes the readers of one machine in the same group."""
        return StreamReader(
            self.redis,
            stream,
            group=group,
            consumer=f"{self.consumer}-{slot}" if slot else self.consumer,
            claim_after=self.settings.claim_after,
            other_groups=RAW_GROUPS if stream == RAW_STREAM else (),
        )


def create_dependencies(
    settings: ProcessorSettings,
    *,
    trigger_ingest: Callable[[], None],
    trigger_projection: Callable[[], None],
    progress: Progress | None = None,
) -> Dependencies:
    """Connect to the stores of the settings."""
    engine = connect_database(settings.database_url)
    redis = connect_redis(settings.redis_url)
    lake = Lake(LakeAddress(**settings.lake_options()))
    projection = Projection(ChangeFeed(engine), RejectedBooks(engine), Generation(redis), settings.projection_batch)
    return Dependencies(
        settings=settings,
        engine=engine,
        redis=redis,
        projection=projection,
        progress=progress or Progress(),
        open_index=lambda: open_index_writer(settings.search_url),
        lake=lake,
        silver=SilverProjection(ChangeFeed(engine), SnapshotReader(engine), Silver(lake)),
        reindexing=Reindexing(redis, projection, lambda: open_index_build(settings.search_url)),
        consumer=socket.gethostname(),
        trigger_ingest=trigger_ingest,
        trigger_projection=trigger_projection,
    )
