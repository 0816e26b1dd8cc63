"""Builds a Bento of ML serving, for `bentoml serve` and `bentoml containerize`."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
SERVICE = ROOT / "services" / "ml-serving"
PROJECTS = (*(ROOT / "packages" / name for name in ("contracts", "runtime", "stores")), SERVICE)
UV_FOLDER = ROOT / ".bookwheel" / "tools" / "bin"
"""The folder where `make install` installs uv if the machine does not have it."""


def build_bento() -> str:
    """Builds a Bento in `BENTOML_HOME` and returns its tag. Raises CalledProcessError."""
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}{os.pathsep}{UV_FOLDER}", "BENTOML_DO_NOT_TRACK": "True"}
    uv = shutil.which("uv", path=environment["PATH"]) or "uv"
    with tempfile.TemporaryDirectory(prefix="bookwheel-bento-") as folder:
        for project in PROJECTS:
            # `make install` has installed the build backend, so this needs no registry.
            options = ["--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", f"{folder}/wheels"]
            subprocess.run([uv, "build", "--quiet", *options, project], check=True)
        for name in ("requirements.lock", "README.md"):
            shutil.copy(SERVICE / name, folder)
        bentofile = yaml.safe_load((SERVICE / "bentofile.yaml").read_text())
        bentofile["python"]["wheels"] = sorted(f"wheels/{wheel.name}" for wheel in Path(folder, "wheels").glob("*.whl"))
        Path(folder, "bentofile.yaml").write_text(yaml.safe_dump(bentofile))
        bentoml = Path(sys.executable).with_name("bentoml")
        process = subprocess.run(
            [bentoml, "build", ".", "--output", "tag"],
            cwd=folder,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    return process.stdout.strip().removeprefix("__tag__:")


if __name__ == "__main__":
    print(build_bento())
