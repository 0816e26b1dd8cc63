"""The how-to of the lake and the exports shows what is."""

from pathlib import Path

import pytest
from bookwheel_local.development.documentation import faults
from bookwheel_testing.suite import Suite, free_port_base

ROOT = Path(__file__).parents[1]


@pytest.mark.timeout(900)
def test_the_lake_is_read_as_the_how_to_says(tmp_path: Path) -> None:
    suite = Suite(state=tmp_path / "state", port_base=free_port_base(), books=1000)
    replacements = {"127.0.0.1:8080": f"127.0.0.1:{suite.port_base}"}
    path = ROOT / "docs" / "how-to" / "read-the-lake.md"
    try:
        suite.up()
        told = faults(path, folder=ROOT, environment=suite.environment, replacements=replacements, seconds=400)
        assert told == []
    finally:
        suite.down()
