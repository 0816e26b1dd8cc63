"""Ports and folders of a one-machine suite."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bookwheel_local.settings import LocalSettings

HOST = "127.0.0.1"
PROCESS_MARKER = "BOOKWHEEL_SUPERVISED"
"""Environment variable of every process of a suite. Its value is the state folder, and it identifies the processes."""
_MAX_SOCKET_PATH = 90  # the kernel allows 107 bytes; supervisord appends its process id


class Ports(NamedTuple):
    """The consecutive ports of a suite. The first is the port base.

    Only the gateway's outer server uses `gateway_inner`. Programs without an API serve metrics and health.
    """

    gateway: int
    catalog_api: int
    ml_serving: int
    accounts: int
    redis: int
    demo_shop: int
    gateway_inner: int
    postgres: int
    elasticsearch: int
    s3: int
    trainer: int
    scraper: int
    processor_worker: int
    processor_beat: int
    gateway_metrics: int

    @classmethod
    def from_base(cls, base: int) -> "Ports":
        return cls(*range(base, base + len(cls._fields)))


@dataclass(frozen=True, slots=True)
class Layout:
    """Folders of one suite; `state_dir` is absolute."""

    state_dir: Path
    ports: Ports

    @classmethod
    def from_settings(cls, settings: LocalSettings) -> "Layout":
        return cls(settings.state_dir, Ports.from_base(settings.port_base))

    @property
    def secrets(self) -> Path:
        return self.state_dir / "secrets"

    @property
    def signing_keys(self) -> Path:
        """Folder of the signing keys. The newest key signs tokens; tokens of all keys are accepted."""
        return self.secrets / "signing-keys"

    @property
    def data(self) -> Path:
        return self.state_dir / "data"

    @property
    def logs(self) -> Path:
        return self.state_dir / "logs"

    @property
    def run(self) -> Path:
        return self.state_dir / "run"

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
        digest = hashlib.sha256(os.fsencode(self.state_dir)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"bookwheel-{os.getuid()}-{digest}" / "supervisord.sock"

    @property
    def gateway_url(self) -> str:
        return f"http://{HOST}:{self.ports.gateway}"

    def create_folders(self) -> None:
        """Creates the folders. Only the owner may read folders with secrets or sockets. Idempotent."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        for folder in (self.secrets, self.data, self.data / "redis", self.run, self.supervisor_socket.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.stat().st_uid != os.getuid():
                raise PermissionError(f"{folder} belongs to another user")
            folder.chmod(0o700)
        self.logs.mkdir(mode=0o750, exist_ok=True)
        self.logs.chmod(0o750)
