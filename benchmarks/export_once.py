"""Makes one version of the lake in a folder, and prints the process's peak memory in MB."""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from bookwheel_stores.lake import Lake, LakeAddress
from bookwheel_stores.lake.export_writer import write_export

if __name__ == "__main__":
    write_export(Lake(LakeAddress(Path(sys.argv[1]).as_uri())), 1, now=lambda: datetime.now(UTC))
    # Not getrusage: after fork and exec that still tells the parent's peak.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(int(peak[1]) / 1024 if peak else "unknown")
