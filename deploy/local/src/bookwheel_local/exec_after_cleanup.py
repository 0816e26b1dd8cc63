"""`python -m bookwheel_local.exec_after_cleanup STATE_DIR PROGRAM …`: ends old processes of PROGRAM, then execs it.

If nginx's master is killed, its workers survive and keep the port. supervisord ends a process group only if it stops
the process itself, so this wrapper ends the workers before it starts nginx again.
"""

import os
import sys
from pathlib import Path

from bookwheel_local.processes import suite_processes, terminate

_TIMEOUT_SECONDS = 2.0


def main() -> None:
    state_dir, *command = sys.argv[1:]
    name = Path(command[0]).name
    terminate([pid for pid in suite_processes(Path(state_dir)) if _process_name(pid) == name], seconds=_TIMEOUT_SECONDS)
    os.execvp(command[0], command)  # noqa: S606 - the supervisor's own command


def _process_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
