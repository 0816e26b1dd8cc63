"""The programs of a one-machine suite."""

import sys

from bookwheel_local.choice import Choice
from bookwheel_local.layout import HOST, Layout
from bookwheel_local.program import Program, Stage, script
from bookwheel_local.servers import server_programs
from bookwheel_local.settings import LocalSettings


def _service(name: str, port: int, command: str, *, health: str = "/readyz", needs_tables: bool = True) -> Program:
    return Program(
        name,
        (script(command), "serve"),
        ports=(port,),
        health=f"http://{HOST}:{port}{health}",
        needs_tables=needs_tables,
        environment={"BOOKWHEEL_PORT": str(port)},
    )


def _worker(name: str, port: int, *command: str, needs_tables: bool = False) -> Program:
    """One without an API of its own."""
    return Program(
        name,
        command,
        ports=(port,),
        health=f"http://{HOST}:{port}/readyz",
        needs_tables=needs_tables,
        environment={"BOOKWHEEL_METRICS_PORT": str(port)},
    )


def programs(layout: Layout, settings: LocalSettings, choice: Choice, *, nginx: str) -> tuple[Program, ...]:
    """In the order in which they are shown. `nginx` is the program's path. Raises LocalError for a missing server."""
    ports = layout.ports
    processor = script("bookwheel-processor")
    heir = (sys.executable, "-m", "bookwheel_local.heir", str(layout.state))
    nginx_command = (*heir, nginx, "-e", "stderr", "-c", str(layout.run / "nginx.conf"))
    shop_command = (script("bookwheel-demo-shop"), "--port", str(ports.demo_shop))
    shop_books = ("--books", str(settings.demo_books), "--seed", str(settings.demo_seed))
    return (
        Program(
            "gateway",
            nginx_command,
            Stage.EDGE,
            (ports.gateway, ports.gateway_routes, ports.gateway_metrics),
            f"{layout.gateway_url}/livez",
            stop_signal="QUIT",
        ),
        _service("accounts", ports.accounts, "bookwheel-accounts"),
        _service("catalog-api", ports.catalog_api, "bookwheel-catalog"),
        # Not /readyz: without a trained model yet it serves, but is not ready to predict.
        _service("ml-serving", ports.ml_serving, "bookwheel-ml", health="/livez", needs_tables=False),
        _worker("trainer", ports.trainer, script("bookwheel-ml"), "worker"),
        _worker("scraper", ports.scraper, script("bookwheel-scraper"), "serve"),
        _worker("processor-worker", ports.processor_worker, processor, "worker", needs_tables=True),
        _worker("processor-beat", ports.processor_beat, processor, "beat", needs_tables=True),
        Program(
            "demo-shop",
            (*shop_command, *shop_books),
            Stage.BASE,
            (ports.demo_shop,),
            f"http://{HOST}:{ports.demo_shop}/",
        ),
        Program("redis", ("redis-server", str(layout.run / "redis.conf")), Stage.BASE, (ports.redis,)),
        *server_programs(layout, settings, choice),
    )


def redis_config(layout: Layout, *, password: str, appendfsync: str = "everysec") -> str:
    """Appends every write to a file: Redis holds streams, not only a cache."""
    return "\n".join(
        (
            f"bind {HOST}",
            f"port {layout.ports.redis}",
            f"requirepass {password}",
            f'dir "{layout.data / "redis"}"',
            "appendonly yes",
            f"appendfsync {appendfsync}",
            'save ""',
            "maxmemory-policy noeviction",
            "",
        )
    )
