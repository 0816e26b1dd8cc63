"""Every page of the tables gives exactly the stated fields."""

from typing import Any


def test_a_page_gives_exactly_the_stated_fields(page_case: Any, render_page: Any) -> None:
    assert render_page(page_case.read()) == page_case.expected
