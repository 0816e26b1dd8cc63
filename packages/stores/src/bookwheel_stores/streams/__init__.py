"""Redis streams: a writer that publishes in batches, and a reader of a consumer group that loses nothing."""

from bookwheel_stores.streams.announcements import CHANGES_CHANNEL, announce_changes
from bookwheel_stores.streams.connection import connect_redis
from bookwheel_stores.streams.reader import StreamEntry, StreamReader
from bookwheel_stores.streams.writer import StreamWriter

__all__ = [
    "CHANGES_CHANNEL",
    "StreamEntry",
    "StreamReader",
    "StreamWriter",
    "announce_changes",
    "connect_redis",
]
