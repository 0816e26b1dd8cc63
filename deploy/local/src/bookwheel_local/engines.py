"""The servers of the cluster engines, as `engines.sh` brings them: where they are and how each is started.

PostgreSQL and Elasticsearch refuse to run as root. Started by root, they run as the system's user `bookwheel`, who owns
their data (`give_to_servers` hands a folder over) and may pass through folders that are closed to others.
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
        super().__init__(f"{name} is missing; run: deploy/local/engines.sh {engine}")


def find_postgres(program: str) -> str:
    """The path of `postgres`, `initdb` and so on, the newest version's. Raises EngineMissing."""
    packaged = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[-3]))
    found = str(packaged[-1]) if packaged else shutil.which(program)
    if found is None:
        raise EngineNotInstalledError("PostgreSQL", "postgres")
    return found


def find_elasticsearch() -> Path:
    """Elasticsearch's folder. Raises EngineMissing."""
    folder = ENGINES / "elasticsearch"
    if not (folder / ".version").exists() or not (ENGINES / "jdk" / "bin" / "java").exists():
        raise EngineNotInstalledError("Elasticsearch", "elasticsearch")
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
    user = [f"--reuid={SERVER_USER}", f"--regid={SERVER_USER}", "--clear-groups", "--no-new-privs"]
    # The suite's data, and perhaps the checkout, are in folders of root's own. The servers can read their way there,
    # and write nowhere but in what is theirs. (access(2), which Java asks, counts capabilities only without the fixup.)
    way = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--securebits=+no_setuid_fixup"]
    return ["setpriv", *user, *(way if _may_read_all() else []), "--"]


def _may_read_all() -> bool:
    """Whether this root has the capability at all; in a container it need not."""
    held = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:"))
    return bool(int(held.split()[1], 16) & 1 << _CAP_DAC_READ_SEARCH)


def give_to_servers(folder: Path) -> None:
    """Makes a folder for one server's data; it and what is in it belong to the user that the server runs as."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if os.getuid() == 0:
        owner = pwd.getpwnam(SERVER_USER)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner.pw_uid, owner.pw_gid)


def create_postgres(data: Path, *, password: str, user: str = POSTGRES_USER, sql: str = "") -> None:
    """A new database cluster in UTF-8 and the C collation, with a superuser; an existing one stays.

    `sql` is run in it once, a statement a line. It is made aside and renamed, so a killed creation is repeated.
    """
    if (data / "PG_VERSION").exists():
        return
    aside = data.with_name(f"{data.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    give_to_servers(aside)
    with tempfile.TemporaryDirectory(prefix="bookwheel-") as name:
        password_file = Path(name) / "password"
        password_file.touch(0o600)
        password_file.write_text(password)
        give_to_servers(Path(name))
        methods = ("--auth-host=scram-sha-256", "--auth-local=reject")
        options = ("--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", "--no-instructions", *methods)
        _run_postgres("initdb", "-D", str(aside), f"--username={user}", f"--pwfile={password_file}", *options)
    if sql:
        _run_postgres("postgres", "--single", "-D", str(aside), "postgres", given=sql)
    if data.exists():
        data.rmdir()
    aside.rename(data)


def _run_postgres(program: str, *arguments: str, given: str = "") -> None:
    done = subprocess.run(
        [*as_server_user(), find_postgres(program), *arguments],
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_INITDB_SECONDS,
        check=False,
        cwd="/",  # the server's user need not be able to enter ours
    )
    if done.returncode != 0 or "ERROR:" in done.stdout:  # its single-user mode ends with 0 after an error, too
        raise LocalError(f"{program} failed: {done.stdout[-2000:]}")


def postgres_command(data: Path, port: int, *, durable: bool = True) -> list[str]:
    """`durable=False` is for tests that never cut the power: nothing is synced to the disk."""
    options = {"listen_addresses": HOST, "port": str(port), "unix_socket_directories": "", "max_connections": "200"}
    if not durable:
        options |= {"max_connections": "400", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
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
        # Else the indices of a machine whose disk is 95 % full are made read-only.
        "cluster.routing.allocation.disk.threshold_enabled": "false",
    }
    (config / "elasticsearch.yml").write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
    (folder / "tmp").mkdir(exist_ok=True)
    give_to_servers(folder)


def elasticsearch_command() -> list[str]:
    return [*as_server_user(), str(find_elasticsearch() / "bin" / "elasticsearch")]


QUICK_START = "-XX:TieredStopAtLevel=1"
"""Code is compiled once and lightly: a start takes 11 s of processor time in place of 19, and all else is slower."""


def elasticsearch_environment(folder: Path, *, heap: str = "512m", options: str = "") -> dict[str, str]:
    return {
        "ES_JAVA_HOME": str((ENGINES / "jdk").resolve()),
        "ES_PATH_CONF": str(folder / "config"),
        "ES_JAVA_OPTS": f"-Xms{heap} -Xmx{heap} {options}".rstrip(),
        "ES_TMPDIR": str(folder / "tmp"),
        "HOME": str(folder),
    }


def minio_command(data: Path, port: int) -> list[str]:
    """With MINIO_ROOT_USER and MINIO_ROOT_PASSWORD in its environment. Raises EngineMissing."""
    program = find_minio()
    if program is None:
        raise EngineNotInstalledError("MinIO", "s3")
    return [program, "server", str(data), "--address", f"{HOST}:{port}", "--quiet"]
