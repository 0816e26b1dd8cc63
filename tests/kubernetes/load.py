"""Clients of the gateway in a pod: they send requests until /tmp/stop exists, then print their counts.

Two clients reuse their connection like a load balancer. One opens a connection for each request.
"""

import json
import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

GATEWAY, KEY = os.environ["GATEWAY"], os.environ["API_KEY"]
STOP = Path("/tmp/stop")
PAUSE = 0.1
BOOK = {"title": "Under load", "price": {"amount": "20.00", "currency": "GBP"}, "stock": 5}
REQUESTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("GET", "/api/v1/books?q=the&facet=category&limit=5", {}),
    ("POST", "/api/v1/ml/predictions", {"json": {"books": [BOOK]}}),
    ("GET", "/api/v1/books?sort=-rating&limit=3", {}),
    ("GET", "/.well-known/jwks.json", {}),
)
counts: "Counter[str]" = Counter()
errors: list[str] = []
slowest = [0.0]
lock = threading.Lock()


def send_request(client: httpx.Client, method: str, path: str, options: dict[str, Any]) -> None:
    started_at = time.monotonic()
    try:
        response = client.request(method, path, **options)
        result, error_text = str(response.status_code), "" if response.status_code == 200 else response.text[:300]
    except httpx.HTTPError as error:
        result, error_text = type(error).__name__, str(error)[:300]
    with lock:
        counts[f"{method} {path.partition('?')[0]} {result}"] += 1
        slowest[0] = max(slowest[0], time.monotonic() - started_at)
        if error_text and len(errors) < 20:
            errors.append(f"{time.strftime('%H:%M:%S')} {method} {path} {result} {error_text}")


def create_client(keepalive_connections: int) -> httpx.Client:
    limits = httpx.Limits(max_keepalive_connections=keepalive_connections)
    return httpx.Client(base_url=GATEWAY, headers={"X-API-Key": KEY}, timeout=30, limits=limits)


def run_client(keepalive_connections: int) -> None:
    client = create_client(keepalive_connections)
    while not STOP.exists():
        for method, path, options in REQUESTS:
            send_request(client, method, path, options)
            time.sleep(PAUSE)


def main() -> None:
    threads = [threading.Thread(target=run_client, args=(count,)) for count in (1, 1, 0)]
    for thread in threads:
        thread.start()
    Path("/tmp/started").touch()
    for thread in threads:
        thread.join()
    failed = sum(count for name, count in counts.items() if not name.endswith(" 200"))
    totals = {"requests": sum(counts.values()), "failed": failed, "slowest": slowest[0], "errors": errors}
    print(json.dumps({**totals, "counts": counts}))


main()
