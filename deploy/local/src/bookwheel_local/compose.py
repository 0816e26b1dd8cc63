"""`python -m bookwheel_local.compose`: the suite in containers, with `docker compose` and the demo shop.

`docker compose up` only starts the suite. This module also waits until it is ready, creates the demo user, crawls the
demo shop, trains a first model, and prints example requests, as `make up` does.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bookwheel_contracts import Scope
from bookwheel_runtime.settings import load_settings

from bookwheel_local.client import DEMO_USER, SuiteClient
from bookwheel_local.demo_data import example_requests, load_demo_data
from bookwheel_local.errors import LocalError
from bookwheel_local.progress import ProgressLine
from bookwheel_local.secrets import get_or_create_password
from bookwheel_local.settings import LocalSettings

ROOT = Path(__file__).resolve().parents[4]
_PORT_OUTPUT = re.compile(r"[\w.\-:\[\]]*:(\d+)")


@dataclass(frozen=True, slots=True)
class ComposeProject:
    """A Compose project. `overlays` extend docker-compose.yml. Their paths are relative to the repository."""

    project: str
    state_dir: Path
    overlays: Sequence[str] = ("deploy/compose/demo.yml",)
    settings: dict[str, str] = field(default_factory=dict)

    def compose(self, *arguments: str, stdin: str | None = None, quiet: bool = False) -> str:
        """Runs `docker compose` and returns its output. Its progress goes to standard error unless `quiet` is set.

        Raises LocalError.
        """
        files = [part for name in ("docker-compose.yml", *self.overlays) for part in ("--file", name)]
        command = ["docker", "compose", "--project-name", self.project, *files, *arguments]
        process = subprocess.run(
            command,
            cwd=ROOT,
            env={"DOCKER_BUILDKIT": os.environ.get("DOCKER_BUILDKIT", _buildkit()), **os.environ, **self.settings},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if quiet else None,
            text=True,
            check=False,
        )
        if process.returncode != 0:
            raise LocalError(
                f"docker compose {' '.join(arguments)} failed: {process.stdout}{process.stderr or ''}".strip()
            )
        return process.stdout

    @property
    def url(self) -> str:
        published = self.compose("port", "gateway", "8080", quiet=True).strip()
        match = _PORT_OUTPUT.fullmatch(published)
        if match is None:
            raise LocalError(f"the gateway has no published port: {published!r}")
        return f"http://127.0.0.1:{match[1]}"

    @property
    def demo_password(self) -> str:
        folder = self.state_dir / "secrets"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return get_or_create_password(folder / f"demo-password-{self.project}")

    def client(self) -> SuiteClient:
        return SuiteClient(self.url, password=self.demo_password)

    def start(self) -> None:
        """Builds the images and waits until all containers are healthy. Idempotent. Raises LocalError."""
        self.compose("up", "--build", "--detach", "--wait", "--wait-timeout", "600")

    def ensure_demo_user(self) -> None:
        scopes = " ".join(scope.value for scope in Scope)
        command = ("exec", "-T", "accounts", "service", "create-user", DEMO_USER, "--scopes", scopes)
        self.compose(*command, stdin=self.demo_password, quiet=True)


def _buildkit() -> str:
    """Returns the value of DOCKER_BUILDKIT: 0 without buildx, because then only the classic builder works."""
    plugin = subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False)  # noqa: S607
    return "1" if plugin.returncode == 0 else "0"


def _project() -> ComposeProject:
    if shutil.which("docker") is None:
        raise LocalError("docker is missing: see https://docs.docker.com/engine/install")
    overlays = os.environ.get("BOOKWHEEL_COMPOSE_OVERLAYS", "demo").split()
    files = [f"deploy/compose/{name}.yml" for name in overlays]
    missing = [name for name in files if not (ROOT / name).is_file()]
    if missing:
        raise LocalError(f"OVERLAYS is invalid: {missing[0]} does not exist")
    project = os.environ.get("COMPOSE_PROJECT_NAME", "bookwheel")
    return ComposeProject(project, load_settings(LocalSettings).state_dir, files)


def compose_url() -> str | None:
    """Returns the URL of the suite in containers on this machine, or None if it does not run."""
    try:
        return _project().url
    except LocalError:
        return None


def remote_client(settings: LocalSettings, url: str) -> SuiteClient:
    """Returns a client of the suite at `url`. Uses the token of the settings, or logs in as the demo user."""
    if settings.token is not None:
        return SuiteClient(url, token=settings.token.get_secret_value())
    return SuiteClient(url, password=_project().demo_password)


def _up(project: ComposeProject, progress: ProgressLine) -> None:
    project.start()
    project.ensure_demo_user()
    progress.finish("all containers are healthy")
    with project.client() as client:
        if "deploy/compose/demo.yml" in project.overlays:
            load_demo_data(client, progress)
        print(example_requests(client, project.url, make_target_suffix="-docker"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="bookwheel_local.compose", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "token"))
    command = parser.parse_args().command
    progress = ProgressLine(sys.stderr)
    try:
        project = _project()
        if command == "up":
            _up(project, progress)
        elif command == "down":
            project.compose("down", "--remove-orphans")
        else:
            with project.client() as client:
                print(client.token())
    except LocalError as error:
        progress.clear()
        raise SystemExit(f"bookwheel: {error}") from error


if __name__ == "__main__":
    main()
