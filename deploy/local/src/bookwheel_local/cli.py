"""`bookwheel-local`: the suite on one machine, without containers. The Makefile has a target for each command."""

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

from bookwheel_local.compose import compose_url, remote_client
from bookwheel_local.crawling import crawl_summary, follow_crawl, get_field_faults, request_crawl
from bookwheel_local.demo_data import example_requests, load_demo_data
from bookwheel_local.errors import LocalError, NotRunningError, RequestFailedError
from bookwheel_local.layout import Layout
from bookwheel_local.local_suite import LocalSuite, saved_port_base
from bookwheel_local.progress import ProgressLine
from bookwheel_local.settings import LocalSettings
from bookwheel_local.status_text import program_table, suite_text

_NOT_RUNNING = 3  # the exit status of init scripts for a stopped program


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bookwheel-local", description=__doc__)
    subcommands = parser.add_subparsers(dest="subcommand", required=True)
    subcommands.add_parser("up", help="start everything, crawl the demo shop, train a first model")
    subcommands.add_parser("down", help="stop everything; data stays")
    subcommands.add_parser("status", help="show programs, replicas, health, backlog, freshness, crawls and models")
    logs_parser = subcommands.add_parser("logs", help="show the programs' logs")
    logs_parser.add_argument("program", nargs="?", default="", help="a program's name or its beginning")
    logs_parser.add_argument("--no-follow", action="store_true", help="print the current logs and exit")
    crawl_parser = subcommands.add_parser("crawl", help="crawl a source and follow it until its items are searchable")
    crawl_parser.add_argument("--source", default="demo")
    crawl_parser.add_argument("--start-url")
    subcommands.add_parser("token", help="print an access token of the demo user")
    backup_parser = subcommands.add_parser(
        "backup", help="copy records, models, lake and keys, also of a running suite"
    )
    backup_parser.add_argument(
        "--to", type=Path, help="a new folder (default: in the state folder, named after the current time)"
    )
    restore_parser = subcommands.add_parser("restore", help="fill an empty state folder from a backup")
    restore_parser.add_argument("--from", dest="backup_folder", type=Path, required=True, help="the backup's folder")
    restore_parser.add_argument("--force", action="store_true", help="move existing data aside")
    run_parser = subcommands.add_parser("run", help="run a command with the environment of the suite's programs")
    run_parser.add_argument("command", nargs=argparse.REMAINDER, help="for example: bookwheel-processor quarantine")
    return parser


def _settings() -> LocalSettings:
    """Returns the settings with the ports of the running suite, even if the variable is no longer set."""
    settings = load_settings(LocalSettings)
    if "port_base" not in settings.model_fields_set:
        port_base = saved_port_base(Layout.from_settings(settings))
        if port_base is not None:
            return settings.model_copy(update={"port_base": port_base})
    return settings


def _up(suite: LocalSuite, progress: ProgressLine) -> int:
    suite.start(progress)
    suite.ensure_demo_user()
    progress.finish(f"{len(suite.programs)} programs ready")
    with suite.client() as client:
        load_demo_data(client, progress)
        print(example_requests(client, suite.layout.gateway_url))
    return 0


def _down(suite: LocalSuite, progress: ProgressLine) -> int:
    stopped = suite.stop(progress)
    progress.finish(f"stopped; the data stays in {suite.layout.data}" if stopped else "nothing was running")
    return 0


def _status(suite: LocalSuite) -> int:
    """Shows the suite at the URL of the settings, else the suite of this state folder, else the suite in containers."""
    url = suite.settings.url
    programs = [] if url else suite.program_health()
    if programs:
        print(f"{program_table(programs)}\n\n{suite.layout.gateway_url}")
        client = suite.client()
    elif (other_url := url or compose_url()) is not None:
        print(other_url)
        client = remote_client(suite.settings, other_url)
    else:
        print("the suite is not running: start it with `make up`")
        return _NOT_RUNNING
    try:
        with client:
            status = SuiteStatus.model_validate(client.get("/api/v1/status"))
    except (RequestFailedError, NotRunningError) as error:
        print(f"status: {error}")
        return 1
    print(suite_text(status))
    return 0 if status.status is Level.OK and all(health.ready for health in programs) else 1


