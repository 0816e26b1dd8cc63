"""Types of settings that contain a URL.

An error states the expected format. It does not contain the value, which may contain a password.
"""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator


def _url(pattern: str, *, expected: str) -> AfterValidator:
    url_pattern = re.compile(pattern)

    def check(value: str) -> str:
        try:
            urlsplit(value).port  # noqa: B018 - raises for a port that is not a number
            is_valid = url_pattern.fullmatch(value) is not None
        except ValueError:
            is_valid = False
        if not is_valid:
            raise ValueError(f"expected {expected}")
        return value

    return AfterValidator(check)


_POSTGRES = r"postgres(?:ql)?(?:\+psycopg)?://[^/\s]*/[^/\s]+"
DatabaseUrl = Annotated[
    str,
    _url(
        rf"sqlite:///\S.*|{_POSTGRES}",
        expected="sqlite:///path or postgresql://user:password@host:port/database",
    ),
]
RedisUrl = Annotated[
    str, _url(r"rediss?://[^/\s]+(?:/\d*)?(?:\?\S*)?|unix://\S+", expected="redis[s]://:password@host:port/0")
]
SearchUrl = Annotated[
    str,
    _url(
        r"tantivy:///\S.*|elasticsearch(?:\+https)?://[^/\s]+(?:/\S*)?",
        expected="tantivy:///folder or elasticsearch[+https]://[user:password@]host:port[/prefix]",
    ),
]
HttpUrl = Annotated[str, _url(r"https?://[^/\s]+(?:/\S*)?", expected="http[s]://host:port")]
LakeUrl = Annotated[
    str,
    _url(
        r"file:///\S.*|(?:s3|gs)://[^/\s]+(?:/\S*)?",
        expected="file:///folder, s3://bucket/prefix or gs://bucket/prefix",
    ),
]
TrackingUri = Annotated[
    str,
    _url(
        rf"sqlite:///\S.*|https?://[^/\s]+(?:/\S*)?|{_POSTGRES}",
        expected="http[s]://host:port of an MLflow server, sqlite:///path or postgresql://…",
    ),
]
