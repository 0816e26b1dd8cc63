"""Combines the OpenAPI documents and the readiness of all services."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import httpx

from bookwheel_accounts.openapi_merge import merge_openapi

_CACHE_SECONDS = 60.0
_INCOMPLETE_CACHE_SECONDS = 2.0  # while a service is unavailable


class SuiteOverview:
    """Fetches the OpenAPI documents and readiness of the services. `services` maps names to base URLs."""

    def __init__(self, services: Mapping[str, str], client: httpx.AsyncClient) -> None:
        self._services = services
        self._client = client
        self._cached_document: tuple[float, dict[str, Any]] | None = None
        self._lock = asyncio.Lock()

    async def get_openapi(self, accounts_document: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the merged OpenAPI document of accounts and the available services. Caches it for up to a minute."""
        async with self._lock:
            if self._cached_document is None or self._cached_document[0] < time.monotonic():
                responses = await asyncio.gather(*(self._fetch_document(url) for url in self._services.values()))
                documents = {
                    name: document for name, document in zip(self._services, responses, strict=True) if document
                }
                is_complete = len(documents) == len(self._services)
                seconds = _CACHE_SECONDS if is_complete else _INCOMPLETE_CACHE_SECONDS
                self._cached_document = (
                    time.monotonic() + seconds,
                    merge_openapi({"accounts": accounts_document, **documents}),
                )
            return self._cached_document[1]

    async def get_readiness(self) -> dict[str, dict[str, Any]]:
        """Returns the status and failing checks of each service. Omits the reasons, because the route is public."""
        statuses = await asyncio.gather(*(self._fetch_readiness(url) for url in self._services.values()))
        return dict(zip(self._services, statuses, strict=True))

    async def _fetch_document(self, url: str) -> dict[str, Any] | None:
        try:
            response = await self._client.get(f"{url}/openapi.json")
            document = response.raise_for_status().json()
        except (httpx.HTTPError, ValueError):
            return None
        return document if isinstance(document, dict) else None

    async def _fetch_readiness(self, url: str) -> dict[str, Any]:
        try:
            response = await self._client.get(f"{url}/readyz")
        except httpx.HTTPError:
            return {"status": "away", "failing": []}
        return {"status": "ready" if response.is_success else "not ready", "failing": _list_failing_checks(response)}


def _list_failing_checks(response: httpx.Response) -> list[str]:
    """Returns the names of failing checks; an empty list if the response has another format."""
    try:
        checks = response.json()["checks"]
        return sorted(name for name, state in checks.items() if state != "ok")
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
