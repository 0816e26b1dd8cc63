"""A served prediction in the stream and in the records."""

from bookwheel_contracts.model import Contract, Timestamp


class PredictionRecord(Contract):
    """`rating` and its prediction interval from `low` to `high` are on the scale 0 to 5.

    `features` are the inputs in the order of the model.
    """

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
