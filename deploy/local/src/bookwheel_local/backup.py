"""Backs up a suite, also while it serves and crawls, and restores it into an empty state folder.

What refers is copied before what it refers to, and what is referred to only ever grows: so a copy holds whatever its
records name (decision 126). What can be made anew is left out: the search index, the lake's silver, caches, and Redis,
which holds what is under way.
"""

import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from importlib.metadata import version
from pathlib import Path

from bookwheel_contracts.redis_keys import LAKE_GROUP, RAW_STREAM
from bookwheel_runtime.settings import LakeSettings
from bookwheel_stores.lake import Lake, LakeAddress
from bookwheel_stores.lake.files import LakeFileNotFoundError
from bookwheel_stores.streams import StreamReader, connect_redis
from redis.exceptions import RedisError, ResponseError

from bookwheel_local.backup_folder import Manifest, check_files, copy, new_backup, read_manifest, write_manifest
from bookwheel_local.choice import Choice, check_choice, install_servers, remember
from bookwheel_local.errors import LocalError
from bookwheel_local.layout import Layout
from bookwheel_local.preparation import prepare_records, run_step
from bookwheel_local.program import script
from bookwheel_local.progress import Progress
from bookwheel_local.put_aside import holds_data, put_aside
from bookwheel_local.record_copies import copy_sqlite, dump_postgres, load_postgres
from bookwheel_local.settings import EngineSet, LocalSettings
from bookwheel_local.suite import Suite

VERSION = version("bookwheel-local")
RECORDS = {EngineSet.EMBEDDED: "records.sqlite", EngineSet.CLUSTER: "records.pgdump"}
REGISTRY, ARTIFACTS, LAKE, SECRETS = "mlflow.sqlite", "mlartifacts", "lake", "secrets"
_LAKE_SECONDS = 60.0
_ARTIFACT_ADDRESSES = {  # MLflow keeps whole addresses of files
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "model_versions": ("source", "storage_location"),
    "logged_models": ("artifact_location",),
}


def back_up(suite: Suite, folder: Path, progress: Progress) -> Manifest:
    """Raises LocalError, with no such folder made."""
    if not holds_data(suite.layout):
        raise LocalError(f"there is nothing to back up in {suite.layout.data}")
    with ExitStack() as stack:
        made = stack.enter_context(new_backup(folder))
        if suite.supervisor.pid() is None:
            stack.enter_context(suite.alone())
        stack.enter_context(suite.stores(progress))
        progress.update("copying the records")
        _copy_records(suite, made)
        _wait_for_the_lake(suite, progress)
        _copy_registry(suite.layout, made)
        _copy_lake(_lake(suite), made / LAKE, progress)
        shutil.copytree(suite.layout.secrets, made / SECRETS)
        progress.update("checksums")
        choice = suite.choice
        return write_manifest(made, version=VERSION, engines=choice.engines, lake=choice.lake, data=suite.layout.data)


def restore(settings: LocalSettings, folder: Path, progress: Progress, *, force: bool) -> Path | None:
    """Returns where the data is kept that was there before. Raises LocalError, with all as it was."""
    progress.update("checking the backup")
    manifest = read_manifest(folder, version=VERSION)
    check_files(folder, manifest)
    choice = Choice(manifest.engines, manifest.lake)
    check_choice(settings, choice)
    install_servers(choice)
    suite = Suite(settings)
    with suite.alone():
        if suite.supervisor.pid() is not None:
            raise LocalError("the suite runs; first: make down")
        if holds_data(suite.layout) and not force:
            raise LocalError(
                f"{suite.layout.data} holds data. FORCE=1 moves it aside; or restore into another folder, as in:\n"
                f"  BOOKWHEEL_STATE_DIR={suite.layout.state}-restored make restore FROM={folder}"
            )
        with put_aside(suite.layout) as kept:
            shutil.copytree(folder / SECRETS, suite.layout.secrets, dirs_exist_ok=True)
            remember(suite.layout, choice)
            restored = Suite(settings)
            with restored.stores(progress):
                _fill(restored, folder, manifest, progress)
        return kept