def _logs(suite: LocalSuite, program: str, *, follow: bool) -> int:
    """Replaces this process with `tail`."""
    names = [candidate.name for candidate in suite.programs if candidate.name.startswith(program)]
    if not names:
        raise LocalError(
            f"unknown program {program}; choose from {', '.join(candidate.name for candidate in suite.programs)}"
        )
    files = [path for name in names if (path := suite.layout.logs / f"{name}.log").exists()]
    if not files:
        raise LocalError("there are no logs yet")
    options = ["-n", "100", *(["-F"] if follow else [])]
    os.execvp("tail", ["tail", *options, *map(str, files)])  # noqa: S606, S607 - the user's own tail


def _crawl(suite: LocalSuite, source: str, start_url: str | None, progress: ProgressLine) -> int:
    with suite.client() as client:
        run = follow_crawl(client, request_crawl(client, source, start_url), progress)
        field_faults = get_field_faults(client, run)
    print(crawl_summary(run, field_faults))
    return 0 if run.state is RunState.COMPLETE else 1


def _token(suite: LocalSuite) -> int:
    with suite.client() as client:
        print(client.token())
    return 0


def _backup(suite: LocalSuite, folder: Path | None, progress: ProgressLine) -> int:
    from bookwheel_local.backup import back_up  # noqa: PLC0415 - it takes as long as all other imports

    target = folder or suite.layout.state_dir / "backups" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    manifest = back_up(suite, target.absolute(), progress)
    progress.clear()
    print(f"{target}: {len(manifest.files):,} files, {manifest.size / 1e6:,.1f} MB. It contains keys and passwords.")
    return 0


def _restore(settings: LocalSettings, folder: Path, progress: ProgressLine, *, force: bool) -> int:
    from bookwheel_local.backup import restore  # noqa: PLC0415 - see above

    previous_data = restore(settings, folder.absolute(), progress, force=force)
    progress.clear()
    print("restored. Run `make up`." + (f" The previous data is in {previous_data}." if previous_data else ""))
    return 0


def _run(suite: LocalSuite, command: list[str]) -> int:
    """Replaces this process with the command. The suite's own programs need no path."""
    if not command:
        raise LocalError("COMMAND is missing: for example COMMAND='bookwheel-processor quarantine'")
    environment = {**os.environ, **suite.environment}
    environment["PATH"] = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - the user's own command
    except OSError as error:
        raise LocalError(f"{command[0]} can't be run: {error.strerror}") from error


def run(arguments: argparse.Namespace, progress: ProgressLine) -> int:
    settings = _settings()
    suite = LocalSuite(settings)
    subcommands: dict[str, Callable[[], int]] = {
        "up": lambda: _up(suite, progress),
        "down": lambda: _down(suite, progress),
        "status": lambda: _status(suite),
        "logs": lambda: _logs(suite, arguments.program, follow=not arguments.no_follow),
        "crawl": lambda: _crawl(suite, arguments.source, arguments.start_url, progress),
        "token": lambda: _token(suite),
        "backup": lambda: _backup(suite, arguments.to, progress),
        "restore": lambda: _restore(settings, arguments.backup_folder, progress, force=arguments.force),
        "run": lambda: _run(suite, arguments.command),
    }
    return subcommands[arguments.subcommand]()


def main() -> None:
    arguments = _parser().parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `make status | head` ends quietly
    progress = ProgressLine(sys.stderr)
    try:
        status = run(arguments, progress)
    except LocalError as error:
        progress.clear()
        raise SystemExit(f"bookwheel-local: {error}") from error
    except KeyboardInterrupt:
        progress.clear()
        print("interrupted; running programs continue: see `make status`, stop them with `make down`", file=sys.stderr)
        status = 130
    raise SystemExit(status)
