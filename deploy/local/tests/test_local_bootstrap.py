"""`bootstrap.sh` in a small checkout, with a PATH that contains only selected programs."""

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
        self.add_program("id", "#!/bin/bash\necho 1000")
        for name in ("redis-server", "nginx", "curl"):
            self.add_program(name, "#!/bin/bash")
        (self.programs / "python3.11").symlink_to(sys.executable)
        self.add_program("uv", UV)
        for name in ("packages/one", "services", "demo-shop", "deploy/local"):
            (self.checkout / name).mkdir(parents=True)
        for script in (BOOTSTRAP, BOOTSTRAP.with_name("distribution.sh")):
            shutil.copy(script, self.checkout / "deploy/local")
        (self.checkout / "packages/one/pyproject.toml").write_text("[project]\n")
        (self.checkout / "requirements.lock").write_text("")

    def add_program(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)

    def remove_program(self, name: str) -> None:
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
        """Returns the arguments of each call of uv since the last call of this method."""
        path = self.programs / "uv-calls"
        calls = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return calls


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_environment_is_installed_from_the_lock_with_hashes(machine: Machine) -> None:
    process = machine.install()
    assert process.returncode == 0, process.stderr
    venv_call, sync_call, install_call = machine.uv_calls()
    assert venv_call.startswith("venv ")
    assert "--require-hashes requirements.lock" in sync_call
    assert install_call.endswith("--no-deps --no-build-isolation --editable packages/one")


def test_a_second_install_does_nothing_and_prints_nothing(machine: Machine) -> None:
    machine.install()
    machine.uv_calls()
    process = machine.install()
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
    assert machine.uv_calls() == []


@pytest.mark.parametrize("changed", ["requirements.lock", "packages/one/pyproject.toml"])
def test_changed_inputs_are_installed_into_the_same_environment(machine: Machine, changed: str) -> None:
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


def test_a_failed_install_prints_the_reason_and_can_be_repeated(machine: Machine) -> None:
    (machine.programs / "offline").touch()
    process = machine.install()
    assert process.returncode == 1
    assert "no network" in process.stderr
    (machine.programs / "offline").unlink()
    machine.uv_calls()
    assert machine.install().returncode == 0
    assert len(machine.uv_calls()) == 2


def test_an_install_prints_nothing_to_standard_output(machine: Machine) -> None:
    assert machine.install().stdout == ""


def test_without_root_the_error_shows_the_command_to_run(machine: Machine) -> None:
    machine.remove_program("redis-server")
    machine.remove_program("curl")
    machine.add_program("apt-get", "#!/bin/bash\nexit 1")
    process = machine.install()
    assert process.returncode == 1
    assert "sudo apt-get install redis-server curl" in process.stderr


def test_on_another_distribution_the_error_names_the_packages(machine: Machine) -> None:
    machine.remove_program("redis-server")
    process = machine.install()
    assert process.returncode == 1
    assert "missing: redis-server. Install them with your system's package manager" in process.stderr


def test_an_old_python_is_rejected(machine: Machine) -> None:
    machine.remove_program("python3.11")
    machine.add_program("python3", "#!/bin/bash\nexit 1")
    process = machine.install()
    assert process.returncode == 1
    assert "Python 3.11 or newer is needed" in process.stderr


def test_the_script_is_executable() -> None:
    assert os.access(BOOTSTRAP, os.X_OK)
