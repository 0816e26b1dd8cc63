"""The console script as a real process."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from bookwheel_demo_shop.cli import main
from bookwheel_testing.servers import answers, free_port, running

SCRIPT = Path(sys.executable).parent / "bookwheel-demo-shop"


@pytest.fixture(scope="module")
def shop_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command: list[str | Path] = [SCRIPT, "--port", str(port), "--books", "100000", "--seed", "3", "--day", "5"]
    log = tmp_path_factory.mktemp("demo-shop") / "shop.log"
    with running(command, log=log, ready=lambda: answers(f"{url}/_shop/day")):
        yield url


def test_the_console_script_applies_its_options(shop_url: str) -> None:
    assert httpx.get(f"{shop_url}/_shop/day").json() == {"day": 5}
    page = httpx.get(f"{shop_url}/catalogue/page-5000.html")
    assert page.status_code == 200
    assert "Page 5000 of 5000" in page.text
    assert "server" not in page.headers


def test_a_truncated_page_ends_before_its_declared_length(shop_url: str) -> None:
    try:
        httpx.put(f"{shop_url}/_shop/faults", json={"rate": 1, "kinds": ["truncated"]}).raise_for_status()
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{shop_url}/")
    finally:
        httpx.put(f"{shop_url}/_shop/faults", json={}).raise_for_status()
    assert httpx.get(f"{shop_url}/").status_code == 200


def test_raw_traversal_is_not_found(shop_url: str) -> None:
    host, port = shop_url.removeprefix("http://").split(":")
    for path in ("/../../etc/passwd", "/static/../../app.py", "/static/..%2f..%2fapp.py", "//etc/passwd"):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize(
    "options",
    [["--books", "0"], ["--books", "100001"], ["--day", "-1"], ["--day", "36501"], ["--books", "many"], ["--what"]],
)
def test_invalid_options_end_with_status_2_and_a_reason(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(options)
    assert "error:" in capsys.readouterr().err


def test_a_busy_port_ends_the_process(shop_url: str) -> None:
    port = shop_url.rpartition(":")[2]
    process = subprocess.run([SCRIPT, "--port", port], capture_output=True, text=True, timeout=30, check=False)
    assert process.returncode != 0
    assert "address already in use" in process.stderr
