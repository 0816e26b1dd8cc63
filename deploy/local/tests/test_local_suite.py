"""A whole suite from nothing: `up`, what README shows of it, `down`, and `up` again."""

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


def test_the_closing_words_hold_commands_that_work_as_printed(suite: SuiteUnderTest) -> None:
    commands = [line.strip() for line in suite.up_output.splitlines() if line.strip().startswith("curl ")]
    assert len(commands) == 3
    for command in commands:
        checked = command.replace("curl -s", "curl -sS --fail", 1)
        done = subprocess.run(
            ["/bin/bash", "-c", checked], cwd=ROOT, env=suite.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert done.stdout.startswith("{")


def test_the_readme_shows_what_is(suite: SuiteUnderTest) -> None:
    replacements = {"127.0.0.1:8080": f"127.0.0.1:{suite.port_base}"}
    assert errors(ROOT / "README.md", folder=ROOT, environment=suite.environment, replacements=replacements) == []


def is_idle(suite: SuiteUnderTest) -> bool:
    """A program that another test has stopped may be starting: then the command fails."""
    status = local(suite, "status")
    return status.returncode == 0 and "waiting: nothing" in status.stdout


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "runbooks").glob("*.md")), ids=lambda page: page.stem)
def test_the_runbooks_show_what_is(suite: SuiteUnderTest, page: Path) -> None:
    wait_until(lambda: is_idle(suite), seconds=180, what="an idle suite")
    assert errors(page, folder=ROOT, environment=suite.environment) == []


@pytest.mark.timeout(900)
def test_the_lake_is_read_as_the_how_to_says(suite: SuiteUnderTest) -> None:
    replacements = {"127.0.0.1:8080": f"127.0.0.1:{suite.port_base}"}
    page = ROOT / "docs" / "how-to" / "read-the-lake.md"
    assert errors(page, folder=ROOT, environment=suite.environment, replacements=replacements, seconds=400) == []


def test_any_command_can_be_run_with_the_suites_addresses(suite: SuiteUnderTest) -> None:
    printed = suite.run_local_command("run", "env")
    assert f"\nBOOKWHEEL_DATABASE_URL={suite.program_environment['BOOKWHEEL_DATABASE_URL']}\n" in printed
    assert "in quarantine" in suite.run_local_command("run", "bookwheel-processor", "quarantine", "--limit", "1")
    assert "no-such-program can't be run" in local(suite, "run", "no-such-program").stderr
    assert "COMMAND is missing" in local(suite, "run").stderr


def program_ids(suite: SuiteUnderTest) -> dict[str, int]:
    """The processes that supervisord started. Their own children come and go, as Redis' that rewrites its file."""
    return {name: state.pid for name, state in suite.supervisor.states().items()}


def test_other_engines_for_the_same_data_are_refused_before_anything_is_stopped(suite: SuiteUnderTest) -> None:
    before = program_ids(suite)
    done = local(suite, "up", BOOKWHEEL_ENGINES="cluster")
    assert done.returncode == 1
    assert "written with ENGINES=embedded" in done.stderr
    assert program_ids(suite) == before


def test_a_suite_of_another_checkout_names_the_port_that_is_taken(suite: SuiteUnderTest, tmp_path: Path) -> None:
    done = local(suite, "up", BOOKWHEEL_STATE_DIR=str(tmp_path / "other"))
    assert done.returncode == 1
    assert f"port {suite.port_base} (for gateway) is in use" in done.stderr
    assert "BOOKWHEEL_PORT_BASE" in done.stderr
    assert suite_processes(tmp_path / "other") == []


def test_any_of_the_ports_is_looked_at_before_a_start(suite: SuiteUnderTest, tmp_path: Path) -> None:
    base = free_port_base()
    with socket.create_server(("127.0.0.1", base + 6)):
        done = local(suite, "up", BOOKWHEEL_STATE_DIR=str(tmp_path / "other"), BOOKWHEEL_PORT_BASE=str(base))
    assert done.returncode == 1
    assert f"port {base + 6} " in done.stderr


def test_commands_without_a_running_suite_fail_with_make_up(suite: SuiteUnderTest, tmp_path: Path) -> None:
    nowhere = {"BOOKWHEEL_STATE_DIR": str(tmp_path / "none"), "BOOKWHEEL_PORT_BASE": str(free_port_base())}
    for command in ("token", "crawl"):
        done = local(suite, command, **nowhere)
        assert done.returncode == 1
        assert "make up" in done.stderr
    assert local(suite, "status", **nowhere).returncode == 3
    assert local(suite, "down", **nowhere).returncode == 0


def test_a_crawl_that_is_refused_fails_with_the_reason(suite: SuiteUnderTest) -> None:
    done = local(suite, "crawl", "--source", "no-such-shop")
    assert done.returncode == 1
    assert "the source is not declared" in done.stderr


def test_a_start_url_in_a_private_network_is_refused_although_the_demo_shop_is_crawled(suite: SuiteUnderTest) -> None:
    assert suite.get("/api/v1/crawls", params={"source": "demo", "state": "complete"})["items"]
    done = local(suite, "crawl", "--source", "toscrape", "--start-url", f"{suite.shop_url}/")
    assert done.returncode == 1
    assert "is in a private network" in done.stdout + done.stderr


def test_logs_are_printed_for_one_program_and_unknown_ones_are_named(suite: SuiteUnderTest) -> None:
    done = local(suite, "logs", "--no-follow", "processor")
    assert done.returncode == 0
    assert "processor-worker.log" in done.stdout
    assert "unknown program nothing" in local(suite, "logs", "nothing").stderr


def test_a_gateway_whose_master_was_killed_comes_back_without_the_workers_it_left(suite: SuiteUnderTest) -> None:
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


def lasting(suite: SuiteUnderTest) -> list[int]:
    """Without nginx's cache loader, which ends by itself a minute after the start."""
    return [pid for pid in suite_processes(suite.state) if "cache loader" not in command_line(pid)]


def test_up_again_changes_nothing_and_down_and_up_lose_nothing(suite: SuiteUnderTest) -> None:
    before = lasting(suite)
    books = suite.get("/api/v1/books", params={"limit": "1"})["total"]
    runs = len(suite.get("/api/v1/crawls")["items"])
    suite.up()
    assert lasting(suite) == before

    suite.down()
    assert suite_processes(suite.state) == []
    suite.up()
    assert suite.get("/api/v1/books", params={"limit": "1"})["total"] == books
    assert len(suite.get("/api/v1/crawls")["items"]) == runs
    prediction = suite.post("/api/v1/ml/predictions", {"books": [{"title": "Any"}]})
    assert prediction["model"]["version"] == "1"
