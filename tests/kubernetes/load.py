"""Clients of the gateway in a pod of the cluster: they ask until /tmp/stop is there, then print what they counted.

Some keep their connection, as a load balancer does, some open one for each request.
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
answers: "Counter[str]" = Counter()
faults: list[str] = []
slowest = [0.0]
lock = threading.Lock()


def ask(client: httpx.Client, method: str, path: str, options: dict[str, Any]) -> None:
    began = time.monotonic()
    try:
        answer = client.request(method, path, **options)
        told, fault = str(answer.status_code), "" if answer.status_code == 200 else answer.text[:300]
    except httpx.HTTPError as error:
        told, fault = type(error).__name__, str(error)[:300]
    with lock:
        answers[f"{method} {path.partition('?')[0]} {told}"] += 1
        slowest[0] = max(slowest[0], time.monotonic() - began)
        if fault and len(faults) < 20:
            faults.append(f"{time.strftime('%H:%M:%S')} {method} {path} {told} {fault}")


def client_of(kept: int) -> httpx.Client:
    limits = httpx.Limits(max_keepalive_connections=kept)
    return httpx.Client(base_url=GATEWAY, headers={"X-API-Key": KEY}, timeout=30, limits=limits)


def clients(kept: int) -> None:
    client = client_of(kept)
    while not STOP.exists():
        for method, path, options in REQUESTS:
            ask(client, method, path, options)
            time.sleep(PAUSE)


def main() -> None:
    threads = [threading.Thread(target=clients, args=(kept,)) for kept in (1, 1, 0)]
    for thread in threads:
        thread.start()
    Path("/tmp/started").touch()
    for thread in threads:
        thread.join()
    failed = sum(count for told, count in answers.items() if not told.endswith(" 200"))
    counted = {"asked": sum(answers.values()), "failed": failed, "slowest": slowest[0], "faults": faults}
    print(json.dumps({**counted, "answers": answers}))


main()
