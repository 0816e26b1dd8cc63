"""Real PostgreSQL, Elasticsearch and S3 servers. Every test gets its own database, index prefix or bucket."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

import httpx
import psycopg
import pytest
from bookwheel_local import engines
from bookwheel_local.errors import LocalError
from pyarrow.fs import S3FileSystem

from bookwheel_testing.gcs_emulator import GcsStore, find_gcs_emulator, running_gcs
from bookwheel_testing.servers import Server, answers, free_port, running
from bookwheel_testing.shared_servers import SharedServers, server_lookup

_PASSWORD = "for-tests"
_START_SECONDS = 240


def skip_or_raise(error: LocalError) -> NoReturn:
    """Skips the test because a server is not installed. Raises the error if `CI=true`."""
    if os.environ.get("CI") == "true":
        raise error
    pytest.skip(f"NOT TESTED: {error}")


@contextmanager
def skip_if_not_installed() -> Iterator[None]:
    """Calls `skip_or_raise` if the block raises EngineNotInstalledError."""
    try:
        yield
    except engines.EngineNotInstalledError as error:
        skip_or_raise(error)


def require_cluster_engines() -> None:
    """Calls `skip_or_raise` if a server of the cluster engines is not installed."""
    with skip_if_not_installed():
        engines.find_postgres("postgres")
        engines.find_elasticsearch()


@contextmanager
def server_folder() -> Iterator[Path]:
    """Yields a folder that a server of another user can enter. pytest's folders are private."""
    folder = Path(tempfile.mkdtemp(prefix="bookwheel-server-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL server on loopback."""

    port: int

    def url(self, database: str = "postgres") -> str:
        return _postgres_url(self.port, database)

    def recreate_database(self, name: str, template: str) -> None:
        """Replaces a database with a copy of `template`. Ends its connections."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')

    @contextmanager
    def database(self, *, template: str = "template1", options: str = "") -> Iterator[str]:
        """Yields the URL of a new copy of `template`. Drops the database at the end.

        `options` are appended to CREATE DATABASE.
        """
        name = f"test_{uuid4().hex[:12]}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" {options}')
        try:
            yield self.url(name)
        finally:
            with psycopg.connect(self.url(), autocommit=True) as connection:
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def running_postgres(*, data: Path | None = None, port: int | None = None, durable: bool = False) -> Iterator[Postgres]:
    """Runs PostgreSQL in `data` (default: a temporary folder). Raises EngineNotInstalledError."""
    port = port or free_port()
    with server_folder() as folder:
        data = data or folder / "data"
        engines.create_postgres(data, password=_PASSWORD)
        command = engines.postgres_command(data, port, durable=durable)
        url = _postgres_url(port, "postgres")
        log = folder / "postgres.log"
        with running(command, log=log, ready=lambda: postgres_answers(url), seconds=_START_SECONDS):
            yield Postgres(port)


def _postgres_url(port: int, database: str) -> str:
    return f"postgresql://{engines.POSTGRES_USER}:{_PASSWORD}@127.0.0.1:{port}/{database}"


def postgres_answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def running_elasticsearch(
    *, folder: Path | None = None, port: int | None = None, fast_start: bool = False
) -> Iterator[tuple[str, Server]]:
    """Runs Elasticsearch in `folder` (default: a temporary folder). Yields its URL.

    With `fast_start` it starts faster and executes more slowly. Raises EngineNotInstalledError.
    """
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    with server_folder() as temporary:
        folder = folder or temporary / "elasticsearch"
        engines.create_elasticsearch(folder, port)
        environment = engines.elasticsearch_environment(folder, options=engines.JVM_QUICK_START if fast_start else "")
        with running(
            engines.elasticsearch_command(),
            log=temporary / "elasticsearch.log",
            ready=lambda: answers(f"{url}/_cluster/health?wait_for_status=yellow&timeout=1s"),
            seconds=_START_SECONDS,
            environment=environment,
        ) as server:
            yield url, server


@dataclass(frozen=True, slots=True)
class S3Store:
    """A bucket of a real S3 server on loopback."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str

    def filesystem(self) -> S3FileSystem:
        return S3FileSystem(
            endpoint_override=self.endpoint,
            access_key=self.access_key,
            secret_key=self.secret_key,
            region="us-east-1",
            allow_bucket_creation=True,
            allow_bucket_deletion=True,
        )


@contextmanager
def running_s3() -> Iterator[S3Store]:
    """Runs MinIO, or moto's server if MinIO is not installed. Creates no bucket: `bucket` is empty."""
    port, access_key, secret_key = free_port(), "bookwheel", uuid4().hex
    endpoint = f"http://127.0.0.1:{port}"
    with server_folder() as folder:
        minio = engines.find_minio()
        if minio is None:
            command, health = (
                [shutil.which("moto_server") or "moto_server", "-H", "127.0.0.1", "-p", str(port)],
                "/moto-api/",
            )
        else:
            command, health = engines.minio_command(folder / "data", port), "/minio/health/live"
        environment = {"MINIO_ROOT_USER": access_key, "MINIO_ROOT_PASSWORD": secret_key, "HOME": str(folder)}
        with running(
            command,
            log=folder / "s3.log",
            ready=lambda: answers(endpoint + health),
            seconds=_START_SECONDS,
            environment=environment,
        ):
            yield S3Store(endpoint, "", access_key, secret_key)


_SHARED = pytest.StashKey[SharedServers]()
_LOOKUP = pytest.StashKey[Callable[[str], Any]]()


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        config.stash[_LOOKUP] = server_lookup(config.workerinput["bookwheel_shared_servers"])
        return
    shared = SharedServers(
        {"postgres": running_postgres, "elasticsearch": _elasticsearch_url, "s3": running_s3, "gcs": running_gcs}
    )
    config.add_cleanup(shared.close)
    config.stash[_SHARED] = shared
    config.stash[_LOOKUP] = shared.get


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["bookwheel_shared_servers"] = node.config.stash[_SHARED].address()


@contextmanager
def _elasticsearch_url() -> Iterator[str]:
    with running_elasticsearch(fast_start=True) as (url, _):
        yield url


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Postgres:
    """The PostgreSQL server that all processes of this test run share."""
    with skip_if_not_installed():
        engines.find_postgres("postgres")
    server: Postgres = pytestconfig.stash[_LOOKUP]("postgres")
    return server


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """A new, empty database."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="session")
def elasticsearch_server(pytestconfig: pytest.Config) -> str:
    """The URL of the Elasticsearch server that all processes of this test run share."""
    with skip_if_not_installed():
        engines.find_elasticsearch()
    return str(pytestconfig.stash[_LOOKUP]("elasticsearch"))


@contextmanager
def new_index_prefix(server: str) -> Iterator[str]:
    """Yields a prefix for index names. Deletes the indices at the end."""
    prefix = f"t{uuid4().hex[:12]}-"
    yield prefix
    names = httpx.get(f"{server}/_cat/indices/{prefix}*?h=index&expand_wildcards=all", timeout=60)
    for name in names.text.split():
        httpx.delete(f"{server}/{name}", timeout=60).raise_for_status()


@pytest.fixture
def elasticsearch_prefix(elasticsearch_server: str) -> Iterator[str]:
    """A prefix for the index names of this test. The indices are deleted at the end."""
    with new_index_prefix(elasticsearch_server) as prefix:
        yield prefix


@pytest.fixture
def s3(pytestconfig: pytest.Config) -> Iterator[S3Store]:
    """A new, empty bucket in the S3 server of this test run."""
    store = replace(pytestconfig.stash[_LOOKUP]("s3"), bucket=f"test-{uuid4().hex[:12]}")
    filesystem = store.filesystem()
    filesystem.create_dir(store.bucket)
    yield store
    filesystem.delete_dir(store.bucket)


@pytest.fixture
def gcs(pytestconfig: pytest.Config) -> GcsStore:
    """A new, empty bucket in the GCS emulator of this test run."""
    with skip_if_not_installed():
        find_gcs_emulator()
    store: GcsStore = replace(pytestconfig.stash[_LOOKUP]("gcs"), bucket=f"test{uuid4().hex[:12]}")
    response = httpx.post(f"{store.endpoint}/storage/v1/b", json={"name": store.bucket}, timeout=30)
    response.raise_for_status()
    return store
