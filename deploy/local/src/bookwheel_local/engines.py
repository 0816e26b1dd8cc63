"""The servers that `engines.sh` installs: their paths, data folders and commands.

PostgreSQL and Elasticsearch refuse to run as root. If root starts them, they run as the system user `bookwheel`. It
owns their data (`create_server_folder`) and may traverse folders that other users may not enter.
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
_CAP_DAC_READ_SEARCH = 2


class EngineNotInstalledError(LocalError):
    def __init__(self, name: str, engine: str) -> None:
        super().__init__(f"{name} is missing: run deploy/local/engines.sh {engine}")


def find_postgres(program: str) -> str:
    """Returns the path of a program of the newest PostgreSQL. Raises EngineNotInstalledError."""
    paths = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda candidate: int(candidate.parts[-3]))
    path = str(paths[-1]) if paths else shutil.which(program)
    if path is None:
        raise EngineNotInstalledError("PostgreSQL", "postgres")
    return path


def find_elasticsearch() -> Path:
    """Returns Elasticsearch's folder. Raises EngineNotInstalledError."""
    folder = ENGINES / "elasticsearch"
    if not (folder / ".version").exists() or not (ENGINES / "jdk" / "bin" / "java").exists():
        raise EngineNotInstalledError("Elasticsearch", "elasticsearch")
    return folder


def find_minio() -> str | None:
    """Returns MinIO's path, or None if it is not installed."""
    path = ENGINES / "minio" / "minio"
    return str(path) if path.exists() else None


def server_user_prefix() -> list[str]:
    """Returns the prefix that runs a command as the server user. Empty if this user is not root. Raises LocalError."""
    if os.getuid() != 0:
        return []
    try:
        pwd.getpwnam(SERVER_USER)
    except KeyError as error:
        raise LocalError(f"the user {SERVER_USER} does not exist: run deploy/local/engines.sh") from error
    user = [f"--reuid={SERVER_USER}", f"--regid={SERVER_USER}", "--clear-groups", "--no-new-privs"]
    # Only root may enter the folders of the suite's data, and perhaps the checkout's. The servers may read everything
    # and write only to their own folders. Without `no_setuid_fixup`, access(2), which Java calls, ignores capabilities.
    read_all = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--securebits=+no_setuid_fixup"]
    return ["setpriv", *user, *(read_all if _may_read_all() else []), "--"]


def _may_read_all() -> bool:
    """Whether root has the capability. In a container it may be missing."""
    capabilities = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:")
    )
    return bool(int(capabilities.split()[1], 16) & 1 << _CAP_DAC_READ_SEARCH)


def create_server_folder(folder: Path) -> None:
    """Creates a folder for a server's data and gives it, with its content, to the server's user."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if os.getuid() == 0:
        owner = pwd.getpwnam(SERVER_USER)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner.pw_uid, owner.pw_gid)


def create_postgres(data: Path, *, password: str, user: str = POSTGRES_USER, sql: str = "") -> None:
    """Creates a database cluster with UTF-8, the C collation and a superuser. Does nothing if the cluster exists.

    It is created under a temporary name, so an interrupted call can run again. `sql` has one statement per line.
    Raises LocalError.
    """
    if (data / "PG_VERSION").exists():
        return
    new_data = data.with_name(f"{data.name}.new")
    shutil.rmtree(new_data, ignore_errors=True)
    create_server_folder(new_data)
    with tempfile.TemporaryDirectory(prefix="bookwheel-") as name:
        password_file = Path(name) / "password"
        password_file.touch(0o600)
        password_file.write_text(password)
        create_server_folder(Path(name))
        methods = ("--auth-host=scram-sha-256", "--auth-local=reject")
        options = ("--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", "--no-instructions", *methods)
        _run_postgres("initdb", "-D", str(new_data), f"--username={user}", f"--pwfile={password_file}", *options)
    if sql:
        _run_postgres("postgres", "--single", "-D", str(new_data), "postgres", stdin=sql)
    if data.exists():
        data.rmdir()
    new_data.rename(data)


def _run_postgres(program: str, *arguments: str, stdin: str = "") -> None:
    process = subprocess.run(
        [*server_user_prefix(), find_postgres(program), *arguments],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_INITDB_SECONDS,
        check=False,
        cwd="/",  # the server's user may not be allowed to enter ours
    )
    if process.returncode != 0 or "ERROR:" in process.stdout:  # single-user mode ends with 0 even after an error
        raise LocalError(f"{program} failed: {process.stdout[-2000:]}")


def postgres_command(data: Path, port: int, *, durable: bool = True) -> list[str]:
    """`durable=False` is for tests: PostgreSQL flushes nothing to the disk."""
    options = {"listen_addresses": HOST, "port": str(port), "unix_socket_directories": "", "max_connections": "200"}
    if not durable:
        options |= {"max_connections": "400", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return [*server_user_prefix(), find_postgres("postgres"), "-D", str(data), *settings]


def create_elasticsearch(folder: Path, port: int) -> None:
    """Creates configuration, data and log folders in `folder`. Keeps existing data."""
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
        # By default Elasticsearch makes indices read-only when the disk is 95 % full.
        "cluster.routing.allocation.disk.threshold_enabled": "false",
    }
    (config / "elasticsearch.yml").write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
    (folder / "tmp").mkdir(exist_ok=True)
    create_server_folder(folder)


def elasticsearch_command() -> list[str]:
    return [*server_user_prefix(), str(find_elasticsearch() / "bin" / "elasticsearch")]


JVM_QUICK_START = "-XX:TieredStopAtLevel=1"
"""Use only the C1 compiler: startup takes 11 s instead of 19 s of CPU time; execution is slower."""


def elasticsearch_environment(folder: Path, *, heap: str = "512m", options: str = "") -> dict[str, str]:
    return {
        "ES_JAVA_HOME": str((ENGINES / "jdk").resolve()),
        "ES_PATH_CONF": str(folder / "config"),
        "ES_JAVA_OPTS": f"-Xms{heap} -Xmx{heap} {options}".rstrip(),
        "ES_TMPDIR": str(folder / "tmp"),
        "HOME": str(folder),
    }


def minio_command(data: Path, port: int) -> list[str]:
    """Needs MINIO_ROOT_USER and MINIO_ROOT_PASSWORD in its environment. Raises EngineNotInstalledError."""
    program = find_minio()
    if program is None:
        raise EngineNotInstalledError("MinIO", "s3")
    return [program, "server", str(data), "--address", f"{HOST}:{port}", "--quiet"]
