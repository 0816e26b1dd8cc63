"""The records: Bookwheel's truth, in a relational database."""

from bookwheel_stores.records.book_reader import BookReader
from bookwheel_stores.records.change_feed import SEARCH_PROJECTION, ChangeFeed
from bookwheel_stores.records.change_filter import ChangeFilter
from bookwheel_stores.records.database import (
    CONTENT_REFUSED,
    DATABASE_AWAY,
    connect_database,
    in_transaction,
    read_only,
    reading,
    takes_many_writers,
    wait_for_database,
)
from bookwheel_stores.records.feed_entries import FeedEntry, FeedReader
from bookwheel_stores.records.index_refusals import IndexRefusals
from bookwheel_stores.records.prediction_store import PredictionStore
from bookwheel_stores.records.price_trend import Interval, PricePoint
from bookwheel_stores.records.run_store import RunStore
from bookwheel_stores.records.schema import NewerSchema, Schema, is_current, schema_fault, upgrade_database
from bookwheel_stores.records.webhook_queue import Result, WebhookQueue, Work
from bookwheel_stores.records.webhook_store import Missed, NewWebhook, TooManyWebhooks, WebhookStore

__all__ = [
    "CONTENT_REFUSED",
    "DATABASE_AWAY",
    "SEARCH_PROJECTION",
    "BookReader",
    "ChangeFeed",
    "ChangeFilter",
    "FeedEntry",
    "FeedReader",
    "IndexRefusals",
    "Interval",
    "Missed",
    "NewWebhook",
    "NewerSchema",
    "PredictionStore",
    "PricePoint",
    "Result",
    "RunStore",
    "Schema",
    "TooManyWebhooks",
    "WebhookQueue",
    "WebhookStore",
    "Work",
    "connect_database",
    "in_transaction",
    "is_current",
    "read_only",
    "reading",
    "schema_fault",
    "takes_many_writers",
    "upgrade_database",
    "wait_for_database",
]
