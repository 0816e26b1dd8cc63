"""`bookwheel-ml serve|worker|train|health`. Each verb imports what it alone needs: MLflow takes 7 s, BentoML 4 s."""

import argparse
import socket
import sys
from collections.abc import Sequence

from bookwheel_runtime.health import answers
from bookwheel_runtime.logs import configure_logs
from bookwheel_runtime.settings import load_settings

from bookwheel_ml.settings import MlSettings

_PATIENCE = 8.0
"""Seconds for a trainer to answer."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bookwheel-ml", description="Rating predictions: serve them, train for them.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("serve", help="answer predictions over HTTP")
    verbs.add_parser("worker", help="run the trainer, which takes training runs from the queue")
    verbs.add_parser("train", help="train and register a model now, and print its report")
    health = verbs.add_parser("health", help="succeed if what runs on this machine gets on with its work")
    health.add_argument("of", nargs="?", choices=("serve", "worker"), default="serve")
    options = parser.parse_args(arguments)
    settings = load_settings(MlSettings)
    if options.verb == "health":
        # Not /readyz: without a trained model yet it serves, but is not ready to predict.
        raise SystemExit(answers(settings.port, "/livez") if options.of == "serve" else _worker_answers(settings))
    {"serve": _serve, "worker": _worker, "train": _train}[options.verb](settings)


def _serve(settings: MlSettings) -> None:
    from bookwheel_ml.serve import serve  # noqa: PLC0415 - see above

    serve(settings)


def _worker(settings: MlSettings) -> None:
    from bookwheel_ml.trainer import QUEUE, create_trainer  # noqa: PLC0415 - see above

    worker = ["worker", "--queues", QUEUE, "--concurrency", "1", "--loglevel", settings.log_level]
    create_trainer(settings).worker_main([*worker, "--without-gossip", "--without-mingle", "--without-heartbeat"])


def _worker_answers(settings: MlSettings) -> int:
    from bookwheel_ml.trainer import create_trainer  # noqa: PLC0415 - see above

    name = f"celery@{socket.gethostname()}"
    found = create_trainer(settings).control.ping(destination=[name], timeout=_PATIENCE)
    if not found:
        print(f"{name} does not answer within {_PATIENCE:.0f} s", file=sys.stderr)
    return 0 if found else 1


def _train(settings: MlSettings) -> None:
    from bookwheel_stores.records import BookReader, connect_database  # noqa: PLC0415 - see above

    from bookwheel_ml.evaluate import TooFewRatings  # noqa: PLC0415 - see above
    from bookwheel_ml.export import ExportNotEqual  # noqa: PLC0415 - see above
    from bookwheel_ml.mlflow_registry import MlflowRegistry  # noqa: PLC0415 - see above
    from bookwheel_ml.training import train_and_register  # noqa: PLC0415 - see above

    configure_logs("trainer", settings.log_level)
    engine = connect_database(settings.records_url)
    try:
        version = train_and_register(
            BookReader(engine), MlflowRegistry(settings.registry_uri), trees=settings.forest_trees
        )
    except (TooFewRatings, ExportNotEqual) as error:
        raise SystemExit(f"No model was registered. {error}") from None
    finally:
        engine.dispose()
    print(version.model_dump_json(indent=2))
