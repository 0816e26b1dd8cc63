"""The tables of the records, for SQLite and PostgreSQL.

Times are milliseconds since 1970 in UTC. Prices are in units of 1/10,000 of their currency. Both are exact integers,
which are fast to compare, index and aggregate.
"""

from typing import Any

from bookwheel_contracts import BOOK_DETAILS, BookDetails
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Both engines compare these strings by code point, independent of the collation of the database.
IdString = String(512).with_variant(String(512, collation="C"), "postgresql")
ShortIdString = String(64).with_variant(String(64, collation="C"), "postgresql")

# In SQLite, only a column of type INTEGER is an alias of the row id.
Serial = BigInteger().with_variant(Integer(), "sqlite")

_DETAIL_TYPES: dict[type, TypeEngine[Any]] = {str: Text(), tuple: Text(), float: Float(), int: BigInteger()}
"""A list is stored as a JSON list of strings."""


def _detail_column(name: str) -> Column[Any]:
    column_type = String(13) if name == "isbn13" else _DETAIL_TYPES[BOOK_DETAILS[name]]
    return Column(name, column_type, nullable=BookDetails.model_fields[name].default is None)


book = Table(
    "book",
    metadata,
    Column("number", Serial, primary_key=True),
    Column("book_id", IdString, nullable=False, unique=True),
    *(_detail_column(name) for name in BOOK_DETAILS),
    Column("price", BigInteger),
    Column("currency", String(3)),
    Column("stock", BigInteger),
    Column("in_stock", Boolean, nullable=False),
    Column("first_seen", BigInteger, nullable=False),
    Column("last_changed", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("removed_at", BigInteger),
)

offer = Table(
    "offer",
    metadata,
    Column("number", Serial, primary_key=True),
    Column("source", IdString, nullable=False),
    Column("source_key", IdString, nullable=False),
    Column("book_number", ForeignKey("book.number"), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("price", BigInteger),
    Column("currency", String(3)),
    Column("stock", BigInteger),
    Column("in_stock", Boolean, nullable=False),
    Column("content", Text, nullable=False),  # JSON of the cleaned BookDetails of the page
    Column("fingerprint", String(32), nullable=False),  # hash of URL, price, stock and content
    Column("first_seen", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    # last_seen, last_run and last_item identify the newest item, because items may arrive in any order.
    Column("last_run", String(512), nullable=False),
    Column("last_item", BigInteger, nullable=False),
    Column("removed_at", BigInteger),  # null until the offer is removed
    UniqueConstraint("source", "source_key"),
)

observation = Table(
    "observation",
    metadata,
    Column("number", Serial, primary_key=True),
    Column("offer_number", ForeignKey("offer.number"), nullable=False),
    Column("observed_at", BigInteger, nullable=False),
    Column("superseded_at", BigInteger),  # null for the current observation
    Column("price", BigInteger),
    Column("currency", String(3)),
    Column("stock", BigInteger),
    Column("in_stock", Boolean, nullable=False),
    Index("ix_observation_offer", "offer_number", "observed_at"),
    Index("ix_observation_in_force", "superseded_at", "observed_at"),
)

change = Table(
    "change",
    metadata,
    Column("sequence", Serial, primary_key=True),
    Column("book_number", ForeignKey("book.number"), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("fields", Text, nullable=False),  # a JSON list of strings
    Column("changed_at", BigInteger, nullable=False),
    Column("run_id", IdString),
    Column("content", Text),  # JSON of BookContent; null in changes that earlier releases wrote
    Index("ix_change_book", "book_number", "sequence"),
    sqlite_autoincrement=True,
)

crawl_run = Table(
    "crawl_run",
    metadata,
    Column("number", Serial, primary_key=True),
    Column("run_id", IdString, nullable=False, unique=True),
    Column("source", IdString, nullable=False),
    Column("start_url", Text),
    Column("state", String(16), nullable=False),
    Column("requested_at", BigInteger),
    Column("requested_by", Text),
    Column("started_at", BigInteger),
    Column("traceparent", String(64)),
    # From the finish message. The run ends when `scraped` items have a verdict.
    Column("finished_at", BigInteger),
    Column("finished_state", String(16)),
    Column("reason", Text),
    Column("scraped", BigInteger),
    Column("pages", BigInteger, nullable=False, default=0),
    Column("errors", BigInteger, nullable=False, default=0),
    Column("added", BigInteger, nullable=False, default=0),
    Column("modified", BigInteger, nullable=False, default=0),
    Column("unchanged", BigInteger, nullable=False, default=0),
    Column("duplicate", BigInteger, nullable=False, default=0),
    Column("quarantined", BigInteger, nullable=False, default=0),
    Column("last_change", BigInteger, nullable=False, default=0),
    Column("touched_at", BigInteger, nullable=False),
    # From the start message. Null until the message arrives.
    Column("whole_source", Boolean),
    Column("expect", Text),  # JSON of Expectations
    # The values of ApprovalState: shut (pending), open (approved), released, discarding (discarded).
    Column("gate", String(16), nullable=False, default="shut", server_default="shut"),
    Column("known", BigInteger),  # number of the source's offers at the first item of the run
    Column("staged", BigInteger, nullable=False, default=0, server_default="0"),
    Column("hold", Text),  # JSON of Hold
    # missed: number of missing offers. removed: number of removed offers.
    Column("missed", BigInteger, nullable=False, default=0, server_default="0"),
    Column("removes_before", BigInteger),  # not used: kept, because programs of earlier versions write it
    Column("removed", BigInteger, nullable=False, default=0, server_default="0"),
    # Numbers of items that passed and failed validation, independent of their verdicts.
    Column("valid", BigInteger, nullable=False, default=0, server_default="0"),
    Column("invalid", BigInteger, nullable=False, default=0, server_default="0"),
    # Numbers of pages by outcome that arrived, and from the finish message the number that the run published.
    Column("book_pages", BigInteger, nullable=False, default=0, server_default="0"),
    Column("list_pages", BigInteger, nullable=False, default=0, server_default="0"),
    Column("other_pages", BigInteger, nullable=False, default=0, server_default="0"),
    Column("unreadable_pages", BigInteger, nullable=False, default=0, server_default="0"),
    Column("failed_pages", BigInteger, nullable=False, default=0, server_default="0"),
    Column("published_pages", BigInteger),
    Column("faults", BigInteger, nullable=False, default=0, server_default="0"),  # fields that could not be read
    Column("hold_examples", Text),  # JSON of HoldExamples
    Index("ix_crawl_run_source", "source", "number"),
    Index("ix_crawl_run_started", "source", "started_at"),
    Index("ix_crawl_run_state", "state", "number"),
)

staged_item = Table(
    "staged_item",
    metadata,
    Column("run_number", ForeignKey("crawl_run.number"), primary_key=True),
    Column("item_number", BigInteger, primary_key=True, autoincrement=False),
    Column("source_key", IdString, nullable=False),
    Column("entry_id", ShortIdString, nullable=False),
    Column("body", Text, nullable=False),  # body of the stream entry as received
)

run_field = Table(
    "run_field",
    metadata,
    Column("run_number", ForeignKey("crawl_run.number"), primary_key=True),
    Column("field", String(64), primary_key=True),
    Column("filled", BigInteger, nullable=False),  # number of valid items that fill the field
)

run_fault = Table(
    "run_fault",
    metadata,
    Column("run_number", ForeignKey("crawl_run.number"), primary_key=True),
    Column("field", String(64), primary_key=True),
    Column("code", String(64), primary_key=True),
    Column("refused", BigInteger, nullable=False),  # number of invalid items with this code
)

crawl_page = Table(
    "crawl_page",
    metadata,
    Column("run_number", ForeignKey("crawl_run.number"), primary_key=True),
    Column("page_number", BigInteger, primary_key=True, autoincrement=False),
    Column("outcome", String(16), nullable=False),
    Column("url", Text, nullable=False),
    Column("reason", Text),
    Column("position", Text),
    Index("ix_crawl_page_outcome", "run_number", "outcome", "page_number"),
)

field_fault = Table(
    "field_fault",
    metadata,
    Column("number", Serial, primary_key=True),
    Column("run_number", ForeignKey("crawl_run.number"), nullable=False),
    Column("field", String(64), nullable=False),
    Column("code", String(64), nullable=False),
    Column("text", Text, nullable=False),  # as found on the page, shortened
    Column("url", Text, nullable=False),
    Column("found_at", BigInteger, nullable=False),
    Index("ix_field_fault_run", "run_number", "number"),
    sqlite_autoincrement=True,
)

run_field_fault = Table(
    "run_field_fault",
    metadata,
    Column("run_number", ForeignKey("crawl_run.number"), primary_key=True),
    Column("field", String(64), primary_key=True),
    Column("code", String(64), primary_key=True),
    Column("faults", BigInteger, nullable=False),
)

processed_item = Table(
    "processed_item",
    metadata,
    Column("run_number", ForeignKey("crawl_run.number"), primary_key=True),
    Column("item_number", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("number", Serial, primary_key=True),
    Column("entry_id", ShortIdString, nullable=False, unique=True),  # id of the stream entry
    Column("run_id", IdString),  # null for an unreadable entry
    Column("source", IdString),
    Column("source_key", IdString),  # source key of the offer, null if unknown
    Column("url", Text),
    Column("body", Text, nullable=False),
    Column("reasons", Text, nullable=False),  # a JSON list of {field, code, message}
    Column("code", String(64), nullable=False, default="", server_default=""),  # code of the first reason
    Column("state", String(16), nullable=False, index=True),  # open, queued for a replay, replayed
    Column("quarantined_at", BigInteger, nullable=False),
    Column("replayed_at", BigInteger),
    Column("verdict", String(16)),  # verdict of the replay
    Index("ix_quarantine_run", "run_id", "number"),
    sqlite_autoincrement=True,
)

projection = Table(
    "projection",
    metadata,
    Column("name", ShortIdString, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
)

prediction = Table(
    "prediction",
    metadata,
    Column("number", Serial, primary_key=True),
    Column("prediction_id", IdString, nullable=False, unique=True),
    Column("book_id", IdString),
    Column("predicted_at", BigInteger, nullable=False),
    Column("model_name", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("rating", Float, nullable=False),
    Column("low", Float, nullable=False),
    Column("high", Float, nullable=False),
    Column("features", Text, nullable=False),  # a JSON list of numbers
    Column("subject", Text, nullable=False),
    Column("traceparent", String(64), nullable=False),
    Index("ix_prediction_book", "book_id", "number"),
)

webhook = Table(
    "webhook",
    metadata,
    Column("number", Serial, primary_key=True),
    Column("webhook_id", String(64), nullable=False, unique=True),
    Column("owner", String(512), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),  # signs deliveries, so it cannot be stored as a hash
    Column("wants_changes", Boolean, nullable=False),
    Column("wants_runs", Boolean, nullable=False),
    Column("filters", Text, nullable=False),  # a JSON list of `name:value`
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("sequence", BigInteger, nullable=False),  # sequence of the last change in a delivery
    Column("claimed_until", BigInteger, nullable=False),  # end of the lease of the worker that delivers
    Column("created_at", BigInteger, nullable=False),
)

webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    Column("number", Serial, primary_key=True),
    Column("delivery_id", String(64), nullable=False, unique=True),
    Column("webhook_number", ForeignKey("webhook.number"), nullable=False),
    Column("type", String(32), nullable=False),
    Column("after", BigInteger),
    Column("through", BigInteger),
    Column("run_id", String(512)),
    Column("body", Text),  # null for changes, because each attempt reads them from the feed
    Column("state", String(16), nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("status", BigInteger),
    Column("reason", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("tried_since", BigInteger, nullable=False),  # start of the current series of attempts
    Column("next_attempt_at", BigInteger),
    Column("ended_at", BigInteger),
    UniqueConstraint("webhook_number", "run_id"),  # one delivery per run
    Index("ix_webhook_delivery_webhook", "webhook_number", "number"),
    Index("ix_webhook_delivery_state", "state", "next_attempt_at"),
)
