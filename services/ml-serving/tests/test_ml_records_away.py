"""The records may be away: that is no fault of the request's."""

from pathlib import Path

import httpx
from bookwheel_ml.app import create_app
from bookwheel_ml.settings import MlSettings
from bookwheel_stores.records import BookReader, connect_database
from bookwheel_testing.servers import free_port


async def test_records_that_are_away_are_unavailable(tmp_path: Path) -> None:
    app = create_app(MlSettings(data_dir=tmp_path))
    engine = connect_database(f"postgresql://127.0.0.1:{free_port()}/bookwheel?connect_timeout=2")
    app.add_api_route("/count", lambda: BookReader(engine).count())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ml") as client:
        answer = await client.get("/count")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert "psycopg" not in answer.text
