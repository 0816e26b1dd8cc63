"""`python -m bookwheel_local.exec_after_cleanup STATE PROGRAM …`: ends leftover processes of PROGRAM, then execs it.

nginx's workers survive a killed master. They keep serving, and keep the port that the new master needs. supervisord
only signals the group of a process that it stops itself.
"""

import os
import sys
from pathlib import Path

from bookwheel_local.processes import suite_processes, terminate

_SECONDS = 2.0


def main() -> None:
    state, *command = sys.argv[1:]
    name = Path(command[0]).name
    terminate([pid for pid in suite_processes(Path(state)) if _process_name(pid) == name], seconds=_SECONDS)
    os.execvp(command[0], command)  # noqa: S606 - the supervisor's own command


def _process_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
