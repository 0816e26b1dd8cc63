"""The records: Bookwheel's truth, in a relational database."""

from bookwheel_stores.records.book_reader import BookReader
from bookwheel_stores.records.change_feed import SEARCH_PROJECTION, ChangeFeed
from bookwheel_stores.records.database import connect_database, is_current, read_only, reading, upgrade_database
from bookwheel_stores.records.prediction_store import PredictionStore
from bookwheel_stores.records.price_trend import Interval, PricePoint
from bookwheel_stores.records.run_store import RunStore

__all__ = [
    "SEARCH_PROJECTION",
    "BookReader",
    "ChangeFeed",
    "Interval",
    "PredictionStore",
    "PricePoint",
    "RunStore",
    "connect_database",
    "is_current",
    "read_only",
    "reading",
    "upgrade_database",
]
