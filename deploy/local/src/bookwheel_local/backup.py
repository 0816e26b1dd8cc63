"""Backs up a suite, also while it serves and crawls, and restores it into an empty state folder.

Records are copied before the files that they refer to. Files are only added, so a backup has every file of its records
(decision 126). It excludes data that can be rebuilt: the search index, the lake's silver and caches. It also excludes
Redis, which holds unfinished work.
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
from bookwheel_stores.lake.bronze import TABLE, Bronze
from bookwheel_stores.lake.files import LakeFileNotFoundError
from bookwheel_stores.streams import StreamReader, connect_redis
from redis.exceptions import RedisError, ResponseError

from bookwheel_local.backup_folder import (
    Manifest,
    check_files,
    copy,
    create_backup_folder,
    read_manifest,
    write_manifest,
)
from bookwheel_local.database_copies import copy_sqlite, dump_postgres, load_postgres
from bookwheel_local.engine_selection import EngineSelection, check_selection, install_servers, save_selection
from bookwheel_local.errors import LocalError
from bookwheel_local.layout import Layout
from bookwheel_local.local_suite import LocalSuite
from bookwheel_local.preparation import prepare_records, run_step
from bookwheel_local.programs import script_path
from bookwheel_local.progress import ProgressLine
from bookwheel_local.restore_rollback import has_data, rollback_on_failure
from bookwheel_local.settings import EngineSet, LocalSettings

VERSION = version("bookwheel-local")
RECORDS = {EngineSet.EMBEDDED: "records.sqlite", EngineSet.CLUSTER: "records.pgdump"}
REGISTRY, ARTIFACTS, LAKE, SECRETS = "mlflow.sqlite", "mlartifacts", "lake", "secrets"
_LAKE_WAIT_SECONDS = 60.0
_ARTIFACT_URI_COLUMNS = {  # MLflow stores absolute URIs of files
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "model_versions": ("source", "storage_location"),
    "logged_models": ("artifact_location",),
}


def back_up(suite: LocalSuite, folder: Path, progress: ProgressLine) -> Manifest:
    """Writes a backup into a new folder. On failure it deletes the folder and raises LocalError."""
    if not has_data(suite.layout):
        raise LocalError(f"nothing to back up: {suite.layout.data} has no files")
    with ExitStack() as stack:
        target = stack.enter_context(create_backup_folder(folder))
        if suite.supervisor.pid() is None:
            stack.enter_context(suite.lock())
        stack.enter_context(suite.running_stores(progress))
        progress.update("copying the records")
        _copy_records(suite, target)
        _wait_for_lake(suite, progress)
        _copy_registry(suite.layout, target)
        _copy_lake(_lake(suite), target / LAKE, progress)
        shutil.copytree(suite.layout.secrets, target / SECRETS)
        progress.update("computing checksums")
        selection = suite.selection
        return write_manifest(
            target, version=VERSION, engines=selection.engines, lake=selection.lake, data=suite.layout.data
        )


def restore(settings: LocalSettings, folder: Path, progress: ProgressLine, *, force: bool) -> Path | None:
    """Returns the folder of the previous data, if any. On failure it changes nothing and raises LocalError."""
    progress.update("checking the backup")
    manifest = read_manifest(folder, version=VERSION)
    check_files(folder, manifest)
    selection = EngineSelection(manifest.engines, manifest.lake)
    check_selection(settings, selection)
    install_servers(selection)
    suite = LocalSuite(settings)
    with suite.lock():
        if suite.supervisor.pid() is not None:
            raise LocalError("the suite is running: run `make down` first")
        if has_data(suite.layout) and not force:
            raise LocalError(
                f"{suite.layout.data} is not empty. Move it aside with FORCE=1, or restore into another folder:\n"
                f"  BOOKWHEEL_STATE_DIR={suite.layout.state_dir}-restored make restore FROM={folder}"
            )
        with rollback_on_failure(suite.layout) as previous_data:
            shutil.copytree(folder / SECRETS, suite.layout.secrets, dirs_exist_ok=True)
            save_selection(suite.layout, selection)
            restored = LocalSuite(settings)
            with restored.running_stores(progress):
                _restore_data(restored, folder, manifest, progress)
        return previous_data


def _restore_data(suite: LocalSuite, folder: Path, manifest: Manifest, progress: ProgressLine) -> None:
    lake = _lake(suite)
    if lake.list("bronze") or lake.list("exports"):
        raise LocalError(f"the lake at {lake.address.url} is not empty: empty it or use another lake")
    progress.update("restoring the records")
    if manifest.engines is EngineSet.EMBEDDED:
        shutil.copyfile(folder / RECORDS[manifest.engines], suite.layout.data / "bookwheel.sqlite")
    else:
        load_postgres(suite.environment["BOOKWHEEL_DATABASE_URL"], folder / RECORDS[manifest.engines])
    if (folder / REGISTRY).exists():
        _restore_registry(folder, suite.layout, old_data=Path(manifest.data))
    for number, path in enumerate(sorted(path for path in (folder / LAKE).rglob("*") if path.is_file())):
        progress.update(f"restoring the lake: {number:,} files")
        with path.open("rb") as source, lake.open_for_write(str(path.relative_to(folder / LAKE))) as target:
            copy(source, target)
    progress.update("preparing the records")
    prepare_records(suite.layout, suite.environment)
    run_step("processor", [script_path("bookwheel-processor"), "restored"], suite.environment)


def _copy_records(suite: LocalSuite, folder: Path) -> None:
    target = folder / RECORDS[suite.selection.engines]
    if suite.selection.engines is EngineSet.EMBEDDED:
        copy_sqlite(suite.layout.data / "bookwheel.sqlite", target)
    else:
        dump_postgres(suite.environment["BOOKWHEEL_DATABASE_URL"], target)


def _wait_for_lake(suite: LocalSuite, progress: ProgressLine) -> None:
    """Waits until the lake has all items in the copied records. Lake and records read the same stream."""
    redis = connect_redis(suite.environment["BOOKWHEEL_REDIS_URL"])
    reader = StreamReader(redis, RAW_STREAM, group=LAKE_GROUP, consumer="backup")
    deadline = time.monotonic() + _LAKE_WAIT_SECONDS
    try:
        last = redis.xinfo_stream(RAW_STREAM)["last-generated-id"].decode()
        while not reader.is_acked_up_to(last):
            if time.monotonic() > deadline:
                progress.finish("the lake lags behind the records: the backup may lack recent items of the lake")
                return
            progress.update("waiting for the lake")
            time.sleep(0.2)
    except ResponseError:  # the stream does not exist: nothing has been scraped
        return
    except RedisError:
        progress.finish("Redis is unavailable: the backup may lack recent items of the lake")
    finally:
        redis.close()


def _copy_registry(layout: Layout, folder: Path) -> None:
    """Copies the database first. A version is registered after its files are written, and files are never deleted."""
    if (layout.data / REGISTRY).exists():
        copy_sqlite(layout.data / REGISTRY, folder / REGISTRY)
        if (layout.data / ARTIFACTS).exists():
            shutil.copytree(layout.data / ARTIFACTS, folder / ARTIFACTS)


def _restore_registry(folder: Path, layout: Layout, *, old_data: Path) -> None:
    shutil.copyfile(folder / REGISTRY, layout.data / REGISTRY)
    if (folder / ARTIFACTS).exists():
        shutil.copytree(folder / ARTIFACTS, layout.data / ARTIFACTS)
    old_uri, new_uri = ((data / ARTIFACTS).as_uri() for data in (old_data, layout.data))
    with closing(sqlite3.connect(layout.data / REGISTRY)) as connection, connection:
        for table, columns in _ARTIFACT_URI_COLUMNS.items():
            for column in columns:
                update = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"  # noqa: S608 - constant names
                connection.execute(update, (old_uri, new_uri))


def _copy_lake(lake: Lake, target: Path, progress: ProgressLine) -> None:
    """Copies bronze and the exports.

    Manifests are listed first and copied last, so every copied manifest has its files. Deleted files are skipped.
    """
    while not _copy_bronze(lake, target, progress):
        progress.update("bronze was compacted: copying it again")
    manifests = {file.path for file in lake.list("exports/versions")}
    files = [file.path for file in lake.list("exports") if file.path not in manifests]
    _copy_files(lake, [*files, *sorted(manifests)], target, progress)


def _copy_bronze(lake: Lake, target: Path, progress: ProgressLine) -> bool:
    """Copies the Delta log first: its data files already exist.

    Vacuum may delete a data file during the copy; then it returns False.
    """
    paths = [file.path for file in lake.list("bronze")]
    log = [path for path in paths if path.startswith(f"{TABLE}/_delta_log/") and not path.endswith("_last_checkpoint")]
    missing_count = _copy_files(lake, log, target, progress)
    _copy_files(lake, [path for path in paths if "/_delta_log/" not in path], target, progress)
    return missing_count == 0 and (not log or not Bronze(Lake(LakeAddress(target.as_uri()))).table.missing_files())


def _copy_files(lake: Lake, paths: Sequence[str], target: Path, progress: ProgressLine) -> int:
    """Copies the files that `target` lacks. Returns the number of files that no longer exist."""
    missing_count = 0
    for number, path in enumerate(path for path in paths if not (target / path).exists()):
        progress.update(f"copying the lake: {number:,} files")
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        try:
            with lake.open(path) as source, (target / path).open("xb") as copied:
                copy(source, copied)
        except LakeFileNotFoundError:
            (target / path).unlink(missing_ok=True)
            missing_count += 1
    return missing_count


def _lake(suite: LocalSuite) -> Lake:
    environment = suite.environment
    names = [name for name in LakeSettings.model_fields if name.startswith("lake_")]
    variables = {name: f"BOOKWHEEL_{name.upper()}" for name in names}
    lake_settings = {name: environment[variable] for name, variable in variables.items() if variable in environment}
    return Lake(LakeAddress(**LakeSettings.model_validate(lake_settings).lake_options()))
