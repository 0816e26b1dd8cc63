"""`python -m tests.chaos.durability`: measures how many confirmed items Redis loses in a crash.

For each appendfsync setting, a client publishes like the scraper and records when Redis confirms each item. Then Redis
is killed with SIGKILL and restarted. Its file is unchanged for a crash of the process. For a power cut, the file is cut
after the last fdatasync, which is the worst case.
"""

import argparse
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bookwheel_stores.streams import StreamWriter, connect_redis
from bookwheel_testing.servers import free_port, redis_answers, running
from redis.exceptions import RedisError

SETTINGS = ("always", "everysec", "no")
_STREAM = "bookwheel:durability"
_BODY = b"x" * 1000  # the size of a typical item
_BATCH = 100
_SOURCE = Path(__file__).with_name("synced_size.c")


@dataclass(frozen=True, slots=True)
class Loss:
    """`items`: lost confirmed items. `seconds`: from the confirmation of the oldest lost item to the crash."""

    confirmed: int
    items: int
    seconds: float
    rate: float


class Publisher(threading.Thread):
    """Publishes batches until Redis stops, at `per_second` items, or as fast as possible for 0."""

    def __init__(self, url: str, per_second: int) -> None:
        super().__init__(daemon=True)
        self._redis = connect_redis(url)
        self._pause = _BATCH / per_second if per_second else 0.0
        self.confirmed_at: list[float] = []

    def run(self) -> None:
        writer = StreamWriter(self._redis, _STREAM)
        next_time = time.monotonic()
        try:
            while True:
                writer.publish([_BODY] * _BATCH)
                self.confirmed_at += [time.monotonic()] * _BATCH
                next_time += self._pause
                time.sleep(max(0.0, next_time - time.monotonic()))
        except RedisError:
            self._redis.close()


@contextmanager
def _redis(folder: Path, setting: str, environment: dict[str, str]) -> Iterator[tuple[str, int]]:
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    location = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "")
    durability = ("--appendonly", "yes", "--appendfsync", setting, "--auto-aof-rewrite-percentage", "0")
    command = ["redis-server", *location, *durability]
    log = folder / "redis.log"
    with running(command, log=log, ready=lambda: redis_answers(url), environment=environment) as server:
        yield url, server.process.pid


def crash(setting: str, *, power_cut: bool, per_second: int, seconds: float, library: Path) -> Loss:
    with tempfile.TemporaryDirectory(prefix="bookwheel-durability-") as name:
        folder = Path(name)
        synced_file = folder / "synced"
        synced_file.write_bytes(struct.pack("=q", 0))
        preload_environment = {"LD_PRELOAD": str(library), "BOOKWHEEL_CHAOS_SYNCED": str(synced_file)}
        with _redis(folder, setting, preload_environment) as (url, pid):
            publisher = Publisher(url, per_second)
            publisher.start()
            time.sleep(seconds)
            os.kill(pid, 9)
            crashed_at = time.monotonic()
            publisher.join(30)
        file = next(folder.glob("appendonlydir/*.incr.aof"))
        if power_cut:
            os.truncate(file, struct.unpack("=q", synced_file.read_bytes())[0])
        with _redis(folder, setting, {}) as (url, _):
            redis = connect_redis(url)
            stored = int(redis.xlen(_STREAM))
            redis.close()
        confirmed = publisher.confirmed_at
        lost = max(0, len(confirmed) - stored)
        return Loss(len(confirmed), lost, crashed_at - confirmed[stored] if lost else 0.0, len(confirmed) / seconds)


def table(results: dict[tuple[str, bool], list[Loss]]) -> str:
    lines = [
        "| appendfsync | confirmed items/s | killed: items lost | power cut: items lost | power cut: seconds lost |",
        "|---|---|---|---|---|",
    ]
    for setting in SETTINGS:
        kill_losses, cut_losses = results[setting, False], results[setting, True]
        rate = median(loss.rate for loss in kill_losses + cut_losses)
        items = f"{median(loss.items for loss in cut_losses):,.0f}, at most {max(loss.items for loss in cut_losses):,}"
        lost_seconds = (
            f"{median(loss.seconds for loss in cut_losses):.2f}, at most {max(loss.seconds for loss in cut_losses):.2f}"
        )
        lines.append(
            f"| `{setting}` | {rate:,.0f} | {max(loss.items for loss in kill_losses):,} | {items} | {lost_seconds} |"
        )
    return "\n".join(lines)


def measure(repetitions: int, per_second: int) -> dict[tuple[str, bool], list[Loss]]:
    folder = Path(tempfile.mkdtemp(prefix="bookwheel-durability-"))
    library = folder / "synced.so"
    flags = ("-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", library)
    subprocess.run(["cc", *flags, _SOURCE, "-ldl"], check=True)
    results: dict[tuple[str, bool], list[Loss]] = {}
    try:
        for number in range(repetitions):
            for setting in SETTINGS:
                for power_cut in (False, True):
                    seconds = random.Random(f"{number} {setting}").uniform(2.0, 5.0)
                    loss = crash(setting, power_cut=power_cut, per_second=per_second, seconds=seconds, library=library)
                    results.setdefault((setting, power_cut), []).append(loss)
                    print(f"{setting:9} power_cut={power_cut} {loss}", file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(folder)
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.chaos.durability", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--per-second", type=int, default=0, help="items; 0: as fast as Redis confirms (the default)")
    options = parser.parse_args(arguments)
    print(table(measure(options.repetitions, options.per_second)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
