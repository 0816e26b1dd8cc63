"""The compose files as text, without a Docker engine."""

from pathlib import Path
from typing import Any

import pytest
import yaml


class ComposeLoader(yaml.SafeLoader):
    """Reads Compose's own tags, such as `!override`, as empty values."""


ComposeLoader.add_multi_constructor("!", lambda *_: None)
ROOT = Path(__file__).resolve().parents[1]
FILES = sorted([ROOT / "docker-compose.yml", *(ROOT / "deploy" / "compose").glob("*.yml")])


def environments(path: Path) -> list[dict[str, Any]]:
    services = yaml.load(path.read_text(), Loader=ComposeLoader).get("services", {})
    return [service["environment"] for service in services.values() if "environment" in service]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_compose_file_lets_crawls_or_webhooks_into_private_networks(path: Path) -> None:
    for environment in environments(path):
        for name, value in environment.items():
            if name.endswith("_PRIVATE_ADDRESSES"):
                assert value == f"${{{name}:-deny}}", "the operator's own setting counts"
