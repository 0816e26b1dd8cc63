"""`bookwheel-ml serve|worker|train|health`. Each verb imports only what it needs: MLflow takes 7 s, BentoML 4 s."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bookwheel_runtime.healthcheck import run_healthcheck

from bookwheel_ml import DEFAULT_PORT

if TYPE_CHECKING:
    from bookwheel_ml.settings import MlSettings


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bookwheel-ml", description="Serves rating predictions and trains models.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("serve", help="serve the API")
    verbs.add_parser("worker", help="run the trainer, which runs the training runs of the queue")
    verbs.add_parser("train", help="train and register a model now, and print its report")
    health = verbs.add_parser("health", help="check the program on this machine; exit with 0 if it is healthy")
    health.add_argument("of", nargs="?", choices=("serve", "worker"), default="serve")
    options = parser.parse_args(arguments)
    if options.verb == "health":
        if options.of == "worker":
            raise SystemExit(run_healthcheck(variable="BOOKWHEEL_METRICS_PORT"))
        # Not /readyz: without a model the service runs but is not ready.
        raise SystemExit(run_healthcheck("/livez", default=DEFAULT_PORT))
    from bookwheel_runtime.settings import load_settings  # noqa: PLC0415 - see above

    from bookwheel_ml.settings import MlSettings  # noqa: PLC0415 - see above

    settings = load_settings(MlSettings)
    {"serve": _serve, "worker": _worker, "train": _train}[options.verb](settings)


def _serve(settings: "MlSettings") -> None:
    from bookwheel_runtime.prometheus_multiprocess import share_metrics  # noqa: PLC0415 - see above

    share_metrics(settings.port)  # BentoML's metrics need Prometheus' multiprocess mode
    from bookwheel_ml.server import serve  # noqa: PLC0415 - see above

    serve(settings)


def _worker(settings: "MlSettings") -> None:
    from bookwheel_runtime.prometheus_multiprocess import share_metrics  # noqa: PLC0415 - see above

    if settings.metrics_port:
        share_metrics(settings.metrics_port)  # its tasks run in a child process
    from bookwheel_ml.training.worker import run_trainer  # noqa: PLC0415 - must follow `share_metrics`

    run_trainer(settings)


def _train(settings: "MlSettings") -> None:
    from bookwheel_runtime.logs import configure_logs  # noqa: PLC0415 - see above
    from bookwheel_stores.records import BookReader, connect_database  # noqa: PLC0415 - see above

    from bookwheel_ml.registry.mlflow_registry import MlflowRegistry  # noqa: PLC0415 - see above
    from bookwheel_ml.training.evaluation import TooFewRatingsError  # noqa: PLC0415 - see above
    from bookwheel_ml.training.onnx_export import OnnxMismatchError  # noqa: PLC0415 - see above
    from bookwheel_ml.training.pipeline import train_and_register  # noqa: PLC0415 - see above

    configure_logs("trainer", settings.log_level)
    engine = connect_database(settings.records_url)
    try:
        version = train_and_register(
            BookReader(engine), MlflowRegistry(settings.registry_uri), trees=settings.forest_trees
        )
    except (TooFewRatingsError, OnnxMismatchError) as error:
        raise SystemExit(f"No model was registered. {error}") from None
    finally:
        engine.dispose()
    print(version.model_dump_json(indent=2))
