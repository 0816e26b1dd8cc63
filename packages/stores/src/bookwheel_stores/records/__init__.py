"""The records: the source of truth, in a relational database."""

from bookwheel_stores.records.catalog.book_reader import BookReader
from bookwheel_stores.records.catalog.price_trend import Interval, PricePoint
from bookwheel_stores.records.catalog.rejected_books import RejectedBooks
from bookwheel_stores.records.database.connection import (
    CONTENT_ERRORS,
    DATABASE_ERRORS,
    connect_database,
    in_transaction,
    read_connection,
    read_only,
    supports_concurrent_writers,
    wait_for_database,
)
from bookwheel_stores.records.database.schema import (
    NewerSchemaError,
    Schema,
    get_schema_error,
    is_current,
    upgrade_database,
)
from bookwheel_stores.records.feed.change_feed import SEARCH_PROJECTION, ChangeFeed
from bookwheel_stores.records.feed.change_filter import ChangeFilter
from bookwheel_stores.records.feed.entries import FeedEntry, FeedReader
from bookwheel_stores.records.predictions import PredictionStore
from bookwheel_stores.records.runs.store import RunStore
from bookwheel_stores.records.webhooks.queue import DeliveryResult, DeliveryTask, WebhookQueue
from bookwheel_stores.records.webhooks.store import MissedDeliveryPolicy, NewWebhook, TooManyWebhooksError, WebhookStore

__all__ = [
    "CONTENT_ERRORS",
    "DATABASE_ERRORS",
    "SEARCH_PROJECTION",
    "BookReader",
    "ChangeFeed",
    "ChangeFilter",
    "DeliveryResult",
    "DeliveryTask",
    "FeedEntry",
    "FeedReader",
    "Interval",
    "MissedDeliveryPolicy",
    "NewWebhook",
    "NewerSchemaError",
    "PredictionStore",
    "PricePoint",
    "RejectedBooks",
    "RunStore",
    "Schema",
    "TooManyWebhooksError",
    "WebhookQueue",
    "WebhookStore",
    "connect_database",
    "get_schema_error",
    "in_transaction",
    "is_current",
    "read_connection",
    "read_only",
    "supports_concurrent_writers",
    "upgrade_database",
    "wait_for_database",
]
