"""`make bench`: runs every benchmark in its own process and prints the table of results."""

import subprocess
import sys
from pathlib import Path

from benchmarks.harness import NOT_INSTALLED
from benchmarks.results import HEADER, describe_machine, load

HERE = Path(__file__).parent


def main(words: list[str]) -> int:
    """Runs each `bench_*.py` whose name contains one of the words, or all.

    Returns 1 if a bound was missed, a benchmark failed, or an engine is not installed.
    """
    scripts = sorted(HERE.glob("bench_*.py"))
    selected = [script for script in scripts if not words or any(word in script.stem for word in words)]
    if not selected:
        print(f"no benchmark matches {' '.join(words)}; there are: {' '.join(script.stem for script in scripts)}")
        return 2
    print(describe_machine())
    failures = []
    for script in selected:
        print(f"\n== {script.stem}", flush=True)
        status = subprocess.run([sys.executable, "-m", f"benchmarks.{script.stem}"], check=False).returncode
        if status == NOT_INSTALLED:
            failures.append(f"{script.stem} was skipped: its engine is not installed")
        elif status != 0:
            failures.append(f"{script.stem} failed with status {status}")
    results = load()
    print("\n" + HEADER)
    for result in results:
        print(result.line())
    for failure in failures:
        print(failure)
    return 1 if failures or not all(result.holds for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
