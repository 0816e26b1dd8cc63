"""Which engines a state folder is on, and that nothing but a new folder changes it."""

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


def settings(layout: Layout, **given: str) -> LocalSettings:
    return LocalSettings(state_dir=layout.state, **given)  # type: ignore[arg-type]


def test_a_new_folder_is_on_what_is_asked_for_and_embedded_by_default(layout: Layout) -> None:
    assert select_engines(settings(layout)) == EngineSelection()
    assert select_engines(settings(layout, engines="cluster", lake="s3")) == CLUSTER


def test_the_choice_is_remembered_without_being_asked_for_again(layout: Layout) -> None:
    save_selection(layout, CLUSTER)
    again = settings(layout)
    assert select_engines(again) == CLUSTER
    check_selection(again, select_engines(again))


def test_data_from_before_there_was_a_choice_is_embedded(layout: Layout) -> None:
    (layout.data / "bookwheel.sqlite").touch()
    asked = settings(layout, engines="cluster")
    assert select_engines(asked) == EngineSelection()
    with pytest.raises(LocalError, match="written with ENGINES=embedded LAKE=folder"):
        check_selection(asked, select_engines(asked))


@pytest.mark.parametrize("asked", [{"engines": "embedded"}, {"lake": "folder"}])
def test_other_engines_for_data_that_is_there_are_refused_with_the_way_out(
    layout: Layout, asked: dict[str, str]
) -> None:
    save_selection(layout, CLUSTER)
    wanted = settings(layout, **asked)
    with pytest.raises(LocalError, match=r"BOOKWHEEL_STATE_DIR=.*make up") as raised:
        check_selection(wanted, select_engines(wanted))
    assert "ENGINES=cluster LAKE=s3" in str(raised.value)


def test_an_unknown_set_of_engines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="embedded"):
        LocalSettings(state_dir=tmp_path, engines="clusters")


def test_the_embedded_set_needs_no_server_and_has_no_password_of_one(layout: Layout) -> None:
    asked = settings(layout)
    told = suite_environment(layout, asked, EngineSelection(), Secrets(layout.secrets))
    assert EngineSelection().servers == ()
    assert told["BOOKWHEEL_DATABASE_URL"].startswith("sqlite:///")
    assert told["BOOKWHEEL_SEARCH_URL"].startswith("tantivy://")
    assert [path.name for path in layout.secrets.iterdir()] == ["redis-password"]


def test_the_programs_are_told_where_the_servers_are_on_loopback(layout: Layout) -> None:
    secrets = Secrets(layout.secrets)
    told = suite_environment(layout, settings(layout), CLUSTER, secrets)
    assert CLUSTER.servers == (Server.POSTGRES, Server.ELASTICSEARCH, Server.S3)
    password, port = secrets.postgres_password, layout.ports.postgres
    assert told["BOOKWHEEL_DATABASE_URL"] == f"postgresql+psycopg://bookwheel:{password}@127.0.0.1:{port}/bookwheel"
    assert told["BOOKWHEEL_SEARCH_URL"] == f"elasticsearch://127.0.0.1:{layout.ports.elasticsearch}"
    assert told["AWS_SECRET_ACCESS_KEY"] == secrets.s3_password


def test_what_the_caller_has_set_for_the_engines_is_not_what_programs_are_told(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a later `make up`, without ENGINES, would be another configuration and restart the suite."""
    secrets = Secrets(layout.secrets)
    plain = suite_environment(layout, settings(layout), CLUSTER, secrets)
    monkeypatch.setenv("BOOKWHEEL_ENGINES", "cluster")
    monkeypatch.setenv("BOOKWHEEL_LAKE", "s3")
    assert suite_environment(layout, settings(layout), CLUSTER, secrets) == plain


def test_a_bucket_of_the_callers_own_is_the_lake_where_the_suite_has_none(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets, folder = Secrets(layout.secrets), EngineSelection(EngineSet.CLUSTER)
    told = suite_environment(layout, settings(layout), folder, secrets)
    assert told["BOOKWHEEL_LAKE_URL"] == (layout.data / "lake").as_uri()
    monkeypatch.setenv("BOOKWHEEL_LAKE_URL", "s3://elsewhere/books")
    assert suite_environment(layout, settings(layout), folder, secrets)["BOOKWHEEL_LAKE_URL"] == "s3://elsewhere/books"
    assert suite_environment(layout, settings(layout), CLUSTER, secrets)["BOOKWHEEL_LAKE_URL"] == "s3://bookwheel"
