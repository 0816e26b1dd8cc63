"""All Redis keys, streams and channels of the suite. In a shared Redis, access may be restricted to `bookwheel:*`."""

RAW_STREAM = "bookwheel:raw"
"""Entries: RawItem, RunStarted, RunPages and RunFinished. Each group of `RAW_GROUPS` reads all of them."""
LAKE_GROUP = "lake"
RAW_GROUPS = ("processor", LAKE_GROUP)
"""Consumer groups of the raw stream. An entry is deleted after all groups have acknowledged it."""
CRAWL_STREAM = "bookwheel:crawls"
"""Entries: CrawlRequest. The consumer group is `scraper`."""
REINDEX_STREAM = "bookwheel:reindex"
"""Entries: ReindexRequest. The consumer group is `processor`."""
EXPORT_STREAM = "bookwheel:exports"
"""Entries: ExportRequest. The consumer group is `processor`."""
PREDICTION_STREAM = "bookwheel:predictions"
"""Entries: PredictionRecord. The consumer group is `processor`."""

CHANGES_CHANNEL = "bookwheel:changes"
"""Pub/sub channel. After each batch, the sequence of the last change is published."""

SOURCES_KEY = "bookwheel:sources"
"""Hash from the name of a source to the JSON of its declaration. The scraper writes it."""
SCHEDULE_KEY = "bookwheel:schedule"
"""Hash from the name of a source to the latest due time for which a crawl was requested."""
REPLICAS_KEY = "bookwheel:replicas"
"""Hash from `<service>/<instance>` to the JSON of a Heartbeat."""
INDEX_SWEEP_KEY = "bookwheel:sweep:index"
"""The JSON of the latest IndexComparison."""
GENERATION_KEY = "bookwheel:generation"
"""The index generation."""
REINDEX_LOCK_KEY = "bookwheel:reindex:lock"
CELERY_KEY_PREFIX = "bookwheel:processor:celery:"


def run_key(run_id: str) -> str:
    """Hash with the progress of a run's publication. It expires some days after the end of the run."""
    return f"bookwheel:run:{run_id}"


CANCELLED_FIELD = "cancelled"
"""The field of a run's hash that is 1 after a client has cancelled the run."""


def page_count_name(outcome: str) -> str:
    """The field of a run's hash with the number of pages that have this outcome."""
    return f"pages:{outcome}"


def reindex_key(job_id: str) -> str:
    """The JSON of a ReindexJob; expires after `REINDEX_DAYS`."""
    return f"bookwheel:reindex:{job_id}"


def training_run_key(run_id: str) -> str:
    """The JSON of a training run."""
    return f"bookwheel:training-run:{run_id}"


def training_lease_key(run_id: str) -> str:
    """The lease of the trainer that executes a training run."""
    return f"bookwheel:training-run:{run_id}:lease"
