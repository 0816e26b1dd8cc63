"""A real nginx with the rendered configuration, the real accounts service, and echo services."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
from bookwheel_testing.servers import Server, answers, free_port, running, wait_until

HERE = Path(__file__).resolve().parent
ACCOUNTS_COMMAND = Path(sys.executable).with_name("bookwheel-accounts")
ECHO_SERVICES = ("catalog", "ml")
CACHE_SECONDS = 3
RAW_TIMEOUT_SECONDS = 2.5
START_SECONDS = 150  # of a Python service on a busy machine
PASSWORD = "a wheel of open books"
NGINX_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"


@dataclass(frozen=True, slots=True)
class Services:
    """The services behind the gateways of a test session."""

    ports: dict[str, int]
    accounts_url: str
    environment: dict[str, str]

    def login(self, email: str) -> dict[str, str]:
        body = {"email": email, "password": PASSWORD}
        httpx.post(f"{self.accounts_url}/api/v1/auth/register", json=body, timeout=30)
        response = httpx.post(f"{self.accounts_url}/api/v1/auth/login", json=body, timeout=30)
        tokens: dict[str, str] = response.raise_for_status().json()
        return tokens


@dataclass(frozen=True, slots=True)
class Gateway:
    url: str
    port: int
    server: Server
    folder: Path

    def get(self, path: str, token: str | None = None, **options: object) -> httpx.Response:
        return self.request("GET", path, token, **options)

    def request(self, method: str, path: str, token: str | None = None, **options: object) -> httpx.Response:
        headers = dict(options.pop("headers", None) or {})  # type: ignore[call-overload]  # a mapping or nothing
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        with httpx.Client(base_url=self.url, timeout=30) as client:
            return client.request(method, path, headers=headers, **options)  # type: ignore[arg-type]  # passed on

    def raw(self, request: bytes) -> bytes:
        """Sends these bytes. Returns the received bytes until the gateway closes the connection or a timeout."""
        received = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=RAW_TIMEOUT_SECONDS) as connection:
            connection.sendall(request)
            try:
                while chunk := connection.recv(65536):
                    received += chunk
            except (TimeoutError, ConnectionResetError):
                pass
        return received

    def log(self, *, until: Callable[[dict[str, object]], bool]) -> list[dict[str, object]]:
        """Returns the log up to the first line for which `until` is true. nginx writes buffered lines with a delay."""
        lines: list[dict[str, object]] = []

        def written() -> bool:
            lines[:] = [json.loads(line) for line in self._whole_lines()]
            return any(map(until, lines))

        wait_until(written, seconds=30, what="the line written to the log")
        return lines[: next(index for index, line in enumerate(lines) if until(line)) + 1]

    def _whole_lines(self) -> list[str]:
        return (self.folder / "access.log").read_text().rpartition("\n")[0].splitlines()


GatewayFactory = Callable[..., Gateway]


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("services")
    ports = {name: free_port() for name in ("accounts", *ECHO_SERVICES)}
    accounts_url = f"http://127.0.0.1:{ports['accounts']}"
    environment = {
        "BOOKWHEEL_DATABASE_URL": f"sqlite:///{folder}/bookwheel.sqlite",
        "BOOKWHEEL_SIGNING_KEY_FILE": str(folder / "keys" / "signing.pem"),
        "BOOKWHEEL_PORT": str(ports["accounts"]),
        "BOOKWHEEL_CATALOG_URL": f"http://127.0.0.1:{ports['catalog']}",
        "BOOKWHEEL_ML_URL": f"http://127.0.0.1:{ports['ml']}",
        "BOOKWHEEL_VERIFY_CACHE_SECONDS": str(CACHE_SECONDS),
        "BOOKWHEEL_ACCESS_TOKEN_SECONDS": "86400",  # other tests may run between two tests of the gateway
    }
    for arguments in (["keygen", environment["BOOKWHEEL_SIGNING_KEY_FILE"]], ["migrate"]):
        subprocess.run(
            [ACCOUNTS_COMMAND, *arguments], env={**os.environ, **environment}, check=True, capture_output=True
        )
    jwks_url = f"{accounts_url}/.well-known/jwks.json"
    echo = [
        sys.executable,
        str(HERE / "echo_service.py"),
        jwks_url,
        *(f"{name}={ports[name]}" for name in ECHO_SERVICES),
    ]
    serve = running(
        [ACCOUNTS_COMMAND, "serve"],
        log=folder / "accounts.log",
        ready=partial(answers, f"{accounts_url}/readyz"),
        environment=environment,
        seconds=START_SECONDS,
    )
    # The echo services start in parallel.
    with running(echo, log=folder / "echo.log", ready=lambda: True), serve:
        for name in ECHO_SERVICES:
            url = f"http://127.0.0.1:{ports[name]}/"
            wait_until(partial(answers, url), seconds=START_SECONDS, what=f"{name} ready")
        yield Services(ports, accounts_url, environment)


def render(target: Path, run_dir: Path, port: int, services: Services, **values: str) -> Path:
    """Renders the configuration of a gateway at `port`. `values` override variables, without their prefix."""
    variables = {
        "GATEWAY_ACCESS_LOG": str(run_dir / "access.log"),
        "ROUTES_LISTEN": f"127.0.0.1:{free_port()}",
        "GATEWAY_METRICS_LISTEN": f"127.0.0.1:{free_port()}",
        "ACCOUNTS_ADDRESS": f"127.0.0.1:{services.ports['accounts']}",
        "CATALOG_ADDRESS": f"127.0.0.1:{services.ports['catalog']}",
        "ML_ADDRESS": f"127.0.0.1:{services.ports['ml']}",
        "GATEWAY_WORKERS": "1",
        **values,
    }
    assignments = [f"BOOKWHEEL_{name}={value}" for name, value in variables.items()]
    command = [sys.executable, str(HERE.parent / "render.py"), str(target)]
    command += ["--port-base", str(port), "--run-dir", str(run_dir)]
    subprocess.run([*command, *assignments], check=True, capture_output=True)
    return target / "nginx.conf"


@pytest.fixture(scope="session")
def start_gateway(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayFactory]:
    """Returns a function that starts a gateway. Its arguments override the variables of the templates."""
    with ExitStack() as stack:

        def start(**values: str) -> Gateway:
            folder = tmp_path_factory.mktemp("gateway")
            port = free_port()
            configuration = render(folder / "nginx", folder, port, services, **values)
            url = f"http://127.0.0.1:{port}"
            server = stack.enter_context(
                running(
                    ["nginx", "-e", "stderr", "-c", configuration],
                    log=folder / "error.log",
                    ready=partial(answers, f"{url}/livez"),
                    environment={"PATH": NGINX_PATH},
                )
            )
            return Gateway(url, port, server, folder)

        yield start


@pytest.fixture(scope="session")
def gateway(start_gateway: GatewayFactory) -> Gateway:
    """A gateway with very high limits."""
    return start_gateway(
        RATE_ADDRESS="100000", BURST_ADDRESS="10000", RATE_SUBJECT="100000", BURST_SUBJECT="10000", RATE_LOGIN="60000"
    )


@pytest.fixture(scope="session")
def token(services: Services) -> str:
    return services.login("reader@example.com")["access_token"]
