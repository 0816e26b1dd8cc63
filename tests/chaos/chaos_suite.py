"""The suite of all rounds, with a controlled disk and clock, and the site of the shops."""

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bookwheel_contracts.redis_keys import RAW_STREAM
from bookwheel_local.engines import JVM_QUICK_START
from bookwheel_local.settings import EngineSet
from bookwheel_processor.app import create_app
from bookwheel_processor.lake.silver_projection import BOOKS, OBSERVATIONS
from bookwheel_processor.settings import ProcessorSettings
from bookwheel_processor.worker.tasks import BRONZE, SILVER, trigger
from bookwheel_stores.lake import Lake, LakeAddress
from bookwheel_stores.streams import connect_redis
from bookwheel_testing.engines import running_s3
from bookwheel_testing.shop_site import Site, serving_site
from bookwheel_testing.suite_under_test import SuiteUnderTest, free_port_base
from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis

from tests.chaos.chaos_shop import Shop, declaration
from tests.chaos.fake_clock import FakeClock
from tests.chaos.fillable_disk import FillableDisk
from tests.chaos.s3_proxy import Mode, S3Proxy, s3_proxy

_DISK_MEGABYTES = 4096  # a tmpfs uses memory only for its content
_BUCKET = "bookwheel"
_REQUIRED_PROGRAMS = ("gateway", "accounts", "catalog-api", "scraper", "processor-worker", "processor-beat", "redis")
_SETTINGS = {
    "BOOKWHEEL_ELASTICSEARCH_OPTIONS": JVM_QUICK_START,
    "BOOKWHEEL_RATE_ADDRESS": "10000",
    "BOOKWHEEL_RATE_SUBJECT": "10000",
    "BOOKWHEEL_CLAIM_AFTER": "2",
    "BOOKWHEEL_SCRAPER_CLAIM_SECONDS": "2",
    "BOOKWHEEL_SETTLE_AFTER": "3",
    # With `everysec` and a slow disk, a kill loses confirmed writes.
    "BOOKWHEEL_REDIS_APPENDFSYNC": "always",
    "BOOKWHEEL_ACCESS_TOKEN_SECONDS": "86400",
    "BOOKWHEEL_LOG_LEVEL": "WARNING",
}


def source_name(number: int) -> str:
    return f"c{number:04d}"


@dataclass
class ChaosSuite:
    suite: SuiteUnderTest
    site: Site
    disk: FillableDisk
    clock: FakeClock
    lake_address: LakeAddress
    s3: S3Proxy | None = None
    shops: dict[str, Shop] = field(default_factory=dict)
    keep_logs: bool = False

    @cached_property
    def lake(self) -> Lake:
        """The lake without the proxy."""
        return Lake(self.lake_address)

    @cached_property
    def redis(self) -> Redis:
        return connect_redis(self.suite.program_environment["BOOKWHEEL_REDIS_URL"])

    def bring_lake_up_to_date(self, *, seconds: float = 90) -> None:
        """Waits until bronze has every entry of the stream and silver every change. Raises TimeoutError."""
        self._trigger_until(BRONZE, lambda: self.redis.xlen(RAW_STREAM) == 0, seconds)
        self._trigger_until(SILVER, self._silver_is_current, seconds)

    def _trigger_until(self, task: str, is_current: Callable[[], bool], seconds: float) -> None:
        """Triggers the job repeatedly, because its schedule takes up to 10 s."""
        deadline = time.monotonic() + seconds
        while not is_current():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{task} was not up to date within {seconds} s")
            with suppress(OperationalError):
                trigger(self._processor, task)
            time.sleep(0.3)

    def _silver_is_current(self) -> bool:
        query = (
            "SELECT (SELECT max(sequence) FROM change),"
            " (SELECT min(sequence) FROM projection WHERE name IN (:observations, :books))"
        )
        [(head, cursor)] = self.suite.rows(query, observations=OBSERVATIONS, books=BOOKS)
        return cursor is not None and int(cursor) >= int(head)

    @cached_property
    def _processor(self) -> Celery:
        return create_app(ProcessorSettings(redis_url=self.suite.program_environment["BOOKWHEEL_REDIS_URL"]))

    def shop(self, number: int, seed: int) -> Shop:
        """Creates a new shop for a round."""
        name = source_name(number)
        self.shops[name] = Shop(name, random.Random(f"shop {seed}/{number}"))
        return self.shops[name]

    def stop(self) -> None:
        self.clock.set(0)
        self.disk.empty()
        if self.s3 is not None:
            self.s3.set(Mode.PASS)
        if "redis" in vars(self):
            self.redis.close()
        if "_processor" in vars(self):
            self._processor.close()
        self.suite.down()

    def wait_until_running(self, *, seconds: float = 90) -> None:
        """Waits until all required programs run. Raises TimeoutError."""
        required = {
            *_REQUIRED_PROGRAMS,
            *(("postgres", "elasticsearch") if self.suite.engines == EngineSet.CLUSTER else ()),
        }
        deadline = time.monotonic() + seconds
        while True:
            states = self.suite.supervisor.states()
            stopped = sorted(name for name in required if states[name].state != "RUNNING")
            if not stopped:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{', '.join(stopped)} did not restart")
            time.sleep(0.1)


@contextmanager
def running_chaos_suite(engines: str, rounds: range) -> Iterator[ChaosSuite]:
    """Runs the suite. With the cluster engines, its lake is in S3, behind a proxy.

    Deletes everything at the end, except the logs if `keep_logs` is set.
    """
    folder = Path(tempfile.mkdtemp(prefix="bookwheel-chaos-"))
    with ExitStack() as stack:
        site = stack.enter_context(serving_site())
        sources = folder / "sources"
        sources.mkdir()
        for number in rounds:
            (sources / f"{source_name(number)}.toml").write_text(declaration(source_name(number), site))
        state = folder / "state"
        disk = FillableDisk(state / "data", megabytes=_DISK_MEGABYTES)
        stack.callback(disk.unmount)
        clock = FakeClock(folder)
        address, proxy = LakeAddress((state / "data" / "lake").as_uri()), None
        if engines == EngineSet.CLUSTER:
            address, proxy = stack.enter_context(_lake_in_s3())
        settings = _SETTINGS | clock.environment | _lake_settings(address, proxy)
        settings["BOOKWHEEL_SCRAPER_SOURCES_DIR"] = str(sources)
        suite = SuiteUnderTest(state=state, port_base=free_port_base(), books=100, settings=settings, engines=engines)
        chaos = ChaosSuite(suite, site, disk, clock, address, proxy)
        stack.callback(chaos.stop)
        suite.up()
        yield chaos
    if chaos.keep_logs:
        print(f"logs: {state / 'logs'}", flush=True)
    else:
        shutil.rmtree(folder)


@contextmanager
def _lake_in_s3() -> Iterator[tuple[LakeAddress, S3Proxy]]:
    with running_s3() as store, s3_proxy(store.endpoint) as proxy:
        store.filesystem().create_dir(_BUCKET)
        yield LakeAddress(f"s3://{_BUCKET}", store.endpoint, "us-east-1", store.access_key, store.secret_key), proxy


def _lake_settings(address: LakeAddress, proxy: S3Proxy | None) -> dict[str, str]:
    if proxy is None:
        return {}
    return {
        "BOOKWHEEL_LAKE_URL": address.url,
        "BOOKWHEEL_LAKE_ENDPOINT": proxy.url,
        "BOOKWHEEL_LAKE_ACCESS_KEY": address.access_key or "",
        "BOOKWHEEL_LAKE_SECRET_KEY": address.secret_key or "",
    }
