"""A state folder, and a real supervisord for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bookwheel_local.layout import Layout, Ports
from bookwheel_local.processes import suite_processes, terminate
from bookwheel_local.supervisor import Supervisor
from bookwheel_testing.servers import free_port


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "state", Ports.from_base(free_port()))
    layout.create_folders()
    return layout


@pytest.fixture
def supervisor(layout: Layout) -> Iterator[Supervisor]:
    supervisor = Supervisor(layout)
    yield supervisor
    supervisor.stop()
    assert terminate(suite_processes(layout.state_dir), seconds=20) == []
