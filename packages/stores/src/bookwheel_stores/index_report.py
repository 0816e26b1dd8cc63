"""What the latest comparison of the search index with the records found, left in Redis for whoever wants to know."""

from bookwheel_contracts.redis_keys import INDEX_SWEEP_KEY
from bookwheel_contracts.status import IndexComparison
from pydantic import ValidationError
from redis import Redis


def save_comparison(redis: Redis, found: IndexComparison) -> None:
    redis.set(INDEX_SWEEP_KEY, found.model_dump_json())


def load_comparison(redis: Redis) -> IndexComparison | None:
    """None before the first one. Raises RedisError."""
    try:
        return IndexComparison.model_validate_json(redis.get(INDEX_SWEEP_KEY) or b"")
    except ValidationError:
        return None
