"""Cached responses and the generation of the index that they belong to."""

from bookwheel_stores.cache.generation import Generation
from bookwheel_stores.cache.responses import ResponseCache, connect_cache

__all__ = ["Generation", "ResponseCache", "connect_cache"]
