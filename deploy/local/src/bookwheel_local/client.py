"""A client of the suite's public API that logs in as the demo user."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from bookwheel_local.errors import NotRunningError, RequestFailedError

DEMO_USER = "demo@example.com"
_ATTEMPTS = 5
_TIMEOUT_SECONDS = 90  # longer than the gateway waits for a service, so that the gateway reports the timeout


class SuiteClient:
    """Logs in before the first request and after the token has expired. Raises LocalError."""

    def __init__(self, gateway_url: str, *, password: str = "", token: str | None = None) -> None:
        """With a `token`, the client does not log in."""
        self._http = httpx.Client(base_url=gateway_url, timeout=_TIMEOUT_SECONDS)
        self._password = password
        self._token = token

    def token(self) -> str:
        if self._token is None:
            body = {"email": DEMO_USER, "password": self._password}
            self._token = str(_content(self._send("POST", "/api/v1/auth/login", json=body))["access_token"])
        return self._token

    def get(self, path: str, **parameters: str | int) -> Any:
        return self._request("GET", path, params=parameters)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._request("POST", path, json=body)

    def _request(self, method: str, path: str, **options: Any) -> Any:
        response = self._send(method, path, headers={"Authorization": f"Bearer {self.token()}"}, **options)
        if response.status_code == 401 and self._password:
            self._token = None
            response = self._send(method, path, headers={"Authorization": f"Bearer {self.token()}"}, **options)
        return _content(response)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Retries after the `Retry-After` of the gateway's rate limit."""
        for _ in range(_ATTEMPTS):
            try:
                response = self._http.request(method, path, **options)
            except httpx.ConnectError:
                raise NotRunningError from None
            except httpx.HTTPError as error:
                raise RequestFailedError(f"{method} {path}: {error}") from error
            if response.status_code != 429:
                break
            time.sleep(min(float(response.headers.get("Retry-After", "1")), 30))
        return response

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()


def _content(response: httpx.Response) -> Any:
    if response.is_success:
        return response.json()
    request = f"{response.request.method} {response.request.url}"
    try:
        problem = response.json()
        reason = f"{problem['title']}: {problem.get('detail') or ''} (trace {problem.get('trace_id')})"
    except (ValueError, KeyError, TypeError):
        reason = response.text[:500]
    raise RequestFailedError(f"{request} answered {response.status_code}: {reason}")
