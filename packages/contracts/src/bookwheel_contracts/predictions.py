"""A served prediction, as the stream and the records store it."""

from bookwheel_contracts.model import Contract, Timestamp


class PredictionRecord(Contract):
    """`rating`, `low` and `high` are on the scale 0 to 5. `features` are the model's inputs in its own order."""

    prediction_id: str
    book_id: str | None
    predicted_at: Timestamp
    model_name: str
    model_version: str
    rating: float
    low: float
    high: float
    features: tuple[float, ...]
    subject: str
    traceparent: str
