"""Redis streams: a writer that publishes in batches, and a reader of a consumer group that loses nothing."""

from bookwheel_stores.streams.connection import connect_redis
from bookwheel_stores.streams.reader import StreamEntry, StreamReader
from bookwheel_stores.streams.writer import StreamWriter

__all__ = ["StreamEntry", "StreamReader", "StreamWriter", "connect_redis"]
