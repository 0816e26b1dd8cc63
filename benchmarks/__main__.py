"""`make bench`: every benchmark in turn, each in a process of its own; ends with the table."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.harness import HEADER, RESULTS, Result

HERE = Path(__file__).parent


def main(wanted: list[str]) -> int:
    """Runs `bench_*.py`, or those whose names hold one of `wanted`; status 1 where a bound was missed."""
    scripts = sorted(HERE.glob("bench_*.py"))
    chosen = [script for script in scripts if not wanted or any(word in script.stem for word in wanted)]
    if not chosen:
        print(f"no benchmark is named like {' '.join(wanted)}: {' '.join(script.stem for script in scripts)}")
        return 2
    broken = []
    for script in chosen:
        print(f"\n== {script.stem}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{script.stem}"], check=False).returncode != 0:
            broken.append(script.stem)
    results = [Result(**entry) for entry in json.loads(RESULTS.read_text())] if RESULTS.exists() else []
    print("\n" + HEADER)
    for entry in results:
        print(entry.line())
    for name in broken:
        print(f"{name} did not finish")
    return 1 if broken or not all(entry.holds for entry in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
