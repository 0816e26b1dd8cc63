"""A suite in containers for tests. It has its own Compose project and ports. Its volumes are deleted at the end."""

import json
import os
import tomllib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bookwheel_local.compose import ROOT, ComposeProject

from bookwheel_testing.suite_under_test import SuiteUnderTest

IMAGES_VERSION: str = (
    os.environ.get("BOOKWHEEL_VERSION") or tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
)
"""The tag of the images under test."""

QUERY_SCRIPT = """
import json, sys
from bookwheel_processor.settings import ProcessorSettings
from bookwheel_runtime.settings import load_settings
from bookwheel_stores.records import connect_database, read_connection
from sqlalchemy import text
query, parameters = json.load(sys.stdin)
with read_connection(connect_database(load_settings(ProcessorSettings).database_url)) as connection:
    print(json.dumps([list(row) for row in connection.execute(text(query), parameters)], default=str))
"""


@dataclass
class ContainerSuite(SuiteUnderTest):
    """The suite of `make up-docker`, with a published port of the demo shop. `books` is the size of the shop."""

    project: str = "bookwheel-test"
    overlays: tuple[str, ...] = ("deploy/compose/demo.yml", "tests/containers/published.yml")

    @cached_property
    def compose_project(self) -> ComposeProject:
        published = {
            "BOOKWHEEL_PUBLISH": f"127.0.0.1:{self.port_base}",
            "BOOKWHEEL_TEST_SHOP": self.shop_url.removeprefix("http://"),
        }
        settings = {"BOOKWHEEL_DEMO_BOOKS": str(self.books), **published, **self.settings}
        return ComposeProject(self.project, self.state, self.overlays, settings)

    def compose(self, *arguments: str, stdin: str | None = None) -> str:
        """Returns the output of `docker compose`. Raises LocalError."""
        return self.compose_project.compose(*arguments, stdin=stdin, quiet=True)

    def compose_up(self) -> None:
        """Runs `docker compose up` as in a fresh clone, which builds missing images."""
        self.compose("up", "--detach", "--wait", "--wait-timeout", "600")

    def up(self) -> None:
        self.compose_project.start()
        self.compose_project.ensure_demo_user()

    def down(self) -> None:
        self._http.close()
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "10")

    def _new_token(self) -> str:
        with self.compose_project.client() as client:
            return client.token()

    def processor_command(self, *arguments: str) -> str:
        """Returns the output of a command of the processor. Raises LocalError."""
        return self.compose("exec", "-T", "processor-beat", "service", *arguments)

    def rows(self, query: str, **parameters: object) -> list[tuple[Any, ...]]:
        request = json.dumps([query, parameters])
        output = self.compose("exec", "-T", "processor-beat", "python", "-c", QUERY_SCRIPT, stdin=request)
        return [tuple(row) for row in json.loads(output)]
