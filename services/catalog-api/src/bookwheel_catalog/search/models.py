"""API models that book lists and statistics share."""

from decimal import Decimal
from typing import Annotated

from bookwheel_contracts.model import Contract
from pydantic import Field

Amount = Annotated[Decimal, Field(description="A decimal string.")]


class PriceSummary(Contract):
    currency: str
    count: int
    min: Amount
    max: Amount
    avg: Amount
    median: Amount
