import pytest
from bookwheel_catalog.exports.byte_ranges import InvalidByteRangeError, parse_range


@pytest.mark.parametrize(
    ("header", "if_range", "expected"),
    [
        (None, None, None),
        ("bytes=0-9", None, (0, 10)),
        ("bytes=5-", None, (5, 100)),
        ("bytes=-10", None, (90, 100)),
        ("bytes=-1000", None, (0, 100)),
        ("bytes=90-1000", None, (90, 100)),
        ("bytes=0-0", None, (0, 1)),
        ("bytes=0-9", '"tag"', (0, 10)),
        ("bytes=0-9", '"other"', None),
        ("bytes=0-9", 'W/"tag"', None),
        ("bytes=0-9,20-29", None, None),
        ("bytes=9-0", None, None),
        ("bytes=-", None, None),
        ("items=0-9", None, None),
        ("bytes=a-b", None, None),
        ("bytes=٣-٤", None, None),
        ("bytes=" + "9" * 40 + "-", None, None),
    ],
)
def test_parse_range(header: str | None, if_range: str | None, expected: tuple[int, int] | None) -> None:
    assert parse_range(header, if_range, etag='"tag"', size=100) == expected


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=100-", 100), ("bytes=100-200", 100), ("bytes=-0", 100), ("bytes=0-", 0)]
)
def test_range_after_the_end_is_rejected(header: str, size: int) -> None:
    with pytest.raises(InvalidByteRangeError):
        parse_range(header, None, etag='"tag"', size=size)
