"""`bookwheel-ml serve|worker|train|health`. Commands import only what they use: MLflow takes 7 s, BentoML 4 s."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bookwheel_runtime.healthcheck import run_healthcheck

from bookwheel_ml import DEFAULT_PORT

if TYPE_CHECKING:
    from bookwheel_ml.settings import MlSettings


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bookwheel-ml", description="Serves rating predictions and trains models.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve the API")
    commands.add_parser("worker", help="run the trainer, which executes queued training runs")
    commands.add_parser("train", help="train and register a model now, and print its report")
    health = commands.add_parser("health", help="check a program on this machine; exit with 0 if it is healthy")
    health.add_argument("program", nargs="?", choices=("serve", "worker"), default="serve")
    options = parser.parse_args(arguments)
    if options.command == "health":
        if options.program == "worker":
            raise SystemExit(run_healthcheck(variable="BOOKWHEEL_METRICS_PORT"))
        # Not /readyz: without a model the service runs but is not ready.
        raise SystemExit(run_healthcheck("/livez", default=DEFAULT_PORT))
    from bookwheel_runtime.settings import load_settings  # noqa: PLC0415 - lazy import

    from bookwheel_ml.settings import MlSettings  # noqa: PLC0415 - lazy import

    settings = load_settings(MlSettings)
    {"serve": _serve, "worker": _worker, "train": _train}[options.command](settings)


def _serve(settings: "MlSettings") -> None:
    from bookwheel_runtime.prometheus_multiprocess import share_metrics  # noqa: PLC0415 - lazy import

    share_metrics(settings.port)  # BentoML's metrics need Prometheus' multiprocess mode
    from bookwheel_ml.server import serve  # noqa: PLC0415 - lazy import

    serve(settings)


def _worker(settings: "MlSettings") -> None:
    from bookwheel_runtime.prometheus_multiprocess import share_metrics  # noqa: PLC0415 - lazy import

    if settings.metrics_port:
        share_metrics(settings.metrics_port)  # Celery runs its tasks in a child process
    from bookwheel_ml.training.worker import run_trainer  # noqa: PLC0415 - must follow `share_metrics`

    run_trainer(settings)


def _train(settings: "MlSettings") -> None:
    from bookwheel_runtime.logs import configure_logs  # noqa: PLC0415 - lazy import
    from bookwheel_stores.records import BookReader, connect_database  # noqa: PLC0415 - lazy import

    from bookwheel_ml.registry.mlflow_registry import MlflowRegistry  # noqa: PLC0415 - lazy import
    from bookwheel_ml.training.evaluation import TooFewRatingsError  # noqa: PLC0415 - lazy import
    from bookwheel_ml.training.onnx_export import OnnxMismatchError  # noqa: PLC0415 - lazy import
    from bookwheel_ml.training.pipeline import train_and_register  # noqa: PLC0415 - lazy import

    configure_logs("trainer", settings.log_level)
    engine = connect_database(settings.records_url)
    try:
        version = train_and_register(
            BookReader(engine), MlflowRegistry(settings.registry_uri), tree_count=settings.forest_trees
        )
    except (TooFewRatingsError, OnnxMismatchError) as error:
        raise SystemExit(f"No model was registered: {error}") from None
    finally:
        engine.dispose()
    print(version.model_dump_json(indent=2))
