"""The environment of a suite's programs: URLs, folders and the caller's settings."""

import os

from bookwheel_local.engine_selection import EngineSelection, Server
from bookwheel_local.layout import HOST, PROCESS_MARKER, Layout
from bookwheel_local.programs import DATABASE
from bookwheel_local.secrets import Secrets
from bookwheel_local.settings import LocalSettings

BUCKET = "bookwheel"
S3_USER = "bookwheel"
_MAX_CATALOG_WORKERS = 4  # the other programs need cores, too


def suite_environment(
    layout: Layout, settings: LocalSettings, selection: EngineSelection, secrets: Secrets
) -> dict[str, str]:
    """Returns the caller's settings, overridden by the URLs and folders of this suite.

    A lake URL of the caller, such as an external bucket, replaces the suite's folder.
    """
    environment = {name: value for name, value in os.environ.items() if name.startswith("BOOKWHEEL_")}
    environment.setdefault("BOOKWHEEL_LAKE_URL", (layout.data / "lake").as_uri())
    catalog_workers = min(max((os.cpu_count() or 1) // 2, 1), _MAX_CATALOG_WORKERS)
    environment.setdefault("BOOKWHEEL_CATALOG_WORKERS", str(catalog_workers))
    environment |= _urls_and_folders(layout, settings, selection, secrets)
    return environment | server_environment(layout, secrets, selection)


def _urls_and_folders(
    layout: Layout, settings: LocalSettings, selection: EngineSelection, secrets: Secrets
) -> dict[str, str]:
    ports = layout.ports
    return {
        PROCESS_MARKER: str(layout.state_dir),
        "BOOKWHEEL_STATE_DIR": str(layout.state_dir),
        "BOOKWHEEL_LOG_LEVEL": settings.log_level,
        "BOOKWHEEL_HOST": HOST,
        "BOOKWHEEL_PORT_BASE": str(ports.gateway),
        "BOOKWHEEL_ENGINES": selection.engines,
        "BOOKWHEEL_LAKE": selection.lake,
        "BOOKWHEEL_DATABASE_URL": f"sqlite:///{layout.data}/bookwheel.sqlite",
        "BOOKWHEEL_SEARCH_URL": f"tantivy://{layout.data}/index",
        "BOOKWHEEL_REDIS_URL": f"redis://:{secrets.redis_password}@{HOST}:{ports.redis}/0",
        "BOOKWHEEL_SIGNING_KEY_FILE": str(layout.signing_keys),
        "BOOKWHEEL_ISSUER": "bookwheel",
        "BOOKWHEEL_JWKS_URL": f"http://{HOST}:{ports.accounts}/.well-known/jwks.json",
        "BOOKWHEEL_CATALOG_URL": f"http://{HOST}:{ports.catalog_api}",
        "BOOKWHEEL_ML_URL": f"http://{HOST}:{ports.ml_serving}",
        "BOOKWHEEL_DEMO_SHOP_URL": f"http://{HOST}:{ports.demo_shop}/",
        "MLFLOW_TRACKING_URI": f"sqlite:///{layout.data}/mlflow.sqlite",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "BENTOML_HOME": str(layout.data / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "",  # write bytecode: a restarted program starts twice as fast
    }


def server_environment(layout: Layout, secrets: Secrets, selection: EngineSelection) -> dict[str, str]:
    """Returns URLs and credentials of the selected engines' servers."""
    ports = layout.ports
    environment = {}
    if Server.POSTGRES in selection.servers:
        user = f"{DATABASE}:{secrets.postgres_password}"
        environment["BOOKWHEEL_DATABASE_URL"] = f"postgresql+psycopg://{user}@{HOST}:{ports.postgres}/{DATABASE}"
    if Server.ELASTICSEARCH in selection.servers:
        environment["BOOKWHEEL_SEARCH_URL"] = f"elasticsearch://{HOST}:{ports.elasticsearch}"
    if Server.S3 in selection.servers:
        environment |= {
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
    return environment
