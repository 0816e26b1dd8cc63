"""One attempt at one delivery."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import httpcore
from bookwheel_runtime.endpoints import Endpoint, parse_endpoint
from bookwheel_stores.records import DeliveryResult, DeliveryTask

from bookwheel_processor.webhooks.connections import AddressRefusedError, PublicBackend
from bookwheel_processor.webhooks.retries import pause_seconds, retry_after_seconds
from bookwheel_processor.webhooks.signing import signed_headers

_GONE = 410
_READ_BYTES = 16 << 10
_READ_SECONDS = 1.0
_USER_AGENT = f"Bookwheel/{version('bookwheel-processor')} (webhooks)"


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for one attempt, before the second attempt, and until a delivery is given up."""

    attempt: float
    first_pause: float
    whole: float


@dataclass(frozen=True, slots=True)
class _Answer:
    """`status` is None where none came."""

    status: int | None
    reason: str | None = None
    retry_after: float | None = None


class Sender:
    """Posts deliveries. No proxy, no cookies, no redirects; nothing of an answer is kept but its status."""

    def __init__(self, patience: Patience, *, private: bool, connections: int) -> None:
        self._patience = patience
        self._private = private
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=connections, keepalive_expiry=5, network_backend=PublicBackend(private=private)
        )

    async def close(self) -> None:
        await self._pool.aclose()

    async def attempt(self, work: DeliveryTask) -> DeliveryResult:
        """What became of it, and when to try again if at all."""
        answer = await self._answer(work)
        if answer.reason is None:
            return DeliveryResult(delivered=True, status=answer.status, reason=None)
        now = time.time()
        pause = pause_seconds(work.attempts + 1, first=self._patience.first_pause, retry_after=answer.retry_after)
        age = now - work.tried_since / 1000
        if answer.status == _GONE:
            return DeliveryResult(delivered=False, status=answer.status, reason=answer.reason, gone=True)
        if work.is_ping or age + pause > self._patience.whole:
            reason = answer.reason if work.is_ping else f"given up after {age:.0f} s: {answer.reason}"
            return DeliveryResult(delivered=False, status=answer.status, reason=reason)
        return DeliveryResult(
            delivered=False, status=answer.status, reason=answer.reason, next_attempt_at=round((now + pause) * 1000)
        )

    async def _answer(self, work: DeliveryTask) -> _Answer:
        try:
            endpoint = parse_endpoint(work.url, private=self._private)  # the setting may be another one by now
            async with asyncio.timeout(self._patience.attempt):
                return await self._post(endpoint, work)
        except TimeoutError:
            return _Answer(None, f"no answer within {self._patience.attempt:g} s")
        except (AddressRefusedError, ValueError) as error:
            return _Answer(None, f"refused: {error}")
        except httpcore.ProtocolError as error:  # its text quotes what came, and whoever answered may be no web server
            return _Answer(None, f"{type(error).__name__}: the answer is no HTTP, or broke off")
        except (httpcore.NetworkError, httpcore.TimeoutException, OSError) as error:
            return _Answer(None, f"{type(error).__name__}: {str(error)[:200]}".rstrip(": "))

    async def _post(self, endpoint: Endpoint, work: DeliveryTask) -> _Answer:
        headers = {
            "content-type": "application/json",
            "user-agent": _USER_AGENT,
            **signed_headers(work.secret, work.delivery_id, timestamp=int(time.time()), body=work.body),
        }
        url = httpcore.URL(
            scheme=endpoint.scheme, host=endpoint.host, port=endpoint.port, target=endpoint.target.encode()
        )
        limits = {"connect": self._patience.attempt, "read": self._patience.attempt, "write": self._patience.attempt}
        async with self._pool.stream(
            "POST", url, headers=list(headers.items()), content=work.body, extensions={"timeout": limits}
        ) as response:
            answer = _judged(response)
            await _empty(response)
        return answer


def _judged(response: httpcore.Response) -> _Answer:
    status = response.status
    if 200 <= status < 300:
        return _Answer(status)
    found = next((value.decode("latin-1") for name, value in response.headers if name.lower() == b"retry-after"), None)
    said = f"answered {status}" + (": redirects are not followed" if 300 <= status < 400 else "")
    return _Answer(status, said, retry_after_seconds(found, datetime.now(UTC)))


async def _empty(response: httpcore.Response) -> None:
    """Reads a short body, so that the connection can be used again; a long or slow one ends with its connection."""
    read = 0
    try:
        async with asyncio.timeout(_READ_SECONDS):
            async for chunk in response.aiter_stream():
                read += len(chunk)
                if read > _READ_BYTES:
                    return
    except (TimeoutError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
        return
