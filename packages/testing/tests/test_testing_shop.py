"""Tests advance the day of the demo shop."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bookwheel_testing.shop_check import next_day
from bookwheel_testing.suite_under_test import another_shop


@dataclass
class SuiteWithShop:
    shop_url: str
    shop_day: int = 0

    def books_where(self, *filters: str, **parameters: str) -> list[dict[str, Any]]:
        raise NotImplementedError

    def rows(self, query: str, **parameters: object) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def processor_command(self, *arguments: str) -> str:
        raise NotImplementedError


def test_the_next_day_of_a_new_shop_process_follows_the_last_day_of_the_earlier_one(tmp_path: Path) -> None:
    suite = SuiteWithShop("")
    days = []
    for _ in range(2):
        with another_shop(tmp_path, books=10, seed=1) as url:
            suite.shop_url = url.rstrip("/")
            for _ in range(2):
                next_day(suite)
                days.append(suite.shop_day)
    assert days == [1, 2, 3, 4]
