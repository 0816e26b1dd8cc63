"""Checks the gateway's configuration for one machine with `nginx -t`."""

import subprocess
import sys
import tempfile
from pathlib import Path

from bookwheel_local.layout import Layout, Ports
from bookwheel_local.preparation import find_nginx, gateway_values, render_gateway
from bookwheel_local.settings import LocalSettings


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="bookwheel-gateway-") as folder:
        layout = Layout(Path(folder), Ports.from_base(LocalSettings().port_base))
        layout.create_folders()
        config = render_gateway(layout.run, gateway_values(layout))
        command = [find_nginx(), "-t", "-e", "stderr", "-c", str(config)]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
    print("the gateway's configuration is valid" if process.returncode == 0 else process.stderr, file=sys.stderr)
    return process.returncode


if __name__ == "__main__":
    raise SystemExit(main())
