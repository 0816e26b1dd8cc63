"""Cached responses and the index generation for which they are valid."""

from bookwheel_stores.cache.generation import Generation
from bookwheel_stores.cache.responses import ResponseCache, connect_redis_with_short_timeouts

__all__ = ["Generation", "ResponseCache", "connect_redis_with_short_timeouts"]
