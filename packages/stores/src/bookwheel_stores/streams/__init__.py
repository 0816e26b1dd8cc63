"""Redis streams: a batching writer and an at-least-once reader of a consumer group."""

from bookwheel_stores.streams.lag import list_stream_lags
from bookwheel_stores.streams.reader import StreamEntry, StreamReader
from bookwheel_stores.streams.writer import BODY_FIELD, StreamWriter, announce_changes, connect_redis

__all__ = [
    "BODY_FIELD",
    "StreamEntry",
    "StreamReader",
    "StreamWriter",
    "announce_changes",
    "connect_redis",
    "list_stream_lags",
]
