"""Every Redis key, stream and channel of the suite. Users of a shared Redis may restrict access to `bookwheel:*`."""

RAW_STREAM = "bookwheel:raw"
"""RawItem, RunStarted and RunFinished; read by each of `RAW_GROUPS`."""
LAKE_GROUP = "lake"
RAW_GROUPS = ("processor", LAKE_GROUP)
"""Consumer groups of the raw stream: an entry is trimmed after all of them have acknowledged it."""
CRAWL_STREAM = "bookwheel:crawls"
"""CrawlRequest; read by the consumer group `scraper`."""
REINDEX_STREAM = "bookwheel:reindex"
"""ReindexRequest; read by the consumer group `processor`."""
EXPORT_STREAM = "bookwheel:exports"
"""ExportRequest; read by the consumer group `processor`."""
PREDICTION_STREAM = "bookwheel:predictions"
"""PredictionRecord; read by the consumer group `processor`."""

CHANGES_CHANNEL = "bookwheel:changes"
"""Pub/sub: the sequence of the feed's last change, published after each batch."""

SOURCES_KEY = "bookwheel:sources"
"""Hash: the JSON of each declared source, by its name; written by the scraper."""
SCHEDULE_KEY = "bookwheel:schedule"
"""Hash from a source's name to the latest due time for which a crawl was requested."""
REPLICAS_KEY = "bookwheel:replicas"
"""Hash: the JSON of a Heartbeat, by `<service>/<instance>`."""
INDEX_SWEEP_KEY = "bookwheel:sweep:index"
"""The JSON of the latest IndexComparison."""
GENERATION_KEY = "bookwheel:generation"
"""The index generation."""
REINDEX_LOCK_KEY = "bookwheel:reindex:lock"
CELERY_KEY_PREFIX = "bookwheel:processor:celery:"


def run_key(run_id: str) -> str:
    """Hash: what a run has published so far; deleted some days after its end."""
    return f"bookwheel:run:{run_id}"


def reindex_key(job_id: str) -> str:
    """The JSON of a ReindexJob; expires after `REINDEX_DAYS`."""
    return f"bookwheel:reindex:{job_id}"


def training_run_key(run_id: str) -> str:
    """The JSON of a training run."""
    return f"bookwheel:training-run:{run_id}"


def training_lease_key(run_id: str) -> str:
    """The lock of the trainer that executes a training run."""
    return f"bookwheel:training-run:{run_id}:lease"
