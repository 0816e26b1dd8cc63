"""Tells whoever waits that the change feed has grown. A hint: one that is lost costs a second, and no change."""

from redis import Redis

CHANGES_CHANNEL = "bookwheel:changes"
"""A Redis channel; each message is the sequence of a change that has been committed."""


def announce_changes(redis: Redis, sequence: int) -> None:
    """Call it after the commit. Raises redis.RedisError while Redis is away."""
    redis.publish(CHANGES_CHANNEL, sequence)
