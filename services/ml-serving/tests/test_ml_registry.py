"""The model registry: aliases, upload and download of models, its child process, and the champion watcher."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from bookwheel_contracts import Book
from bookwheel_contracts.problems import UnavailableError
from bookwheel_ml.model.rating_model import load_model
from bookwheel_ml.registry.base import CHALLENGER, CHAMPION, Registry
from bookwheel_ml.registry.mlflow_registry import MlflowRegistry
from bookwheel_ml.registry.process import RegistryProcess
from bookwheel_ml.serving.champion import ChampionWatcher
from bookwheel_ml.training.dataset import read_datasets
from bookwheel_ml.training.pipeline import train_and_register
from bookwheel_stores.records import BookReader, connect_database
from bookwheel_testing.servers import wait_until

MakeBooks = Callable[..., list[Book]]
FillRecords = Callable[[Path, list[Book]], str]
_TREES = 20
pytestmark = [
    pytest.mark.timeout(600),  # MLflow's import takes minutes on a busy machine
]


@pytest.fixture(scope="module")
def registry_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All tests of this file share a registry, because the creation of MLflow's tables takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('registry') / 'mlflow.sqlite'}"


@pytest.fixture(scope="module")
def registry_process(registry_uri: str) -> Iterator[RegistryProcess]:
    process = RegistryProcess(registry_uri)
    yield process
    process.close()


@pytest.fixture
def inverted_reader(tmp_path: Path, make_books: MakeBooks, fill_records: FillRecords) -> Iterator[BookReader]:
    """The held-out books of `book_reader`, and its training books with inverted ratings."""
    books = make_books(400)
    training, _ = read_datasets(_Pages(books))  # type: ignore[arg-type]
    training_ids = set(training.book_ids)
    inverted = [
        book.model_copy(update={"rating": 6 - (book.rating or 0)}) if book.id in training_ids else book
        for book in books
    ]
    engine = connect_database(fill_records(tmp_path, inverted))
    yield BookReader(engine)
    engine.dispose()


class _Pages:
    def __init__(self, books: list[Book]) -> None:
        self._books = books

    def page(self, *, after_number: int, limit: int) -> list[Book]:
        return [book for book in self._books if book.number > after_number][:limit]


def test_a_downloaded_model_is_the_trained_one(registry_uri: str, book_reader: BookReader, tmp_path: Path) -> None:
    registry = MlflowRegistry(registry_uri)
    version = train_and_register(book_reader, registry, tree_count=_TREES)
    assert version.aliases == (CHAMPION,)
    assert registry.get_champion_version() == version.version
    assert registry.get_version(version.version) == version
    model = load_model(registry.download(version.version, tmp_path))
    training, held_out = read_datasets(book_reader)
    assert model.definition.data_fingerprint == version.data_fingerprint == training.fingerprint()
    errors = model.predict(held_out.features).rating - held_out.ratings
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(version.report.model.rmse)
    assert sum(model.definition.importances) == pytest.approx(1)


def test_a_worse_model_is_a_challenger_and_an_equal_one_the_new_champion(
    registry_uri: str, book_reader: BookReader, inverted_reader: BookReader
) -> None:
    registry = MlflowRegistry(registry_uri)
    champion = train_and_register(book_reader, registry, tree_count=_TREES)
    worse = train_and_register(inverted_reader, registry, tree_count=_TREES)
    assert (worse.aliases, registry.get_champion_version()) == ((CHALLENGER,), champion.version)
    again = train_and_register(book_reader, registry, tree_count=_TREES)
    assert (again.aliases, registry.get_champion_version()) == ((CHAMPION,), again.version)
    registry.set_alias(CHAMPION, worse.version)
    new_champion = registry.get_version(worse.version)
    assert new_champion is not None
    assert new_champion.aliases == (CHAMPION,)


def test_a_champion_that_cannot_be_loaded_is_replaced(
    registry_uri: str, book_reader: BookReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = MlflowRegistry(registry_uri)
    first = train_and_register(book_reader, registry, tree_count=_TREES)
    monkeypatch.setattr("bookwheel_ml.training.pipeline.load_model", _fail_to_load)
    assert train_and_register(book_reader, registry, tree_count=_TREES).aliases == (CHAMPION,)
    assert registry.get_champion_version() != first.version


def _fail_to_load(_folder: Path) -> None:
    raise ValueError("written by another version")


def test_versions_are_paged_newest_first(registry_uri: str, book_reader: BookReader) -> None:
    registry = MlflowRegistry(registry_uri)
    for _ in range(3):
        newest = int(train_and_register(book_reader, registry, tree_count=10).version)
    page, total = registry.list_versions(limit=2, before_version=None)
    assert [int(version.version) for version in page] == [newest, newest - 1]
    assert total >= 3
    assert int(registry.list_versions(limit=1, before_version=newest - 1)[0][0].version) == newest - 2
    assert registry.list_versions(limit=5, before_version=1) == ([], total)
    assert registry.get_version(str(newest + 1)) is None


async def test_the_watcher_loads_a_new_champion_and_caches_it(
    registry_uri: str, registry_process: RegistryProcess, book_reader: BookReader, tmp_path: Path
) -> None:
    registry = MlflowRegistry(registry_uri)
    first = train_and_register(book_reader, registry, tree_count=_TREES)
    watcher = ChampionWatcher(registry_process, cache=tmp_path, poll_seconds=60)
    with pytest.raises(UnavailableError, match="Request a training run"):
        _ = watcher.current
    with pytest.raises(UnavailableError, match="not responded yet"):
        await watcher.check_ready()
    await watcher.update()
    await watcher.check_ready()
    before = watcher.current
    assert before.version == first.version
    second = train_and_register(book_reader, registry, tree_count=_TREES)
    await watcher.update()
    assert (before.version, watcher.current.version) == (first.version, second.version)
    assert [name for name in os.listdir(tmp_path) if "version" in name] == [f"version-{second.version}"]  # noqa: PTH208 - ruff rejects pathlib in async functions

    restarted = ChampionWatcher(RegistryProcess("sqlite:////nowhere/at/all.sqlite"), cache=tmp_path, poll_seconds=60)
    restarted.restore()
    await restarted.check_ready()
    assert restarted.current.version == second.version
    assert restarted.current.model.definition == watcher.current.model.definition


@pytest.mark.parametrize("pointer", [b"", b"[]", b"{}", b'{"version": "1", "folder": "missing"}', b"\xff"])
def test_a_damaged_cache_is_ignored(tmp_path: Path, pointer: bytes) -> None:
    (tmp_path / "champion.json").write_bytes(pointer)
    watcher = ChampionWatcher(RegistryProcess("sqlite:////nowhere/at/all.sqlite"), cache=tmp_path, poll_seconds=60)
    watcher.restore()
    with pytest.raises(UnavailableError):
        _ = watcher.current


async def test_a_killed_registry_process_is_replaced(registry_uri: str) -> None:
    process = RegistryProcess(registry_uri)
    try:
        process.ensure_started()
        killed = process.pid
        os.kill(killed, signal.SIGKILL)
        with pytest.raises(UnavailableError, match="process exited"):
            await process.call(Registry.get_champion_version)
        process.ensure_started()
        assert process.pid != killed
        assert _is_alive(process.pid)
    finally:
        process.close()


async def test_a_cancelled_call_ends_the_process(registry_uri: str) -> None:
    process = RegistryProcess(registry_uri)
    call = asyncio.create_task(process.call(Registry.list_versions, limit=1, before_version=None))
    await asyncio.sleep(0.05)
    child = await asyncio.to_thread(lambda: process.pid)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.to_thread(wait_until, lambda: not _is_alive(child), seconds=10, what="end of the child")
    process.ensure_started()
    assert process.pid != child
    process.close()


async def test_a_registry_process_that_hangs_is_unavailable_and_replaced(registry_uri: str) -> None:
    process = RegistryProcess(registry_uri, first_timeout=0.5)
    try:
        process.ensure_started()
        hung = process.pid
        os.kill(hung, signal.SIGSTOP)
        with pytest.raises(UnavailableError, match="did not respond in time") as error:
            await process.call(Registry.get_champion_version)
        assert error.value.status == 503
        await asyncio.to_thread(wait_until, lambda: not _is_alive(hung), seconds=10, what="end of the hung child")
        process.ensure_started()
        assert process.pid != hung
    finally:
        process.close()


def test_the_parent_does_not_import_mlflow() -> None:
    program = (
        "import asyncio, sys\n"
        "from bookwheel_ml.registry.base import Registry\n"
        "from bookwheel_ml.registry.process import RegistryProcess\n"
        "from bookwheel_contracts.problems import UnavailableError\n"
        "async def main():\n"
        "    process = RegistryProcess('sqlite:////proc/nowhere.sqlite')\n"
        "    try:\n"
        "        await process.call(Registry.get_champion_version)\n"
        "    except UnavailableError as error:\n"
        "        print(error)\n"
        "    process.close()\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
        "    print('mlflow' in sys.modules)\n"
    )
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert "model registry is unavailable" in output
    assert output.endswith("False\n")


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_the_registry_process_ends_when_its_parent_is_killed() -> None:
    program = (
        "import time\n"
        "from bookwheel_ml.registry.process import RegistryProcess\n"
        "if __name__ == '__main__':\n"
        "    process = RegistryProcess('')\n"
        "    process.ensure_started()\n"
        "    print(process.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = Path("/proc") / parent.stdout.readline().strip()
        assert child.exists()
        parent.kill()
    wait_until(lambda: not child.exists(), seconds=60, what="end of the orphaned child")


async def test_a_failed_call_is_unavailable_and_the_next_one_succeeds(
    registry_process: RegistryProcess, tmp_path: Path
) -> None:
    """Uses the child of the other tests, because MLflow's import takes seconds."""
    with pytest.raises(UnavailableError, match="unavailable"):
        await registry_process.call(Registry.download, "999999", tmp_path)
    assert await registry_process.call(Registry.get_version, "999999") is None


async def test_two_processes_can_create_a_registry_concurrently(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.sqlite'}"
    other = RegistryProcess(uri)
    try:
        champions = await asyncio.gather(
            asyncio.to_thread(MlflowRegistry(uri).get_champion_version), other.call(Registry.get_champion_version)
        )
    finally:
        other.close()
    assert set(champions) == {None}
