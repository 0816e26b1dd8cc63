"""`python -m bookwheel_local.heir STATE PROGRAM …`: ends what a killed predecessor left, then becomes the program.

nginx's workers outlive a master that was killed: they go on serving, and hold the port that a new master needs.
"""

import os
import sys
from pathlib import Path

from bookwheel_local.processes import end, suite_processes

_SECONDS = 2.0


def main() -> None:
    state, *command = sys.argv[1:]
    name = Path(command[0]).name
    end([pid for pid in suite_processes(Path(state)) if _name(pid) == name], seconds=_SECONDS)
    os.execvp(command[0], command)  # noqa: S606 - the supervisor's own command


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
