import os
import stat
from pathlib import Path

import pytest
from bookwheel_local.engine_selection import EngineSelection
from bookwheel_local.layout import Layout, Ports
from bookwheel_local.preparation import redis_config
from bookwheel_local.programs import build_programs
from bookwheel_local.secrets import Secrets, get_or_create_password, write_private
from bookwheel_local.settings import LocalSettings
from pydantic import ValidationError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_private_and_stable(layout: Layout) -> None:
    secrets = Secrets(layout.secrets)
    first = secrets.redis_password
    assert Secrets(layout.secrets).redis_password == first
    assert len(first) >= 32
    assert first != secrets.demo_password
    assert mode(layout.secrets) == 0o700
    assert {mode(path) for path in layout.secrets.iterdir()} == {0o600}


def test_folders_become_private_again(layout: Layout) -> None:
    layout.secrets.chmod(0o777)
    layout.create_folders()
    assert mode(layout.secrets) == 0o700


def test_a_private_file_is_replaced_atomically(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("long old content")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_password_survives_an_editor_that_adds_a_line_end(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("chosen\r\n")
    assert get_or_create_password(tmp_path / "secret") == "chosen"


def test_a_long_state_folder_gets_a_short_socket_path(tmp_path: Path) -> None:
    deep = Layout(tmp_path / ("x" * 120), Ports.from_base(9000))
    other = Layout(tmp_path / ("y" * 120), Ports.from_base(9000))
    assert len(os.fsencode(deep.supervisor_socket)) < 100
    assert deep.supervisor_socket != other.supervisor_socket
    deep.create_folders()
    assert mode(deep.supervisor_socket.parent) == 0o700
    deep.supervisor_socket.parent.rmdir()


def test_a_folder_of_another_user_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(tmp_path / "state", Ports.from_base(9000))
    layout.create_folders()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(PermissionError, match="another user"):
        layout.create_folders()


def test_the_ports_of_a_suite_are_consecutive(tmp_path: Path) -> None:
    settings = LocalSettings(state_dir=tmp_path, port_base=9100)
    all_programs = build_programs(Layout.from_settings(settings), settings, EngineSelection(), nginx="nginx")
    ports = [port for program in all_programs for port in program.ports]
    assert sorted(ports) == [*range(9100, 9107), *range(9110, 9115)]


def test_redis_listens_on_loopback_with_password_and_persistence(layout: Layout) -> None:
    lines = redis_config(layout, password="pass").splitlines()
    assert {"bind 127.0.0.1", "requirepass pass", "appendonly yes", "maxmemory-policy noeviction"} <= set(lines)


@pytest.mark.parametrize("base", [80, 65_500, -1])
def test_an_invalid_port_base_is_rejected(base: int) -> None:
    with pytest.raises(ValidationError):
        LocalSettings(port_base=base)
