"""What crosses a boundary between Bookwheel's services: models, events and errors. No I/O."""

from bookwheel_contracts.accounts import Claims, Scope
from bookwheel_contracts.books import (
    Book,
    BookContent,
    BookState,
    CarriedChange,
    Change,
    ChangeKind,
    Money,
    Observation,
    Offer,
    OfferContent,
)
from bookwheel_contracts.crawls import (
    CrawlCounts,
    CrawlRequest,
    CrawlRun,
    RawItem,
    RunFinished,
    RunStarted,
    RunState,
    StreamMessage,
    Verdict,
    parse_stream_message,
)
from bookwheel_contracts.predictions import PredictionRecord
from bookwheel_contracts.problems import BookwheelError, FieldError, Problem
from bookwheel_contracts.webhooks import (
    DeliveryState,
    Webhook,
    WebhookDelivery,
    WebhookEvent,
    WebhookEventType,
    WebhookState,
)

__all__ = [
    "Book",
    "BookContent",
    "BookState",
    "BookwheelError",
    "CarriedChange",
    "Change",
    "ChangeKind",
    "Claims",
    "CrawlCounts",
    "CrawlRequest",
    "CrawlRun",
    "DeliveryState",
    "FieldError",
    "Money",
    "Observation",
    "Offer",
    "OfferContent",
    "PredictionRecord",
    "Problem",
    "RawItem",
    "RunFinished",
    "RunStarted",
    "RunState",
    "Scope",
    "StreamMessage",
    "Verdict",
    "Webhook",
    "WebhookDelivery",
    "WebhookEvent",
    "WebhookEventType",
    "WebhookState",
    "parse_stream_message",
]
