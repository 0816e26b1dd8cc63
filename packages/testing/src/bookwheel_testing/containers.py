"""A whole suite in containers for tests: a compose project of its own, on ports of its own, gone with its volumes."""

import json
import os
import tomllib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bookwheel_local.compose import ROOT, ComposeProject

from bookwheel_testing.suite import Suite

IMAGES_VERSION: str = (
    os.environ.get("BOOKWHEEL_VERSION") or tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
)
"""The tag of the images that are tested."""

ROWS = """
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
class ContainerSuite(Suite):
    """As `make up-docker` leaves it. `books` are the demo shop's, which is published beside the gateway."""

    project: str = "bookwheel-test"
    overlays: tuple[str, ...] = ("deploy/compose/demo.yml", "tests/containers/published.yml")

    @cached_property
    def containers(self) -> ComposeProject:
        published = {"BOOKWHEEL_PUBLISH": f"127.0.0.1:{self.port_base}", "BOOKWHEEL_TEST_SHOP": self.shop_url[7:]}
        settings = {"BOOKWHEEL_DEMO_BOOKS": str(self.books), **published, **self.settings}
        return ComposeProject(self.project, self.state, self.overlays, settings)

    def compose(self, *arguments: str, given: str | None = None) -> str:
        """What `docker compose` printed. Raises LocalError."""
        return self.containers.compose(*arguments, stdin=given, quiet=True)

    def plain_up(self) -> None:
        """As someone does who has cloned the repository: what is missing is built, and nothing else told."""
        self.compose("up", "--detach", "--wait", "--wait-timeout", "600")

    def up(self) -> None:
        self.containers.start()
        self.containers.ensure_demo_user()

    def down(self) -> None:
        self._http.close()
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "10")

    def local(self, *arguments: str, seconds: float = 580) -> str:  # noqa: ARG002
        if arguments != ("token",):
            raise NotImplementedError(f"no such verb of a suite in containers: {arguments}")
        with self.containers.client() as client:
            return client.token()

    def processor_verb(self, *arguments: str) -> str:
        """What a verb of the processor printed. Raises LocalError."""
        return self.compose("exec", "-T", "processor-beat", "service", *arguments)

    def rows(self, query: str, **parameters: object) -> list[tuple[Any, ...]]:
        given = json.dumps([query, parameters])
        answer = self.compose("exec", "-T", "processor-beat", "python", "-c", ROWS, given=given)
        return [tuple(row) for row in json.loads(answer)]
