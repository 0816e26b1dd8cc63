"""The Bento of ML serving is built without a registry, and BentoML serves it."""

import sys
from pathlib import Path

import httpx
import pytest
from bookwheel_testing.servers import answers, free_port, running

from tools.bento import build_bento


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_bento_is_built_and_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "bentoml"
    home.mkdir()
    monkeypatch.setenv("BENTOML_HOME", str(home))
    name, version = build_bento().split(":")
    wheels = [path.name.split("-")[0] for path in (home / "bentos" / name / version).rglob("*.whl")]
    assert sorted(wheels) == ["bookwheel_contracts", "bookwheel_ml", "bookwheel_runtime", "bookwheel_stores"]

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",
        "BOOKWHEEL_STATE_DIR": str(tmp_path / "state"),
        "BOOKWHEEL_PORT": str(port),
        "BOOKWHEEL_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
    }
    bentoml = Path(sys.executable).with_name("bentoml")
    command: list[str | Path] = [bentoml, "serve", f"{name}:{version}", "--port", str(port)]
    with running(
        command, log=tmp_path / "bento.log", ready=lambda: answers(f"{url}/livez"), seconds=300, environment=environment
    ):
        response = httpx.get(f"{url}/api/v1/ml/models")
        assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")
        assert "bentoml_service_request_total" in httpx.get(f"{url}/metrics").text
