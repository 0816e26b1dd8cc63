"""The engines of a state folder, which are selected at its first start and do not change."""

from pathlib import Path

import pytest
from bookwheel_local.engine_selection import EngineSelection, Server, check_selection, save_selection, select_engines
from bookwheel_local.environment import suite_environment
from bookwheel_local.errors import LocalError
from bookwheel_local.layout import Layout
from bookwheel_local.secrets import Secrets
from bookwheel_local.settings import EngineSet, LakeStore, LocalSettings
from pydantic import ValidationError

CLUSTER = EngineSelection(EngineSet.CLUSTER, LakeStore.S3)


def settings(layout: Layout, **options: str) -> LocalSettings:
    return LocalSettings(state_dir=layout.state_dir, **options)  # type: ignore[arg-type]


def test_a_new_folder_uses_the_engines_of_the_settings(layout: Layout) -> None:
    assert select_engines(settings(layout)) == EngineSelection()
    assert select_engines(settings(layout, engines="cluster", lake="s3")) == CLUSTER


def test_the_saved_engines_are_used_without_settings(layout: Layout) -> None:
    save_selection(layout, CLUSTER)
    without_options = settings(layout)
    assert select_engines(without_options) == CLUSTER
    check_selection(without_options, select_engines(without_options))


def test_data_without_saved_engines_is_embedded(layout: Layout) -> None:
    (layout.data / "bookwheel.sqlite").touch()
    requested = settings(layout, engines="cluster")
    assert select_engines(requested) == EngineSelection()
    with pytest.raises(LocalError, match="written with ENGINES=embedded LAKE=folder"):
        check_selection(requested, select_engines(requested))


@pytest.mark.parametrize("options", [{"engines": "embedded"}, {"lake": "folder"}])
def test_other_engines_for_existing_data_are_rejected_with_a_solution(layout: Layout, options: dict[str, str]) -> None:
    save_selection(layout, CLUSTER)
    requested = settings(layout, **options)
    with pytest.raises(LocalError, match=r"BOOKWHEEL_STATE_DIR=.*make up") as raised:
        check_selection(requested, select_engines(requested))
    assert "ENGINES=cluster LAKE=s3" in str(raised.value)


def test_an_unknown_engine_set_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="embedded"):
        LocalSettings(state_dir=tmp_path, engines="clusters")


def test_the_embedded_engines_need_no_servers_and_passwords(layout: Layout) -> None:
    requested = settings(layout)
    environment = suite_environment(layout, requested, EngineSelection(), Secrets(layout.secrets))
    assert EngineSelection().servers == ()
    assert environment["BOOKWHEEL_DATABASE_URL"].startswith("sqlite:///")
    assert environment["BOOKWHEEL_SEARCH_URL"].startswith("tantivy://")
    assert [path.name for path in layout.secrets.iterdir()] == ["redis-password"]


def test_the_environment_has_the_loopback_urls_of_the_servers(layout: Layout) -> None:
    secrets = Secrets(layout.secrets)
    environment = suite_environment(layout, settings(layout), CLUSTER, secrets)
    assert CLUSTER.servers == (Server.POSTGRES, Server.ELASTICSEARCH, Server.S3)
    password, port = secrets.postgres_password, layout.ports.postgres
    assert (
        environment["BOOKWHEEL_DATABASE_URL"] == f"postgresql+psycopg://bookwheel:{password}@127.0.0.1:{port}/bookwheel"
    )
    assert environment["BOOKWHEEL_SEARCH_URL"] == f"elasticsearch://127.0.0.1:{layout.ports.elasticsearch}"
    assert environment["AWS_SECRET_ACCESS_KEY"] == secrets.s3_password


def test_the_callers_engine_variables_do_not_change_the_environment(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a later `make up` without ENGINES would change the configuration and restart the suite."""
    secrets = Secrets(layout.secrets)
    plain = suite_environment(layout, settings(layout), CLUSTER, secrets)
    monkeypatch.setenv("BOOKWHEEL_ENGINES", "cluster")
    monkeypatch.setenv("BOOKWHEEL_LAKE", "s3")
    assert suite_environment(layout, settings(layout), CLUSTER, secrets) == plain


def test_the_callers_lake_url_replaces_the_suites_folder(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets, folder = Secrets(layout.secrets), EngineSelection(EngineSet.CLUSTER)
    environment = suite_environment(layout, settings(layout), folder, secrets)
    assert environment["BOOKWHEEL_LAKE_URL"] == (layout.data / "lake").as_uri()
    monkeypatch.setenv("BOOKWHEEL_LAKE_URL", "s3://elsewhere/books")
    assert suite_environment(layout, settings(layout), folder, secrets)["BOOKWHEEL_LAKE_URL"] == "s3://elsewhere/books"
    assert suite_environment(layout, settings(layout), CLUSTER, secrets)["BOOKWHEEL_LAKE_URL"] == "s3://bookwheel"