def _fill(suite: Suite, folder: Path, manifest: Manifest, progress: Progress) -> None:
    lake = _lake(suite)
    if lake.list("bronze") or lake.list("exports"):
        raise LocalError(f"the lake at {lake.address.url} is not empty: empty it, or name another one")
    progress.update("the records")
    if manifest.engines is EngineSet.EMBEDDED:
        shutil.copyfile(folder / RECORDS[manifest.engines], suite.layout.data / "bookwheel.sqlite")
    else:
        load_postgres(suite.environment["BOOKWHEEL_DATABASE_URL"], folder / RECORDS[manifest.engines])
    if (folder / REGISTRY).exists():
        _restore_registry(folder, suite.layout, was_in=Path(manifest.data))
    for number, path in enumerate(sorted(path for path in (folder / LAKE).rglob("*") if path.is_file())):
        progress.update(f"{number:,} files of the lake")
        with path.open("rb") as source, lake.writing(str(path.relative_to(folder / LAKE))) as target:
            copy(source, target)
    progress.update("preparing the records")
    prepare_records(suite.layout, suite.environment)
    run_step("processor", [script("bookwheel-processor"), "restored"], suite.environment)


def _copy_records(suite: Suite, made: Path) -> None:
    target = made / RECORDS[suite.choice.engines]
    if suite.choice.engines is EngineSet.EMBEDDED:
        copy_sqlite(suite.layout.data / "bookwheel.sqlite", target)
    else:
        dump_postgres(suite.environment["BOOKWHEEL_DATABASE_URL"], target)


def _wait_for_the_lake(suite: Suite, progress: Progress) -> None:
    """Until the lake has taken in all that the copied records can have taken in: both read one stream."""
    redis = connect_redis(suite.environment["BOOKWHEEL_REDIS_URL"])
    reader = StreamReader(redis, RAW_STREAM, group=LAKE_GROUP, consumer="backup")
    deadline = time.monotonic() + _LAKE_SECONDS
    try:
        last = redis.xinfo_stream(RAW_STREAM)["last-generated-id"].decode()
        while not reader.is_acked_up_to(last):
            if time.monotonic() > deadline:
                progress.done("the lake lags behind: what it has not taken in yet is not in its part of the backup")
                return
            progress.update("waiting for the lake to take in what the records hold")
            time.sleep(0.2)
    except ResponseError:  # nothing was ever scraped
        return
    except RedisError:
        progress.done("Redis does not answer: what waits in it for the lake is not in the backup")
    finally:
        redis.close()


def _copy_registry(layout: Layout, made: Path) -> None:
    """Its database first: a version is registered once its files are there, and they stay."""
    if (layout.data / REGISTRY).exists():
        copy_sqlite(layout.data / REGISTRY, made / REGISTRY)
        if (layout.data / ARTIFACTS).exists():
            shutil.copytree(layout.data / ARTIFACTS, made / ARTIFACTS)


def _restore_registry(folder: Path, layout: Layout, *, was_in: Path) -> None:
    shutil.copyfile(folder / REGISTRY, layout.data / REGISTRY)
    if (folder / ARTIFACTS).exists():
        shutil.copytree(folder / ARTIFACTS, layout.data / ARTIFACTS)
    before, now = ((data / ARTIFACTS).as_uri() for data in (was_in, layout.data))
    with closing(sqlite3.connect(layout.data / REGISTRY)) as connection, connection:
        for table, columns in _ARTIFACT_ADDRESSES.items():
            for column in columns:
                moved = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"  # noqa: S608 - our own names
                connection.execute(moved, (before, now))


def _copy_lake(lake: Lake, target: Path, progress: Progress) -> None:
    """Bronze and the exports. An export exists once its list of files does, and ends with that: so the lists are read
    first and copied last, where they are still there. What goes from bronze meanwhile was merged into a file that was
    there before: so a listing that lost one is made again."""
    while _copy_files(lake, [file.path for file in lake.list("bronze")], target, progress):
        progress.update("files of the lake were merged: looking again")
    lists = {file.path for file in lake.list("exports/versions")}
    files = [file.path for file in lake.list("exports") if file.path not in lists]
    _copy_files(lake, [*files, *sorted(lists)], target, progress)


def _copy_files(lake: Lake, paths: Sequence[str], target: Path, progress: Progress) -> int:
    """Those that are not copied yet; returns how many were gone."""
    gone = 0
    for number, path in enumerate(path for path in paths if not (target / path).exists()):
        progress.update(f"{number:,} files of the lake")
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        try:
            with lake.open(path) as source, (target / path).open("xb") as copied:
                copy(source, copied)
        except LakeFileNotFoundError:
            (target / path).unlink(missing_ok=True)
            gone += 1
    return gone


def _lake(suite: Suite) -> Lake:
    told = suite.environment
    names = [name for name in LakeSettings.model_fields if name.startswith("lake_")]
    given = {name: told[f"BOOKWHEEL_{name.upper()}"] for name in names if f"BOOKWHEEL_{name.upper()}" in told}
    return Lake(LakeAddress(**LakeSettings.model_validate(given).lake_options()))
