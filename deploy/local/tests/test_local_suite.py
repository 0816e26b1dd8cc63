"""A suite on one machine: `up`, the documented commands, `down`, and `up` again."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from bookwheel_local.processes import is_alive, suite_processes
from bookwheel_testing.process_kill import command_line, processes
from bookwheel_testing.servers import answers, wait_until
from bookwheel_testing.suite_under_test import COMMAND, SuiteUnderTest, free_port_base

from tools.documentation import errors

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteUnderTest]:
    suite = SuiteUnderTest(state=tmp_path_factory.mktemp("local") / "state", port_base=free_port_base(), books=1000)
    try:
        suite.up()
        yield suite
    finally:
        suite.down()


def local(suite: SuiteUnderTest, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [COMMAND, *arguments],
        env={**suite.environment, **settings},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_the_printed_example_requests_work(suite: SuiteUnderTest) -> None:
    commands = [line.strip() for line in suite.up_output.splitlines() if line.strip().startswith("curl ")]
    assert len(commands) == 3
    for command in commands:
        checked = command.replace("curl -s", "curl -sS --fail", 1)
        process = subprocess.run(
            ["/bin/bash", "-c", checked], cwd=ROOT, env=suite.environment, capture_output=True, text=True, check=False
        )
        assert process.returncode == 0, f"{command}\n{process.stderr}"
        assert process.stdout.startswith("{")


def test_the_commands_of_the_readme_print_the_documented_output(suite: SuiteUnderTest) -> None:
    replacements = {"127.0.0.1:8080": f"127.0.0.1:{suite.port_base}"}
    assert errors(ROOT / "README.md", folder=ROOT, environment=suite.environment, replacements=replacements) == []


def is_idle(suite: SuiteUnderTest) -> bool:
    """The command fails while a program that another test stopped is starting."""
    status = local(suite, "status")
    return status.returncode == 0 and "backlog: none" in status.stdout


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "runbooks").glob("*.md")), ids=lambda page: page.stem)
def test_the_commands_of_the_runbooks_print_the_documented_output(suite: SuiteUnderTest, page: Path) -> None:
    wait_until(lambda: is_idle(suite), seconds=180, what="an idle suite")
    assert errors(page, folder=ROOT, environment=suite.environment) == []


@pytest.mark.timeout(900)
def test_the_commands_of_read_the_lake_print_the_documented_output(suite: SuiteUnderTest) -> None:
    replacements = {"127.0.0.1:8080": f"127.0.0.1:{suite.port_base}"}
    page = ROOT / "docs" / "how-to" / "read-the-lake.md"
    assert errors(page, folder=ROOT, environment=suite.environment, replacements=replacements, seconds=400) == []


def test_any_command_can_be_run_with_the_environment_of_the_suite(suite: SuiteUnderTest) -> None:
    printed = suite.run_local_command("run", "env")
    assert f"\nBOOKWHEEL_DATABASE_URL={suite.program_environment['BOOKWHEEL_DATABASE_URL']}\n" in printed
    assert "in quarantine" in suite.run_local_command("run", "bookwheel-processor", "quarantine", "--limit", "1")
    assert "no-such-program can't be run" in local(suite, "run", "no-such-program").stderr
    assert "COMMAND is missing" in local(suite, "run").stderr


def program_ids(suite: SuiteUnderTest) -> dict[str, int]:
    """Returns the processes that supervisord started, without their children, such as Redis's short-lived ones."""
    return {name: state.pid for name, state in suite.supervisor.states().items()}


def test_other_engines_are_rejected_before_a_program_is_stopped(suite: SuiteUnderTest) -> None:
    before = program_ids(suite)
    process = local(suite, "up", BOOKWHEEL_ENGINES="cluster")
    assert process.returncode == 1
    assert "written with ENGINES=embedded" in process.stderr
    assert program_ids(suite) == before


