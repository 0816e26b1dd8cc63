"""`bootstrap.sh` in a small checkout, on a machine of which only the PATH is made up."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BOOTSTRAP = Path(__file__).resolve().parents[1] / "bootstrap.sh"
TOOLS = (
    *("bash", "cat", "chmod", "cut", "dirname", "env", "find", "flock", "ln", "mkdir", "mktemp", "mv"),
    *("printf", "rm", "sha256sum", "sort", "tail", "tee"),
)
UV = f"""#!/bin/bash
[ "$1" != --version ] || exit 0
echo "$@" >>"$(dirname "$0")/uv-calls"
if [ "$1" = venv ]; then mkdir -p "${{@: -1}}/bin" && ln -sf {sys.executable} "${{@: -1}}/bin/python"; fi
[ "$2" != sync ] || [ ! -e "$(dirname "$0")/offline" ] || {{ echo 'no network'; exit 2; }}
"""


class Machine:
    def __init__(self, folder: Path) -> None:
        self.programs = folder / "bin"
        self.checkout = folder / "checkout"
        self.programs.mkdir()
        for name in TOOLS:
            (self.programs / name).symlink_to(shutil.which(name) or name)
        self.give("id", "#!/bin/bash\necho 1000")
        for name in ("redis-server", "nginx", "curl"):
            self.give(name, "#!/bin/bash")
        (self.programs / "python3.11").symlink_to(sys.executable)
        self.give("uv", UV)
        for name in ("packages/one", "services", "demo-shop", "deploy/local"):
            (self.checkout / name).mkdir(parents=True)
        for script in (BOOTSTRAP, BOOTSTRAP.with_name("distribution.sh")):
            shutil.copy(script, self.checkout / "deploy/local")
        (self.checkout / "packages/one/pyproject.toml").write_text("[project]\n")
        (self.checkout / "requirements.lock").write_text("")

    def give(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)

    def take(self, name: str) -> None:
        (self.programs / name).unlink()

    def install(self) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.checkout / "deploy/local/bootstrap.sh"],
            env={"PATH": str(self.programs), "HOME": str(self.checkout)},
            capture_output=True,
            text=True,
            check=False,
        )

    def uv_calls(self) -> list[str]:
        """What uv was asked since the last time."""
        path = self.programs / "uv-calls"
        calls = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return calls


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_environment_is_made_from_the_lock_with_hashes_and_our_parts_on_top(machine: Machine) -> None:
    done = machine.install()
    assert done.returncode == 0, done.stderr
    made, synced, installed = machine.uv_calls()
    assert made.startswith("venv ")
    assert "--require-hashes requirements.lock" in synced
    assert installed.endswith("--no-deps --no-build-isolation --editable packages/one")


def test_a_second_time_there_is_nothing_to_do_and_nothing_to_say(machine: Machine) -> None:
    machine.install()
    machine.uv_calls()
    done = machine.install()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.uv_calls() == []


@pytest.mark.parametrize("changed", ["requirements.lock", "packages/one/pyproject.toml"])
def test_what_changed_is_installed_again_into_the_same_environment(machine: Machine, changed: str) -> None:
    machine.install()
    machine.uv_calls()
    (machine.checkout / changed).write_text("changed")
    assert machine.install().returncode == 0
    assert [call.split()[:2] for call in machine.uv_calls()] == [["pip", "sync"], ["pip", "install"]]


def test_a_moved_checkout_is_installed_again(machine: Machine) -> None:
    machine.install()
    machine.uv_calls()
    machine.checkout = machine.checkout.rename(machine.checkout.with_name("elsewhere"))
    assert machine.install().returncode == 0
    assert len(machine.uv_calls()) == 2


def test_an_installation_that_failed_shows_why_and_is_tried_again(machine: Machine) -> None:
    (machine.programs / "offline").touch()
    done = machine.install()
    assert done.returncode == 1
    assert "no network" in done.stderr
    (machine.programs / "offline").unlink()
    machine.uv_calls()
    assert machine.install().returncode == 0
    assert len(machine.uv_calls()) == 2


def test_output_belongs_to_the_target(machine: Machine) -> None:
    assert machine.install().stdout == ""


def test_without_root_the_message_is_the_command_to_run(machine: Machine) -> None:
    machine.take("redis-server")
    machine.take("curl")
    machine.give("apt-get", "#!/bin/bash\nexit 1")
    done = machine.install()
    assert done.returncode == 1
    assert "sudo apt-get install redis-server curl" in done.stderr


def test_on_another_distribution_the_message_names_the_packages(machine: Machine) -> None:
    machine.take("redis-server")
    done = machine.install()
    assert done.returncode == 1
    assert "missing: redis-server. Install them with your system's package manager" in done.stderr


def test_an_old_python_is_not_enough(machine: Machine) -> None:
    machine.take("python3.11")
    machine.give("python3", "#!/bin/bash\nexit 1")
    done = machine.install()
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr


def test_the_script_is_executable_in_the_repository() -> None:
    assert os.access(BOOTSTRAP, os.X_OK)
