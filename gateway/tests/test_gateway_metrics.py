"""Tests of the metrics for Prometheus."""

from typing import Any

import httpx
import pytest
from bookwheel_testing.servers import free_port
from prometheus_client.parser import text_string_to_metric_families


def test_connection_metrics_are_on_a_separate_port(start_gateway: Any) -> None:
    port = free_port()
    gateway = start_gateway(GATEWAY_METRICS_LISTEN=f"127.0.0.1:{port}")

    def opened() -> float:
        response = httpx.get(f"http://127.0.0.1:{port}/metrics")
        assert response.headers["content-type"].startswith("text/plain")
        families = {family.name: family for family in text_string_to_metric_families(response.text)}
        states = {sample.labels["state"]: sample.value for sample in families["bookwheel_gateway_connections"].samples}
        assert states["writing"] >= 1
        return families["bookwheel_gateway_connections_opened"].samples[0].value

    before = opened()
    gateway.get("/livez")
    assert opened() >= before + 2
    assert httpx.get(f"http://127.0.0.1:{port}/api/v1/books").status_code == 404


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/api/v1/../metrics", "/api/v1/..%2fmetrics", "//metrics"])
def test_metrics_are_not_on_the_public_port(gateway: Any, token: str, path: str) -> None:
    response = gateway.raw(f"GET {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    assert response.split(None, 2)[1] in {b"404", b"400"}
    assert b"bookwheel_" not in response
