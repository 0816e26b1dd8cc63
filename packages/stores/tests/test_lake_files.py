"""The same contract for files in a folder, on a real S3 server and on a GCS emulator."""

import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bookwheel_local.engines import EngineNotInstalledError, find_minio
from bookwheel_stores.lake import Lake, LakeAddress, LakeError, LakeFileNotFoundError
from bookwheel_testing.engines import S3Store, skip_or_raise
from bookwheel_testing.lakes import open_lake, s3_lake
from bookwheel_testing.servers import free_port

LARGE = os.urandom(1 << 20) * 17


@pytest.fixture(params=["folder", "s3", "gcs"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    return open_lake(request.param, request, tmp_path / "the lake")


def paths(lake: Lake, folder: str) -> list[str]:
    return [file.path for file in lake.list(folder)]


@pytest.mark.parametrize("content", [b"", b"abc", LARGE], ids=["empty", "small", "large"])
def test_written_content_is_read(lake: Lake, content: bytes) -> None:
    lake.write("a/b=%2Fc/d.bin", content)
    assert lake.read("a/b=%2Fc/d.bin") == content
    assert lake.size("a/b=%2Fc/d.bin") == len(content)
    assert [(file.path, file.size) for file in lake.list("a")] == [("a/b=%2Fc/d.bin", len(content))]
    if content:
        with lake.open("a/b=%2Fc/d.bin") as file:
            file.seek(1)
            assert file.read(2) == content[1:3]


def test_a_second_write_replaces_the_file(lake: Lake) -> None:
    lake.write("a/b", b"old" * 1000)
    with lake.open("a/b") as reader:
        lake.write("a/b", b"new")
        assert lake.address.folder is None or reader.read() == b"old" * 1000
    assert lake.read("a/b") == b"new"
    assert paths(lake, "a") == ["a/b"]


def test_a_failed_write_changes_nothing(lake: Lake) -> None:
    lake.write("a/b", b"old")

    def fail() -> None:
        with lake.open_for_write("a/b") as file:
            file.write(LARGE)
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail()
    assert lake.read("a/b") == b"old"
    assert lake.delete_scratch_files(before=datetime.now(UTC) + timedelta(days=1)) == 0


def test_a_missing_file_has_no_size_and_cannot_be_read(lake: Lake) -> None:
    assert lake.list("a") == []
    assert lake.size("a") is None
    lake.delete(["a"])
    with pytest.raises(LakeFileNotFoundError):
        lake.read("a")
    lake.write("a/b", b"")
    assert lake.size("a") is None


def test_deleted_files_are_not_listed(lake: Lake) -> None:
    for name in ("a/1", "a/2", "b/1"):
        lake.write(name, b"x")
    lake.delete(["a/1", "a/3"])
    assert paths(lake, "a") == ["a/2"]
    assert paths(lake, "b") == ["b/1"]


@pytest.mark.parametrize("path", ["", "/etc/passwd", "a/../../b", "a//b", "./a", "a/", ".aside/x", "a/\0"])
def test_paths_outside_the_lake_are_rejected(lake: Lake, path: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        lake.write(path, b"")
    with pytest.raises(ValueError, match="not a path"):
        lake.open(path)


def test_old_scratch_files_are_deleted_and_recent_ones_are_kept(tmp_path: Path) -> None:
    lake = Lake(LakeAddress(tmp_path.as_uri()))
    lake.write("a/b", b"x")
    (tmp_path / ".aside" / "left").write_bytes(b"half")
    assert lake.delete_scratch_files(before=datetime.now(UTC) - timedelta(hours=1)) == 0
    assert lake.delete_scratch_files(before=datetime.now(UTC) + timedelta(hours=1)) == 1
    assert list((tmp_path / ".aside").iterdir()) == []
    assert lake.read("a/b") == b"x"


def test_a_killed_writer_to_a_bucket_leaves_nothing_on_its_machine(
    s3: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with s3_lake(s3).open_for_write("a/b") as file:
        file.write(LARGE)
        file.flush()
        assert list(tmp_path.iterdir()) == [], "the temporary file has no name"
    assert s3_lake(s3).read("a/b") == LARGE


class CuttingProxy:
    """Forwards bytes to a server. Closes all connections after `allowed` bytes were sent."""

    def __init__(self, upstream_port: int, allowed: int) -> None:
        self.allowed = allowed
        self.port = free_port()
        self._upstream_port = upstream_port
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                upstream = socket.create_connection(("127.0.0.1", self._upstream_port))
            except OSError:
                return
            self._sockets += [client, upstream]
            for source, target, counts in ((client, upstream, True), (upstream, client, False)):
                thread = threading.Thread(target=self._forward, args=(source, target, counts), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _forward(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        try:
            while self.allowed > 0 and (chunk := source.recv(65536)):
                target.sendall(chunk)
                if counts:
                    self.allowed -= len(chunk)
        except OSError:
            pass
        finally:
            for connection in (source, target):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.allowed = 0
        for connection in self._sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def cut_after(s3: S3Store) -> Iterator[Callable[[int], Lake]]:
    proxies: list[CuttingProxy] = []

    def create_lake(allowed: int) -> Lake:
        proxy = CuttingProxy(int(s3.endpoint.rpartition(":")[2]), allowed)
        proxies.append(proxy)
        return s3_lake(s3, f"http://127.0.0.1:{proxy.port}")

    yield create_lake
    for proxy in proxies:
        proxy.close()


@pytest.mark.parametrize("allowed", [1, 100_000, 6_000_000, 12_000_000, 17_700_000])
def test_an_interrupted_upload_to_s3_changes_nothing(
    s3: S3Store, cut_after: Callable[[int], Lake], allowed: int
) -> None:
    working_lake = s3_lake(s3)
    working_lake.write("a/b", b"old")
    with pytest.raises(LakeError):
        cut_after(allowed).write("a/b", LARGE)
    assert working_lake.read("a/b") == b"old"
    assert paths(working_lake, "a") == ["a/b"]
    working_lake.write("a/b", LARGE)
    assert working_lake.read("a/b") == LARGE
    working_lake.delete_scratch_files(before=datetime.now(UTC) + timedelta(days=1))
    assert paths(working_lake, "a") == ["a/b"]


def test_a_missing_bucket_is_an_error(s3: S3Store) -> None:
    missing = Lake(LakeAddress("s3://no-such-bucket/x", s3.endpoint, "us-east-1", s3.access_key, s3.secret_key))
    with pytest.raises(LakeError):
        missing.write("a", b"x")


def test_wrong_credentials_are_an_error_without_the_secret(s3: S3Store) -> None:
    if find_minio() is None:  # moto's server checks no credentials
        skip_or_raise(EngineNotInstalledError("MinIO", "s3"))
    address = LakeAddress(f"s3://{s3.bucket}/x", s3.endpoint, "us-east-1", s3.access_key, "wrong-secret")
    with pytest.raises(LakeError) as error:
        Lake(address).write("a", b"x")
    assert "wrong-secret" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "/data/lake"}, "file:///"),
        ({"url": "gs:///x"}, "bucket"),
        ({"url": "gs://bucket", "access_key": "a", "secret_key": "very-secret"}, "no access key"),
        ({"url": "file://data/lake"}, "a folder must be like file:///"),
        ({"url": "file:///"}, "a folder must be like file:///"),
        ({"url": "s3:///x"}, "bucket"),
        ({"url": "s3://key:very-secret@bucket/x"}, "in their own settings"),
        ({"url": "s3://bucket/x?secret=very-secret"}, "in their own settings"),
        ({"url": "s3://bucket", "endpoint": "127.0.0.1:9000"}, "endpoint"),
        ({"url": "s3://bucket", "access_key": "a"}, "must be set together"),
    ],
)
def test_an_invalid_address_is_an_error_without_its_secrets(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        LakeAddress(**settings)
    assert "very-secret" not in str(error.value)
    assert "s" * 3 not in repr(LakeAddress("s3://bucket", access_key="sss", secret_key="sss"))
