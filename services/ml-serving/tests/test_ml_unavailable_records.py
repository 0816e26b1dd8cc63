"""While the records are unavailable, requests get a 503 problem."""

from pathlib import Path

import httpx
from bookwheel_ml.app import create_app
from bookwheel_ml.settings import MlSettings
from bookwheel_stores.records import BookReader, connect_database
from bookwheel_testing.servers import free_port


async def test_unavailable_records_are_a_503_problem(tmp_path: Path) -> None:
    app = create_app(MlSettings(data_dir=tmp_path))
    engine = connect_database(f"postgresql://127.0.0.1:{free_port()}/bookwheel?connect_timeout=2")
    app.add_api_route("/count", lambda: BookReader(engine).count())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ml") as client:
        response = await client.get("/count")
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert response.headers["retry-after"] == "1"
    assert "psycopg" not in response.text
