"""`bookwheel-local`: one machine, no containers. `make help` shows the same verbs."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bookwheel_contracts.crawls import RunState
from bookwheel_contracts.status import Level, SuiteStatus
from bookwheel_runtime.settings import load_settings

from bookwheel_local.containers import containers_url, remote_client
from bookwheel_local.crawling import accounting, follow, request_crawl
from bookwheel_local.errors import LocalError, NotRunningError, RequestFailedError
from bookwheel_local.first_steps import fill, first_steps
from bookwheel_local.layout import Layout
from bookwheel_local.progress import Progress
from bookwheel_local.settings import LocalSettings
from bookwheel_local.status import program_table, suite_text
from bookwheel_local.suite import Suite, recorded_port_base

_NOT_RUNNING = 3  # what init scripts answer for a program that is not running


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bookwheel-local", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("up", help="start everything, crawl the demo shop, train a first model")
    verbs.add_parser("down", help="stop everything; data stays")
    verbs.add_parser("status", help="programs and replicas, health, waiting work, freshness, latest crawls, models")
    logs = verbs.add_parser("logs", help="show the programs' logs")
    logs.add_argument("program", nargs="?", default="", help="the beginning of a program's name")
    logs.add_argument("--no-follow", action="store_true", help="print what there is and end")
    crawl = verbs.add_parser("crawl", help="crawl a source and follow it until all is searchable")
    crawl.add_argument("--source", default="demo")
    crawl.add_argument("--start-url")
    verbs.add_parser("token", help="print an access token of the demo user")
    backup = verbs.add_parser("backup", help="copy records, models, lake and keys, also while the suite runs")
    backup.add_argument("--to", type=Path, help="a new folder; by default one in the state folder, named by the time")
    restoring = verbs.add_parser("restore", help="fill an empty state folder from a backup")
    restoring.add_argument("--from", dest="source", type=Path, required=True, help="the backup's folder")
    restoring.add_argument("--force", action="store_true", help="move the data that is here aside")
    command = verbs.add_parser("run", help="run a command with the environment of the suite's programs")
    command.add_argument("command", nargs=argparse.REMAINDER, help="such as: bookwheel-processor quarantine")
    return parser


def _settings() -> LocalSettings:
    """A suite that runs keeps its ports for every verb, also where the variable is not set any more."""
    settings = load_settings(LocalSettings)
    if "port_base" not in settings.model_fields_set:
        recorded = recorded_port_base(Layout.of(settings))
        if recorded is not None:
            return settings.model_copy(update={"port_base": recorded})
    return settings


def _up(suite: Suite, progress: Progress) -> int:
    suite.start(progress)
    suite.ensure_demo_user()
    progress.done(f"{len(suite.programs)} programs ready")
    with suite.client() as client:
        fill(client, progress)
        print(first_steps(client, suite.layout.gateway_url))
    return 0


def _down(suite: Suite, progress: Progress) -> int:
    stopped = suite.stop(progress)
    progress.done(f"stopped; the data stays in {suite.layout.data}" if stopped else "nothing was running")
    return 0


def _status(suite: Suite) -> int:
    """Of the suite that the settings name, else of this machine's, else of the one in containers here."""
    url = suite.settings.url
    healths = [] if url else suite.healths()
    if healths:
        print(f"{program_table(healths)}\n\n{suite.layout.gateway_url}")
        client = suite.client()
    elif (found := url or containers_url()) is not None:
        print(found)
        client = remote_client(suite.settings, found)
    else:
        print("the suite does not run here; start it with: make up")
        return _NOT_RUNNING
    try:
        with client:
            told = SuiteStatus.model_validate(client.get("/api/v1/status"))
    except (RequestFailedError, NotRunningError) as error:
        print(f"status: {error}")
        return 1
    print(suite_text(told))
    return 0 if told.status is Level.OK and all(health.ready for health in healths) else 1


def _logs(suite: Suite, program: str, *, follow: bool) -> int:
    """Becomes `tail`."""
    names = [known.name for known in suite.programs if known.name.startswith(program)]
    if not names:
        raise LocalError(f"no program is called {program}; there are {', '.join(p.name for p in suite.programs)}")
    files = [path for name in names if (path := suite.layout.logs / f"{name}.log").exists()]
    if not files:
        raise LocalError("there are no logs yet")
    options = ["-n", "100", *(["-F"] if follow else [])]
    os.execvp("tail", ["tail", *options, *map(str, files)])  # noqa: S606, S607 - the user's own tail


def _crawl(suite: Suite, source: str, start_url: str | None, progress: Progress) -> int:
    with suite.client() as client:
        run = follow(client, request_crawl(client, source, start_url), progress)
    print(accounting(run))
    return 0 if run.state is RunState.COMPLETE else 1


def _token(suite: Suite) -> int:
    with suite.client() as client:
        print(client.token())
    return 0


def _backup(suite: Suite, folder: Path | None, progress: Progress) -> int:
    from bookwheel_local.backup import back_up  # noqa: PLC0415 - takes as long as all the other imports

    target = folder or suite.layout.state / "backups" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    manifest = back_up(suite, target.absolute(), progress)
    progress.end_line()
    print(f"{target}: {len(manifest.files):,} files, {manifest.size / 1e6:,.1f} MB. It holds keys and passwords.")
    return 0


def _restore(settings: LocalSettings, folder: Path, progress: Progress, *, force: bool) -> int:
    from bookwheel_local.backup import restore  # noqa: PLC0415 - see above

    kept = restore(settings, folder.absolute(), progress, force=force)
    progress.end_line()
    print("restored; next: make up" + (f". What was here before is in {kept}" if kept else ""))
    return 0


def _run(suite: Suite, command: list[str]) -> int:
    """Becomes the command; the suite's own programs are found without a path."""
    if not command:
        raise LocalError("which command? As in: bookwheel-local run bookwheel-processor quarantine")
    environment = {**os.environ, **suite.environment}
    environment["PATH"] = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - the user's own command
    except OSError as error:
        raise LocalError(f"{command[0]} can't be run: {error.strerror}") from error


def run(arguments: argparse.Namespace, progress: Progress) -> int:
    settings = _settings()
    suite = Suite(settings)
    verbs: dict[str, Callable[[], int]] = {
        "up": lambda: _up(suite, progress),
        "down": lambda: _down(suite, progress),
        "status": lambda: _status(suite),
        "logs": lambda: _logs(suite, arguments.program, follow=not arguments.no_follow),
        "crawl": lambda: _crawl(suite, arguments.source, arguments.start_url, progress),
        "token": lambda: _token(suite),
        "backup": lambda: _backup(suite, arguments.to, progress),
        "restore": lambda: _restore(settings, arguments.source, progress, force=arguments.force),
        "run": lambda: _run(suite, arguments.command),
    }
    return verbs[arguments.verb]()


def main() -> None:
    arguments = _parser().parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `make status | head` ends quietly
    progress = Progress(sys.stderr)
    try:
        status = run(arguments, progress)
    except LocalError as error:
        progress.end_line()
        raise SystemExit(f"bookwheel-local: {error}") from error
    except KeyboardInterrupt:
        progress.end_line()
        print("interrupted; what runs goes on: make status, make down", file=sys.stderr)
        status = 130
    raise SystemExit(status)
