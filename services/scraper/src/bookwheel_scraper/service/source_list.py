"""Publishes the declared sources to Redis for the catalog API."""

import json

from bookwheel_contracts.redis_keys import SOURCES_KEY
from redis import Redis

from bookwheel_scraper.sources.declarations import Source


def public_fields(source: Source) -> dict[str, object]:
    return {
        "name": source.name,
        "title": source.title,
        "spider": source.spider,
        "start_urls": list(source.start_urls),
        "schedule": source.schedule,
        "requires_start_url": source.requires_start_url,
    }


def publish_sources(redis: Redis, sources: dict[str, Source]) -> None:
    """Replaces the published list in one transaction."""
    with redis.pipeline(transaction=True) as pipe:
        pipe.delete(SOURCES_KEY)
        pipe.hset(SOURCES_KEY, mapping={name: json.dumps(public_fields(source)) for name, source in sources.items()})
        pipe.execute()
