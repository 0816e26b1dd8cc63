"""The result of the latest index sweep, stored in Redis."""

from bookwheel_contracts.redis_keys import INDEX_SWEEP_KEY
from bookwheel_contracts.status import IndexComparison
from pydantic import ValidationError
from redis import Redis


def save_comparison(redis: Redis, comparison: IndexComparison) -> None:
    redis.set(INDEX_SWEEP_KEY, comparison.model_dump_json())


def load_comparison(redis: Redis) -> IndexComparison | None:
    """Returns None before the first sweep. Raises RedisError."""
    try:
        return IndexComparison.model_validate_json(redis.get(INDEX_SWEEP_KEY) or b"")
    except ValidationError:
        return None
