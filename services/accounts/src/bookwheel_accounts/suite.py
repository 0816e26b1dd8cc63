"""What the gateway shows for the suite as a whole: one OpenAPI document, one readiness."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import httpx

from bookwheel_accounts.openapi_merge import merge_openapi

_WHOLE_KEPT_SECONDS = 60.0
_PARTIAL_KEPT_SECONDS = 2.0  # a service was away: look again soon


class Suite:
    """Asks the other services over HTTP. `services` maps a name to its address."""

    def __init__(self, services: Mapping[str, str], client: httpx.AsyncClient) -> None:
        self._services = services
        self._client = client
        self._merged: tuple[float, dict[str, Any]] | None = None
        self._lock = asyncio.Lock()

    async def openapi(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """The OpenAPI document of all services that answer, together with `own`; kept for a while."""
        async with self._lock:
            if self._merged is None or self._merged[0] < time.monotonic():
                found = await asyncio.gather(*(self._document(address) for address in self._services.values()))
                documents = {name: document for name, document in zip(self._services, found, strict=True) if document}
                whole = len(documents) == len(self._services)
                kept = _WHOLE_KEPT_SECONDS if whole else _PARTIAL_KEPT_SECONDS
                self._merged = (time.monotonic() + kept, merge_openapi({"accounts": own, **documents}))
            return self._merged[1]

    async def readiness(self) -> dict[str, dict[str, Any]]:
        """By service, whether it is ready and which of its checks fail. Why is for its log: anyone may ask this."""
        found = await asyncio.gather(*(self._readiness(address) for address in self._services.values()))
        return dict(zip(self._services, found, strict=True))

    async def _document(self, address: str) -> dict[str, Any] | None:
        try:
            answer = await self._client.get(f"{address}/openapi.json")
            document = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError):
            return None
        return document if isinstance(document, dict) else None

    async def _readiness(self, address: str) -> dict[str, Any]:
        try:
            answer = await self._client.get(f"{address}/readyz")
        except httpx.HTTPError:
            return {"status": "away", "failing": []}
        return {"status": "ready" if answer.is_success else "not ready", "failing": _failing(answer)}


def _failing(answer: httpx.Response) -> list[str]:
    """The names of the checks that fail, where the service tells them as the suite's own services do."""
    try:
        checks = answer.json()["checks"]
        return sorted(name for name, state in checks.items() if state != "ok")
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
