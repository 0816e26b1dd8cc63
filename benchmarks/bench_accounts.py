"""Accounts: logins compared with plain argon2, and token checks compared with a constant endpoint."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

from bookwheel_local.client import DEMO_USER
from bookwheel_local.secrets import Secrets
from bookwheel_testing.suite_under_test import SuiteUnderTest
from pwdlib import PasswordHash

from benchmarks.benchmark_suite import running_noop_server, running_suite
from benchmarks.harness import compare, requests_per_second, run
from benchmarks.results import Result, save

WORKERS = 2
"""Default number of parallel password hashes."""
_HASHES = 24


def bare_argon2(password: str) -> float:
    """Returns verified passwords per second."""
    argon2 = PasswordHash.recommended()
    hashed = argon2.hash(password)
    with ThreadPoolExecutor(WORKERS) as pool:
        started = time.perf_counter()
        assert all(pool.map(lambda _: argon2.verify(password, hashed), range(_HASHES)))
        return _HASHES / (time.perf_counter() - started)


def measure(suite: SuiteUnderTest) -> list[Result]:
    accounts = f"http://127.0.0.1:{suite.port_base + 3}"
    password = Secrets(suite.layout.secrets).demo_password
    body = json.dumps({"email": DEMO_USER, "password": password})
    login = f"""
wrk.method, wrk.body = "POST", {json.dumps(body)}
wrk.headers["Content-Type"] = "application/json"
"""

    def logins() -> float:
        return requests_per_second(f"{accounts}/api/v1/auth/login", connections=2 * WORKERS, script=login)

    def checks() -> float:
        return requests_per_second(f"{accounts}/verify", headers={"Authorization": f"Bearer {suite.token()}"})

    with running_noop_server(suite) as noop:
        return [
            compare(
                "logins, or bare argon2", ours=logins, floor=lambda: bare_argon2(password), bound=0.7, unit="logins/s"
            ),
            compare(
                "checks of a token, or a constant",
                ours=checks,
                floor=lambda: requests_per_second(noop),
                bound=0,  # only for the capacity table: the gateway checks a token once in ten seconds
                unit="requests/s",
            ),
        ]


def main(_arguments: list[str]) -> None:
    with running_suite() as suite:
        save(measure(suite))


if __name__ == "__main__":
    run(main)
