"""The suite's own public API, as its demo user."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from bookwheel_local.errors import NotRunningError, RequestFailedError

DEMO_USER = "demo@example.com"
_TRIES = 5
_ANSWER_SECONDS = 90  # longer than the gateway waits for a service, so that it is the gateway that gives up


class SuiteClient:
    """Logs in when first needed, and again when the token has expired. Raises RequestFailed or NotRunning."""

    def __init__(self, gateway_url: str, *, password: str = "", token: str | None = None) -> None:
        """`token` in place of the demo user's login."""
        self._http = httpx.Client(base_url=gateway_url, timeout=_ANSWER_SECONDS)
        self._password = password
        self._token = token

    def token(self) -> str:
        if self._token is None:
            body = {"email": DEMO_USER, "password": self._password}
            self._token = str(self._send("POST", "/api/v1/auth/login", json=body)["access_token"])
        return self._token

    def get(self, path: str, **parameters: str | int) -> Any:
        return self._authorised("GET", path, params=parameters)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._authorised("POST", path, json=body)

    def _authorised(self, method: str, path: str, **options: Any) -> Any:
        answer = self._answer(method, path, headers={"Authorization": f"Bearer {self.token()}"}, **options)
        if answer.status_code == 401 and self._password:
            self._token = None
            answer = self._answer(method, path, headers={"Authorization": f"Bearer {self.token()}"}, **options)
        return self._content(answer)

    def _send(self, method: str, path: str, **options: Any) -> Any:
        return self._content(self._answer(method, path, **options))

    def _answer(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Waits as long as the gateway's rate limit asks for."""
        for _ in range(_TRIES):
            try:
                answer = self._http.request(method, path, **options)
            except httpx.ConnectError:
                raise NotRunningError from None
            except httpx.HTTPError as error:
                raise RequestFailedError(f"{method} {path}: {error}") from error
            if answer.status_code != 429:
                break
            time.sleep(min(float(answer.headers.get("Retry-After", "1")), 30))
        return answer

    @staticmethod
    def _content(answer: httpx.Response) -> Any:
        if answer.is_success:
            return answer.json()
        request = f"{answer.request.method} {answer.request.url}"
        try:
            problem = answer.json()
            told = f"{problem['title']}: {problem.get('detail') or ''} (trace {problem.get('trace_id')})"
        except (ValueError, KeyError, TypeError):
            told = answer.text[:500]
        raise RequestFailedError(f"{request} answered {answer.status_code}: {told}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
