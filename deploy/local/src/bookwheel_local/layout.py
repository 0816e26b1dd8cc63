"""Ports and folders of a one-machine suite."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bookwheel_local.settings import LocalSettings

HOST = "127.0.0.1"
STATE_DIR_VARIABLE = "BOOKWHEEL_SUPERVISED"
"""The environment variable with the suite's state folder. It identifies the suite's processes."""
_MAX_SOCKET_PATH = 90  # the kernel allows 107 bytes; supervisord appends its process id


@dataclass(frozen=True, slots=True)
class Ports:
    base: int

    @property
    def gateway(self) -> int:
        return self.base

    @property
    def catalog_api(self) -> int:
        return self.base + 1

    @property
    def ml_serving(self) -> int:
        return self.base + 2

    @property
    def accounts(self) -> int:
        return self.base + 3

    @property
    def redis(self) -> int:
        return self.base + 4

    @property
    def demo_shop(self) -> int:
        return self.base + 5

    @property
    def gateway_routes(self) -> int:
        """Port of the gateway's inner server; only the gateway's outer server uses it."""
        return self.base + 6

    @property
    def postgres(self) -> int:
        return self.base + 7

    @property
    def elasticsearch(self) -> int:
        return self.base + 8

    @property
    def s3(self) -> int:
        return self.base + 9

    # Programs without an API serve `/metrics`, `/livez` and `/readyz` on these ports.

    @property
    def trainer(self) -> int:
        return self.base + 10

    @property
    def scraper(self) -> int:
        return self.base + 11

    @property
    def processor_worker(self) -> int:
        return self.base + 12

    @property
    def processor_beat(self) -> int:
        return self.base + 13

    @property
    def gateway_metrics(self) -> int:
        """Port of nginx's metrics. The public port does not serve them."""
        return self.base + 14


@dataclass(frozen=True, slots=True)
class Layout:
    """Folders of one suite; `state` is absolute."""

    state: Path
    ports: Ports

    @classmethod
    def from_settings(cls, settings: LocalSettings) -> "Layout":
        return cls(settings.state_dir, Ports(settings.port_base))

    @property
    def secrets(self) -> Path:
        return self.state / "secrets"

    @property
    def signing_keys(self) -> Path:
        """Folder of the signing keys. The newest key signs tokens; tokens of all keys are accepted."""
        return self.secrets / "signing-keys"

    @property
    def data(self) -> Path:
        return self.state / "data"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def run(self) -> Path:
        return self.state / "run"

    @property
    def supervisor_config(self) -> Path:
        return self.run / "supervisord.conf"

    @property
    def supervisor_pid(self) -> Path:
        return self.run / "supervisord.pid"

    @property
    def supervisor_socket(self) -> Path:
        """A path in `run`, or in a temporary folder of the user if the path in `run` is too long for a socket."""
        path = self.run / "supervisord.sock"
        if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
            return path
        digest = hashlib.sha256(os.fsencode(self.state)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"bookwheel-{os.getuid()}-{digest}" / "supervisord.sock"

    @property
    def gateway_url(self) -> str:
        return f"http://{HOST}:{self.ports.gateway}"

    def create_folders(self) -> None:
        """Creates the folders. Only the owner may read folders with secrets or sockets. Idempotent."""
        self.state.mkdir(parents=True, exist_ok=True)
        for folder in (self.secrets, self.data, self.data / "redis", self.run, self.supervisor_socket.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.stat().st_uid != os.getuid():
                raise PermissionError(f"{folder} belongs to another user")
            folder.chmod(0o700)
        self.logs.mkdir(mode=0o750, exist_ok=True)
        self.logs.chmod(0o750)
