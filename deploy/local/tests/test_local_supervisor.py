import os
import signal
import sys
from collections.abc import Sequence

import pytest
from bookwheel_local.errors import ProcessFailedError
from bookwheel_local.layout import PROCESS_MARKER, Layout
from bookwheel_local.processes import is_alive, port_is_free, suite_processes, terminate
from bookwheel_local.programs import Program, Stage
from bookwheel_local.readiness import probe_all
from bookwheel_local.supervisor import Supervisor, render_configuration
from bookwheel_testing.servers import free_port, wait_until

SLEEP = "import time; time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)
SHOW = "import os, time; print(os.environ['GREETING'], os.environ['COMMON'], flush=True); time.sleep(600)"


def python(name: str, code: str, **options: object) -> Program:
    return Program(name, (sys.executable, "-c", code), **options)  # type: ignore[arg-type]


def web(port: int) -> Program:
    command = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port))
    return Program("web", command, Stage.EDGE, (port,), f"http://127.0.0.1:{port}/")


def start(supervisor: Supervisor, layout: Layout, programs: Sequence[Program], **environment: str) -> str:
    variables = {PROCESS_MARKER: str(layout.state_dir), **environment}
    text = render_configuration(layout, programs, variables)
    supervisor.start(text, variables)
    supervisor.start_programs(programs)
    return text


def running(supervisor: Supervisor, name: str) -> bool:
    return supervisor.states()[name].state == "RUNNING"


def all_ready(supervisor: Supervisor, programs: Sequence[Program]) -> bool:
    return all(health.ready for health in probe_all(programs, supervisor.states()))


def test_programs_start_and_stop(supervisor: Supervisor, layout: Layout) -> None:
    programs = [python("one", SLEEP, stage=Stage.BASE), python("two", SLEEP), web(free_port())]
    start(supervisor, layout, programs)
    wait_until(lambda: all_ready(supervisor, programs), seconds=60, what="all ready")
    pids = suite_processes(layout.state_dir)
    assert len(pids) == 4  # with supervisord
    supervisor.stop()
    assert supervisor.pid() is None
    assert not any(is_alive(pid) for pid in pids)
    assert suite_processes(layout.state_dir) == []


def test_a_killed_program_is_restarted(supervisor: Supervisor, layout: Layout) -> None:
    start(supervisor, layout, [python("one", SLEEP)])
    wait_until(lambda: running(supervisor, "one"), seconds=60, what="started")
    first = supervisor.states()["one"].pid
    os.kill(first, signal.SIGKILL)
    wait_until(
        lambda: running(supervisor, "one") and supervisor.states()["one"].pid != first, seconds=60, what="started again"
    )


def test_programs_of_a_killed_supervisor_can_be_terminated(supervisor: Supervisor, layout: Layout) -> None:
    start(supervisor, layout, [python("one", SLEEP), python("two", SLEEP)])
    wait_until(lambda: running(supervisor, "one") and running(supervisor, "two"), seconds=60, what="started")
    pid = supervisor.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), seconds=30, what="supervisord ended")
    assert supervisor.pid() is None
    orphans = suite_processes(layout.state_dir)
    assert len(orphans) == 2
    assert terminate(orphans, seconds=20) == []
    assert suite_processes(layout.state_dir) == []


def test_a_process_that_ignores_sigterm_is_killed(supervisor: Supervisor, layout: Layout) -> None:
    start(supervisor, layout, [python("one", STUBBORN)])
    log = layout.logs / "one.log"
    wait_until(lambda: log.exists() and "deaf" in log.read_text(), seconds=60, what="deaf")
    pid = supervisor.states()["one"].pid
    assert terminate([pid], seconds=0.3) == []


def test_special_characters_in_the_environment_are_preserved(supervisor: Supervisor, layout: Layout) -> None:
    odd = Program("odd", (sys.executable, "-c", SHOW), environment={"GREETING": "100%(x)s, a b"})
    start(supervisor, layout, [odd], COMMON="50% \"quoted\" 'text'")
    log = layout.logs / "odd.log"
    wait_until(lambda: log.exists() and log.read_text().endswith("\n"), seconds=60, what="output")
    assert log.read_text() == "100%(x)s, a b 50% \"quoted\" 'text'\n"


def test_starting_again_does_not_restart_programs(supervisor: Supervisor, layout: Layout) -> None:
    programs = [python("one", SLEEP)]
    text = start(supervisor, layout, programs)
    wait_until(lambda: running(supervisor, "one"), seconds=60, what="started")
    first = supervisor.states()["one"].pid
    assert supervisor.is_running_with(text)
    supervisor.start_programs(programs)
    assert supervisor.states()["one"].pid == first


def test_other_settings_change_the_configuration(layout: Layout) -> None:
    programs = [python("one", SLEEP)]
    assert render_configuration(layout, programs, {"A": "1"}) == render_configuration(layout, programs, {"A": "1"})
    assert render_configuration(layout, programs, {"A": "1"}) != render_configuration(layout, programs, {"A": "2"})


def test_the_configuration_contains_no_secrets(layout: Layout) -> None:
    assert "hunter2" not in render_configuration(
        layout, [python("one", SLEEP)], {"BOOKWHEEL_REDIS_URL": "redis://:hunter2@h"}
    )


def test_the_error_of_a_missing_program_names_it(supervisor: Supervisor, layout: Layout) -> None:
    with pytest.raises(ProcessFailedError, match=r"(?s)ghost can't be started.*no-such-program"):
        start(supervisor, layout, [Program("ghost", ("/no-such-program",))])


def test_a_program_that_always_fails_is_not_ready(supervisor: Supervisor, layout: Layout) -> None:
    programs = [python("broken", "raise SystemExit('no such table')")]
    start(supervisor, layout, programs)
    wait_until(lambda: supervisor.states()["broken"].state == "BACKOFF", seconds=60, what="waiting for a restart")
    health = probe_all(programs, supervisor.states())[0]
    assert not health.ready
    assert "Exited too quickly" in (health.reason or "")


def test_a_port_is_free_while_no_server_listens(supervisor: Supervisor, layout: Layout) -> None:
    port = free_port()
    assert port_is_free(port)
    program = web(port)
    start(supervisor, layout, [program])
    wait_until(lambda: all_ready(supervisor, [program]), seconds=60, what="served")
    assert not port_is_free(port)
    supervisor.stop()
    assert port_is_free(port)
