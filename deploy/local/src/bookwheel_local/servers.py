"""The servers of the cluster engines as programs of a one-machine suite: on loopback, in folders of the suite's."""

from collections.abc import Mapping, Sequence

from bookwheel_local import engines
from bookwheel_local.choice import Choice, Server
from bookwheel_local.layout import HOST, MARKER, Layout
from bookwheel_local.program import Program, Stage
from bookwheel_local.secrets import Secrets
from bookwheel_local.settings import LocalSettings

DATABASE = "bookwheel"
"""PostgreSQL's database, and the role that owns it."""
BUCKET = "bookwheel"
S3_USER = "bookwheel"
_ADMINISTRATOR = "postgres"
_CLEAN_PATH = "/usr/bin:/bin"


def server_programs(layout: Layout, settings: LocalSettings, choice: Choice) -> tuple[Program, ...]:
    """Raises LocalError for a server that is not installed."""
    ports = layout.ports
    programs = {
        Server.POSTGRES: lambda: Program(
            "postgres",
            _alone(layout, engines.postgres_command(layout.data / "postgres", ports.postgres)),
            Stage.BASE,
            (ports.postgres,),
            f"postgresql://{HOST}:{ports.postgres}/{DATABASE}",
            stop_signal="INT",  # fast: TERM would wait until every client has gone
            is_store=True,
        ),
        Server.ELASTICSEARCH: lambda: Program(
            "elasticsearch",
            _alone(
                layout,
                engines.elasticsearch_command(),
                engines.elasticsearch_environment(
                    layout.data / "elasticsearch",
                    heap=settings.elasticsearch_heap,
                    options=settings.elasticsearch_options,
                ),
            ),
            Stage.BASE,
            (ports.elasticsearch,),
            f"http://{HOST}:{ports.elasticsearch}/_cluster/health?wait_for_status=yellow&timeout=1s",
            is_store=True,
        ),
        Server.S3: lambda: Program(
            "s3",
            tuple(engines.minio_command(layout.data / "s3", ports.s3)),
            Stage.BASE,
            (ports.s3,),
            f"http://{HOST}:{ports.s3}/minio/health/ready",
            is_store=True,
        ),
    }
    return tuple(programs[server]() for server in choice.servers)


def prepare_servers(layout: Layout, secrets: Secrets, choice: Choice) -> None:
    """What the servers need before their start; data that is there stays. Raises LocalError."""
    if Server.POSTGRES in choice.servers:
        # The suite's role is no superuser: COPY FROM PROGRAM and the like are not for services that face a network.
        role = f"CREATE ROLE {DATABASE} LOGIN PASSWORD '{secrets.postgres_password}'\n"
        database = f"CREATE DATABASE {DATABASE} OWNER {DATABASE}\n"
        engines.create_postgres(
            layout.data / "postgres",
            user=_ADMINISTRATOR,
            password=secrets.postgres_administrator_password,
            sql=role + database,
        )
    if Server.ELASTICSEARCH in choice.servers:
        engines.create_elasticsearch(layout.data / "elasticsearch", layout.ports.elasticsearch)
    if Server.S3 in choice.servers:
        (layout.data / "s3" / BUCKET).mkdir(parents=True, exist_ok=True)  # a folder of its drive is a bucket to MinIO


def server_environment(layout: Layout, secrets: Secrets, choice: Choice) -> dict[str, str]:
    """Where the servers' clients find them."""
    ports, found = layout.ports, {}
    if Server.POSTGRES in choice.servers:
        user = f"{DATABASE}:{secrets.postgres_password}"
        found["BOOKWHEEL_DATABASE_URL"] = f"postgresql+psycopg://{user}@{HOST}:{ports.postgres}/{DATABASE}"
    if Server.ELASTICSEARCH in choice.servers:
        found["BOOKWHEEL_SEARCH_URL"] = f"elasticsearch://{HOST}:{ports.elasticsearch}"
    if Server.S3 in choice.servers:
        found |= {
            "MINIO_ROOT_USER": S3_USER,
            "MINIO_ROOT_PASSWORD": secrets.s3_password,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "BOOKWHEEL_LAKE_URL": f"s3://{BUCKET}",
            "BOOKWHEEL_LAKE_ENDPOINT": f"http://{HOST}:{ports.s3}",
            "BOOKWHEEL_LAKE_ACCESS_KEY": S3_USER,
            "BOOKWHEEL_LAKE_SECRET_KEY": secrets.s3_password,
            "AWS_ACCESS_KEY_ID": S3_USER,
            "AWS_SECRET_ACCESS_KEY": secrets.s3_password,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    return found


def _alone(layout: Layout, command: Sequence[str], variables: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The command without the suite's environment, whose addresses hold passwords."""
    given = {"PATH": _CLEAN_PATH, "LC_ALL": "C.UTF-8", MARKER: str(layout.state), **(variables or {})}
    return ("env", "-i", *(f"{name}={value}" for name, value in given.items()), *command)
