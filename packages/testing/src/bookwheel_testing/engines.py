"""Real PostgreSQL, Elasticsearch and S3 servers for tests, each with a place of its own for every test."""

import os
import shutil
import tempfile
from collections.abc import Iterator
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

from bookwheel_testing.gcs_emulator import GcsStore, running_gcs
from bookwheel_testing.servers import Server, answers, free_port, running
from bookwheel_testing.shared_servers import Ask, SharedServers, asking

_PASSWORD = "for-tests"
_START_SECONDS = 240


def or_skip(missing: LocalError) -> NoReturn:
    """Where a server or a program can't be had, its tests are skipped, loudly; under `CI=true` they fail."""
    if os.environ.get("CI") == "true":
        raise missing
    pytest.skip(f"NOT TESTED: {missing}")


def need_cluster() -> None:
    """For a test of a whole suite on the cluster engines: as `or_skip` where one of their servers is missing."""
    try:
        engines.find_postgres("postgres")
        engines.find_elasticsearch()
    except engines.EngineNotInstalledError as missing:
        or_skip(missing)


@contextmanager
def server_folder() -> Iterator[Path]:
    """A folder that a server running as another user can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="bookwheel-server-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Postgres:
    """`port` on loopback, the superuser's name and password from `url`."""

    port: int

    def url(self, database: str = "postgres") -> str:
        return _postgres_url(self.port, database)

    def replace(self, name: str, template: str) -> None:
        """Puts a copy of `template` in the place of a database, from which all are thrown out."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')

    @contextmanager
    def database(self, *, template: str = "template1", options: str = "") -> Iterator[str]:
        """The URL of a new database, dropped at the end with all who are connected to it.

        Empty, or a copy of `template`; `options` are further words of CREATE DATABASE.
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
    """A PostgreSQL in `data` (by default a new one, removed at the end). Raises EngineMissing."""
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
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def running_elasticsearch(
    *, folder: Path | None = None, port: int | None = None, for_speed: bool = True
) -> Iterator[tuple[str, Server]]:
    """An Elasticsearch in `folder` (by default a new one, removed at the end); its URL. Raises EngineMissing.

    Not `for_speed`, it is one that starts quickly.
    """
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    with server_folder() as own:
        folder = folder or own / "elasticsearch"
        engines.create_elasticsearch(folder, port)
        environment = engines.elasticsearch_environment(folder, options="" if for_speed else engines.QUICK_START)
        with running(
            engines.elasticsearch_command(),
            log=own / "elasticsearch.log",
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
    """MinIO, or moto's server where it could not be built; `bucket` is empty: make one."""
    port, key, secret = free_port(), "bookwheel", uuid4().hex
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
        environment = {"MINIO_ROOT_USER": key, "MINIO_ROOT_PASSWORD": secret, "HOME": str(folder)}
        with running(
            command,
            log=folder / "s3.log",
            ready=lambda: answers(endpoint + health),
            seconds=_START_SECONDS,
            environment=environment,
        ):
            yield S3Store(endpoint, "", key, secret)


_KEEPER = pytest.StashKey[SharedServers]()
_ASK = pytest.StashKey[Ask]()


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        config.stash[_ASK] = asking(config.workerinput["bookwheel_keeper"])
        return
    keeper = SharedServers(
        {"postgres": running_postgres, "elasticsearch": _elasticsearch_url, "s3": running_s3, "gcs": running_gcs}
    )
    config.add_cleanup(keeper.close)
    config.stash[_KEEPER] = keeper
    config.stash[_ASK] = keeper.ask


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["bookwheel_keeper"] = node.config.stash[_KEEPER].invitation()


@contextmanager
def _elasticsearch_url() -> Iterator[str]:
    with running_elasticsearch(for_speed=False) as (url, _):
        yield url


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Postgres:
    """The PostgreSQL of this test run, shared by its processes."""
    try:
        engines.find_postgres("postgres")
    except engines.EngineNotInstalledError as missing:
        or_skip(missing)
    server: Postgres = pytestconfig.stash[_ASK]("postgres")
    return server


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """A new, empty database."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="session")
def elasticsearch_server(pytestconfig: pytest.Config) -> str:
    """The URL of the Elasticsearch of this test run, shared by its processes."""
    try:
        engines.find_elasticsearch()
    except engines.EngineNotInstalledError as missing:
        or_skip(missing)
    return str(pytestconfig.stash[_ASK]("elasticsearch"))


@pytest.fixture
def elasticsearch_prefix(elasticsearch_server: str) -> Iterator[str]:
    """A prefix for the names of this test's indices, which are deleted at the end."""
    prefix = f"t{uuid4().hex[:12]}-"
    yield prefix
    names = httpx.get(f"{elasticsearch_server}/_cat/indices/{prefix}*?h=index&expand_wildcards=all", timeout=30)
    for name in names.text.split():
        httpx.delete(f"{elasticsearch_server}/{name}", timeout=30).raise_for_status()


@pytest.fixture
def s3(pytestconfig: pytest.Config) -> Iterator[S3Store]:
    """A new, empty bucket in the S3 server of this test run."""
    store = replace(pytestconfig.stash[_ASK]("s3"), bucket=f"test-{uuid4().hex[:12]}")
    filesystem = store.filesystem()
    filesystem.create_dir(store.bucket)
    yield store
    filesystem.delete_dir(store.bucket)


@pytest.fixture
def gcs(pytestconfig: pytest.Config) -> GcsStore:
    """A new, empty bucket in the GCS emulator of this test run."""
    try:
        engines.find_fake_gcs()
    except engines.EngineNotInstalledError as missing:
        or_skip(missing)
    store: GcsStore = replace(pytestconfig.stash[_ASK]("gcs"), bucket=f"test{uuid4().hex[:12]}")
    response = httpx.post(f"{store.endpoint}/storage/v1/b", json={"name": store.bucket}, timeout=30)
    response.raise_for_status()
    return store
