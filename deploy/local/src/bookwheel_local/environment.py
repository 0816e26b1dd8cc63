"""What the programs of a suite are told: the addresses of its parts, and the caller's settings of them."""

import os

from bookwheel_local.choice import Choice
from bookwheel_local.layout import HOST, MARKER, Layout
from bookwheel_local.secrets import Secrets
from bookwheel_local.servers import server_environment
from bookwheel_local.settings import LocalSettings

_MOST_WORKERS = 4  # the other programs need cores, too


def suite_environment(layout: Layout, settings: LocalSettings, choice: Choice, secrets: Secrets) -> dict[str, str]:
    """The caller's settings of the programs, and over these the addresses and folders of this suite.

    A lake of the caller's own, such as a bucket elsewhere, takes the place of the suite's folder.
    """
    chosen = {name: value for name, value in os.environ.items() if name.startswith("BOOKWHEEL_")}
    chosen.setdefault("BOOKWHEEL_LAKE_URL", (layout.data / "lake").as_uri())
    chosen.setdefault("BOOKWHEEL_CATALOG_WORKERS", str(min(max((os.cpu_count() or 1) // 2, 1), _MOST_WORKERS)))
    return {**chosen, **_parts(layout, settings, choice, secrets), **server_environment(layout, secrets, choice)}


def _parts(layout: Layout, settings: LocalSettings, choice: Choice, secrets: Secrets) -> dict[str, str]:
    ports = layout.ports
    return {
        MARKER: str(layout.state),
        "BOOKWHEEL_STATE_DIR": str(layout.state),
        "BOOKWHEEL_LOG_LEVEL": settings.log_level,
        "BOOKWHEEL_HOST": HOST,
        "BOOKWHEEL_PORT_BASE": str(ports.base),
        "BOOKWHEEL_ENGINES": choice.engines,
        "BOOKWHEEL_LAKE": choice.lake,
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
        "PYTHONDONTWRITEBYTECODE": "",  # a restarted program starts twice as fast
    }
