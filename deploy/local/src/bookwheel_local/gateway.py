"""The gateway's configuration, rendered for one machine by the gateway's own renderer."""

import os
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bookwheel_local.errors import LocalError
from bookwheel_local.layout import Layout

SOURCE = Path(__file__).resolve().parents[4] / "gateway"


def _renderer() -> dict[str, Any]:
    return runpy.run_path(str(SOURCE / "render.py"))


def gateway_values(layout: Layout) -> dict[str, str]:
    """What the templates need; limits and the like may be set by the environment, addresses and folders not."""
    renderer = _renderer()
    chosen = {name: os.environ[name] for name in renderer["defaults"]() if name in os.environ}
    ours: dict[str, str] = renderer["one_machine"](port_base=layout.ports.base, run_dir=layout.run)
    return {**chosen, **ours}


def render_gateway(target: Path, values: Mapping[str, str]) -> Path:
    """Writes nginx.conf and what it includes; returns its path. Raises LocalError for a value that can't be used."""
    renderer = _renderer()
    try:
        path: Path = renderer["render"](target, values)
    except renderer["RenderError"] as error:
        raise LocalError(f"the gateway can't be configured: {error}") from error
    return path
