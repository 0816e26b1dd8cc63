"""The servers of the cluster engines, as `engines.sh` brings them: where they are and how each is started.

PostgreSQL and Elasticsearch refuse to run as root. Started by root, they run as the system's user `bookwheel`, who must
be able to reach their programs and own their data: `give_to_servers` hands a folder over.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bookwheel_local.errors import LocalError

SERVER_USER = "bookwheel"
POSTGRES_USER = "bookwheel"
ENGINES = Path(sys.prefix) / "engines"
HOST = "127.0.0.1"
_INITDB_SECONDS = 120


class EngineMissing(LocalError):
    def __init__(self, name: str, engine: str) -> None:
        super().__init__(f"{name} is missing; run: deploy/local/engines.sh {engine}")


def find_postgres(program: str) -> str:
    """The path of `postgres`, `initdb` and so on, the newest version's. Raises EngineMissing."""
    packaged = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[-3]))
    found = str(packaged[-1]) if packaged else shutil.which(program)
    if found is None:
        raise EngineMissing("PostgreSQL", "postgres")
    return found


def find_elasticsearch() -> Path:
    """Elasticsearch's folder. Raises EngineMissing."""
    folder = ENGINES / "elasticsearch"
    if not (folder / ".version").exists() or not (ENGINES / "jdk" / "bin" / "java").exists():
        raise EngineMissing("Elasticsearch", "elasticsearch")
    return folder


def find_minio() -> str | None:
    """MinIO's path; None where it could not be built."""
    path = ENGINES / "minio" / "minio"
    return str(path) if path.exists() else None


def as_server_user() -> list[str]:
    """What to put before a command that refuses to run as root; nothing for any other user."""
    if os.getuid() != 0:
        return []
    try:
        pwd.getpwnam(SERVER_USER)
    except KeyError as error:
        raise LocalError(f"there is no user {SERVER_USER}; run: deploy/local/engines.sh") from error
    return ["setpriv", f"--reuid={SERVER_USER}", f"--regid={SERVER_USER}", "--clear-groups", "--"]


def give_to_servers(folder: Path) -> None:
    """Makes a folder for one server's data; it and what is in it belong to the user that the server runs as."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if os.getuid() == 0:
        owner = pwd.getpwnam(SERVER_USER)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner.pw_uid, owner.pw_gid)


def create_postgres(data: Path, *, password: str) -> None:
    """A new database cluster in UTF-8 and the C collation, with the superuser `bookwheel`; an existing one stays."""
    if (data / "PG_VERSION").exists():
        return
    give_to_servers(data)
    with tempfile.TemporaryDirectory(prefix="bookwheel-") as name:
        password_file = Path(name) / "password"
        password_file.touch(0o600)
        password_file.write_text(password)
        give_to_servers(Path(name))
        command = [
            *as_server_user(),
            *(
                find_postgres("initdb"),
                "--pgdata",
                str(data),
                "--username",
                POSTGRES_USER,
                "--pwfile",
                str(password_file),
            ),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-instructions"),
        ]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_INITDB_SECONDS,
            check=False,
            cwd="/",  # the server's user need not be able to enter ours
        )
    if done.returncode != 0:
        raise LocalError(f"initdb failed: {done.stdout[-2000:]}")


def postgres_command(data: Path, port: int, *, durable: bool = True) -> list[str]:
    """`durable=False` is for tests that never cut the power: nothing is synced to the disk."""
    options = {"listen_addresses": HOST, "port": str(port), "unix_socket_directories": "", "max_connections": "200"}
    if not durable:
        options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return [*as_server_user(), find_postgres("postgres"), "-D", str(data), *settings]


def create_elasticsearch(folder: Path, port: int) -> None:
    """Configuration, data and log folders under `folder`. Data that is there stays."""
    home, config = find_elasticsearch(), folder / "config"
    shutil.copytree(home / "config", config, dirs_exist_ok=True)
    settings = {
        "cluster.name": "bookwheel",
        "network.host": HOST,
        "http.port": port,
        "transport.port": "0",
        "discovery.type": "single-node",
        "xpack.security.enabled": "false",
        "path.data": folder / "data",
        "path.logs": folder / "logs",
        "action.destructive_requires_name": "true",
    }
    (config / "elasticsearch.yml").write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
    give_to_servers(folder)


def elasticsearch_command() -> list[str]:
    return [*as_server_user(), str(find_elasticsearch() / "bin" / "elasticsearch")]


def elasticsearch_environment(folder: Path, *, heap: str = "512m") -> dict[str, str]:
    return {
        "ES_JAVA_HOME": str((ENGINES / "jdk").resolve()),
        "ES_PATH_CONF": str(folder / "config"),
        "ES_JAVA_OPTS": f"-Xms{heap} -Xmx{heap}",
        "HOME": str(folder),
    }


def minio_command(data: Path, port: int) -> list[str]:
    """With MINIO_ROOT_USER and MINIO_ROOT_PASSWORD in its environment. Raises EngineMissing."""
    program = find_minio()
    if program is None:
        raise EngineMissing("MinIO", "s3")
    return [program, "server", str(data), "--address", f"{HOST}:{port}", "--quiet"]
