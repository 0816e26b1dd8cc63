"""`python -m bookwheel_local.containers`: the suite in containers, by `docker compose`, with the demo shop to crawl.

`docker compose up` alone starts the suite too. This adds what `make up` does beside starting: it waits, makes the demo
user, crawls the demo shop, trains a first model, and says what to try.
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
from bookwheel_local.errors import LocalError
from bookwheel_local.first_steps import fill, first_steps
from bookwheel_local.progress import Progress
from bookwheel_local.secrets import password
from bookwheel_local.settings import LocalSettings

ROOT = Path(__file__).resolve().parents[4]
_ADDRESS = re.compile(r"[\w.\-:\[\]]*:(\d+)")


@dataclass(frozen=True, slots=True)
class Containers:
    """A compose project. `overlays` are files that are laid over docker-compose.yml, from the repository's root."""

    project: str
    state: Path
    overlays: Sequence[str] = ("deploy/compose/demo.yml",)
    settings: dict[str, str] = field(default_factory=dict)

    def compose(self, *arguments: str, given: str | None = None, quiet: bool = False) -> str:
        """Runs `docker compose` and returns what it printed; its progress goes to standard error, unless `quiet`.

        Raises LocalError.
        """
        files = [part for name in ("docker-compose.yml", *self.overlays) for part in ("--file", name)]
        command = ["docker", "compose", "--project-name", self.project, *files, *arguments]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={"DOCKER_BUILDKIT": os.environ.get("DOCKER_BUILDKIT", _buildkit()), **os.environ, **self.settings},
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if quiet else None,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise LocalError(f"docker compose {' '.join(arguments)} failed: {done.stdout}{done.stderr or ''}".strip())
        return done.stdout

    @property
    def url(self) -> str:
        published = self.compose("port", "gateway", "8080", quiet=True).strip()
        found = _ADDRESS.fullmatch(published)
        if found is None:
            raise LocalError(f"the gateway publishes no port: {published!r}")
        return f"http://127.0.0.1:{found[1]}"

    @property
    def demo_password(self) -> str:
        folder = self.state / "secrets"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return password(folder / f"demo-password-{self.project}")

    def client(self) -> SuiteClient:
        return SuiteClient(self.url, password=self.demo_password)

    def start(self) -> None:
        """Builds what is missing and waits until all of it is healthy. Idempotent. Raises LocalError."""
        self.compose("up", "--build", "--detach", "--wait", "--wait-timeout", "600")

    def ensure_demo_user(self) -> None:
        scopes = " ".join(scope.value for scope in Scope)
        verb = ("exec", "-T", "accounts", "service", "create-user", DEMO_USER, "--scopes", scopes)
        self.compose(*verb, given=self.demo_password, quiet=True)


def _buildkit() -> str:
    """Docker without buildx builds the classic way only."""
    plugin = subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False)  # noqa: S607
    return "1" if plugin.returncode == 0 else "0"


def _containers() -> Containers:
    if shutil.which("docker") is None:
        raise LocalError("docker is missing; see https://docs.docker.com/engine/install")
    overlays = os.environ.get("BOOKWHEEL_COMPOSE_OVERLAYS", "demo").split()
    files = [f"deploy/compose/{name}.yml" for name in overlays]
    missing = [name for name in files if not (ROOT / name).is_file()]
    if missing:
        raise LocalError(f"there is no {missing[0]}; OVERLAYS names files of deploy/compose")
    project = os.environ.get("COMPOSE_PROJECT_NAME", "bookwheel")
    return Containers(project, load_settings(LocalSettings).state_dir, files)


def containers_url() -> str | None:
    """Where the suite in containers on this machine answers; None where there is none."""
    try:
        return _containers().url
    except LocalError:
        return None


def remote_client(settings: LocalSettings, url: str) -> SuiteClient:
    """The API of a suite that is not this machine's own, with the token of the settings; without one as the demo user
    that `make up-docker` makes."""
    if settings.token is not None:
        return SuiteClient(url, token=settings.token.get_secret_value())
    return SuiteClient(url, password=_containers().demo_password)


def _up(containers: Containers, progress: Progress) -> None:
    containers.start()
    containers.ensure_demo_user()
    progress.done("all containers are healthy")
    with containers.client() as client:
        if "deploy/compose/demo.yml" in containers.overlays:
            fill(client, progress)
        print(first_steps(client, containers.url, verb_suffix="-docker"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="bookwheel_local.containers", description=__doc__)
    verb = parser.add_argument("verb", choices=("up", "down", "token")).dest
    asked = getattr(parser.parse_args(), verb)
    progress = Progress(sys.stderr)
    try:
        containers = _containers()
        if asked == "up":
            _up(containers, progress)
        elif asked == "down":
            containers.compose("down", "--remove-orphans")
        else:
            with containers.client() as client:
                print(client.token())
    except LocalError as error:
        progress.end_line()
        raise SystemExit(f"bookwheel: {error}") from error


if __name__ == "__main__":
    main()