def test_the_error_of_a_second_suite_names_the_used_port(suite: SuiteUnderTest, tmp_path: Path) -> None:
    process = local(suite, "up", BOOKWHEEL_STATE_DIR=str(tmp_path / "other"))
    assert process.returncode == 1
    assert f"port {suite.port_base} (for gateway) is in use" in process.stderr
    assert "BOOKWHEEL_PORT_BASE" in process.stderr
    assert suite_processes(tmp_path / "other") == []


def test_every_port_is_checked_before_the_start(suite: SuiteUnderTest, tmp_path: Path) -> None:
    base = free_port_base()
    with socket.create_server(("127.0.0.1", base + 6)):
        process = local(suite, "up", BOOKWHEEL_STATE_DIR=str(tmp_path / "other"), BOOKWHEEL_PORT_BASE=str(base))
    assert process.returncode == 1
    assert f"port {base + 6} " in process.stderr


def test_commands_without_a_running_suite_suggest_make_up(suite: SuiteUnderTest, tmp_path: Path) -> None:
    nowhere = {"BOOKWHEEL_STATE_DIR": str(tmp_path / "none"), "BOOKWHEEL_PORT_BASE": str(free_port_base())}
    for command in ("token", "crawl"):
        process = local(suite, command, **nowhere)
        assert process.returncode == 1
        assert "make up" in process.stderr
    assert local(suite, "status", **nowhere).returncode == 3
    assert local(suite, "down", **nowhere).returncode == 0


def test_a_rejected_crawl_fails_with_the_reason(suite: SuiteUnderTest) -> None:
    process = local(suite, "crawl", "--source", "no-such-shop")
    assert process.returncode == 1
    assert "the source is not declared" in process.stderr


def test_a_requested_start_url_in_a_private_network_is_rejected(suite: SuiteUnderTest) -> None:
    assert suite.get("/api/v1/crawls", params={"source": "demo", "state": "complete"})["items"]
    process = local(suite, "crawl", "--source", "toscrape", "--start-url", f"{suite.shop_url}/")
    assert process.returncode == 1
    assert "is in a private network" in process.stdout + process.stderr


def test_logs_prints_the_logs_of_the_selected_programs(suite: SuiteUnderTest) -> None:
    process = local(suite, "logs", "--no-follow", "processor")
    assert process.returncode == 0
    assert "processor-worker.log" in process.stdout
    assert "unknown program nothing" in local(suite, "logs", "nothing").stderr


def test_a_gateway_restarts_after_its_master_was_killed(suite: SuiteUnderTest) -> None:
    before = processes(suite, "gateway")
    os.kill(before[0], signal.SIGKILL)
    wait_until(
        lambda: answers(suite.url + "/livez") and not any(map(is_alive, before)), seconds=120, what="a new gateway"
    )
    assert set(processes(suite, "gateway")).isdisjoint(before)
    wait_until(
        lambda: local(suite, "status").returncode == 0,
        seconds=120,
        what="a gateway that supervisord reports as running",
    )


def permanent_processes(suite: SuiteUnderTest) -> list[int]:
    """Returns the suite's processes without nginx's cache loader, which ends one minute after the start."""
    return [pid for pid in suite_processes(suite.state) if "cache loader" not in command_line(pid)]


def test_a_second_up_changes_nothing_and_a_restart_loses_nothing(suite: SuiteUnderTest) -> None:
    before = permanent_processes(suite)
    books = suite.get("/api/v1/books", params={"limit": "1"})["total"]
    runs = len(suite.get("/api/v1/crawls")["items"])
    suite.up()
    assert permanent_processes(suite) == before

    suite.down()
    assert suite_processes(suite.state) == []
    suite.up()
    assert suite.get("/api/v1/books", params={"limit": "1"})["total"] == books
    assert len(suite.get("/api/v1/crawls")["items"]) == runs
    prediction = suite.post("/api/v1/ml/predictions", {"books": [{"title": "Any"}]})
    assert prediction["model"]["version"] == "1"
