"""Makes one attempt to deliver a webhook: signs, posts, and schedules the next attempt."""

import asyncio
import hmac
import time
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.metadata import version

import httpcore
from bookwheel_runtime.retries import backoff_seconds, retry_after_seconds
from bookwheel_runtime.webhook_urls import WebhookUrl, parse_webhook_url
from bookwheel_stores.records import DeliveryResult, DeliveryTask

from bookwheel_processor.webhooks.connections import AddressRejectedError, PublicNetworkBackend

SECRET_PREFIX = "whsec_"  # noqa: S105 - not a secret
_MAX_PAUSE_SECONDS = 3600.0
_DRAIN_BYTES = 16 << 10
_DRAIN_SECONDS = 1.0
_USER_AGENT = f"Bookwheel/{version('bookwheel-processor')} (webhooks)"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """In seconds: the timeout of an attempt, the pause before the second attempt, and the age after which to stop."""

    timeout: float
    first_pause: float
    max_age: float


@dataclass(frozen=True, slots=True)
class _Response:
    """`status` is None without a response. `failure` is None for a successful delivery."""

    status: int | None
    failure: str | None = None
    retry_after: float | None = None


class WebhookSender:
    """Posts deliveries without proxy, cookies and redirects. Only the status and an error text are stored."""

    def __init__(self, policy: RetryPolicy, *, allow_private: bool, connections: int) -> None:
        self._policy = policy
        self._allow_private = allow_private
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=connections,
            keepalive_expiry=5,
            network_backend=PublicNetworkBackend(allow_private=allow_private),
        )

    async def close(self) -> None:
        await self._pool.aclose()

    async def attempt(self, task: DeliveryTask) -> DeliveryResult:
        """Post the delivery once. The result has the time of the next attempt, if there is one."""
        response = await self._send(task)
        if response.failure is None:
            return DeliveryResult(delivered=True, status=response.status, reason=None)
        now = time.time()
        first_attempt_at = task.tried_since / 1000
        pause = pause_seconds(task.attempts + 1, first=self._policy.first_pause, retry_after=response.retry_after)
        age = now - first_attempt_at
        if response.status == HTTPStatus.GONE:
            return DeliveryResult(
                delivered=False, status=response.status, reason=response.failure, disables_webhook=True
            )
        if task.is_ping or age + pause > self._policy.max_age:
            reason = response.failure if task.is_ping else f"no further attempts after {age:.0f} s: {response.failure}"
            return DeliveryResult(delivered=False, status=response.status, reason=reason)
        return DeliveryResult(
            delivered=False,
            status=response.status,
            reason=response.failure,
            next_attempt_at=round((now + pause) * 1000),
        )

    async def _send(self, task: DeliveryTask) -> _Response:
        try:
            webhook_url = parse_webhook_url(task.url, private=self._allow_private)  # the setting may have changed
            async with asyncio.timeout(self._policy.timeout):
                return await self._post(webhook_url, task)
        except TimeoutError:
            return _Response(None, f"no response within {self._policy.timeout:g} s (timeout)")
        except (AddressRejectedError, ValueError) as error:
            return _Response(None, f"address rejected: {error}")
        except httpcore.ProtocolError as error:
            # The error text can contain untrusted data from the server, so it is not stored.
            return _Response(None, f"{type(error).__name__}: malformed or incomplete HTTP response")
        except (httpcore.NetworkError, httpcore.TimeoutException, OSError) as error:
            return _Response(None, f"{type(error).__name__}: {str(error)[:200]}".rstrip(": "))

    async def _post(self, webhook_url: WebhookUrl, task: DeliveryTask) -> _Response:
        headers = {
            "content-type": "application/json",
            "user-agent": _USER_AGENT,
            **signed_headers(task.secret, task.delivery_id, timestamp=int(time.time()), body=task.body),
        }
        url = httpcore.URL(
            scheme=webhook_url.scheme, host=webhook_url.host, port=webhook_url.port, target=webhook_url.target.encode()
        )
        timeouts = dict.fromkeys(("connect", "read", "write"), self._policy.timeout)
        async with self._pool.stream(
            "POST", url, headers=list(headers.items()), content=task.body, extensions={"timeout": timeouts}
        ) as response:
            parsed = _parse_response(response)
            await _drain(response)
        return parsed


def pause_seconds(attempts: int, *, first: float, retry_after: float | None) -> float:
    """Return the backoff after `attempts` failed attempts. `retry_after` can extend it to at most an hour."""
    backoff = backoff_seconds(attempts, first=first, longest=_MAX_PAUSE_SECONDS)
    return max(backoff, min(retry_after or 0.0, _MAX_PAUSE_SECONDS))


def signed_headers(secret: str, delivery_id: str, *, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of Standard Webhooks (standardwebhooks.com). `timestamp`: Unix seconds of this attempt.

    The signature is HMAC-SHA256 over `id.timestamp.body`; the key is the base64 that follows `whsec_`.
    """
    key = b64decode(secret.removeprefix(SECRET_PREFIX))
    signature = hmac.digest(key, b"%b.%d.%b" % (delivery_id.encode(), timestamp, body), "sha256")
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{b64encode(signature).decode()}",
    }


def _parse_response(response: httpcore.Response) -> _Response:
    status = response.status
    if 200 <= status < 300:
        return _Response(status)
    headers = {name.lower(): value.decode("latin-1") for name, value in response.headers}
    failure = f"HTTP status {status}" + (": redirects are not followed" if 300 <= status < 400 else "")
    return _Response(status, failure, retry_after_seconds(headers.get(b"retry-after"), datetime.now(UTC)))


async def _drain(response: httpcore.Response) -> None:
    """Read a short body, so that the connection can be reused. If it is long or slow, the connection is closed."""
    size = 0
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for chunk in response.aiter_stream():
                size += len(chunk)
                if size > _DRAIN_BYTES:
                    return
    except (TimeoutError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
        return
