"""Types of settings that are addresses. An error names the expected form and never the value, which may hold a
password.
"""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator


def _address(pattern: str, *, expected: str) -> AfterValidator:
    form = re.compile(pattern)

    def check(value: str) -> str:
        try:
            urlsplit(value).port  # noqa: B018 - raises for a port that is not a number
            is_well_formed = form.fullmatch(value) is not None
        except ValueError:
            is_well_formed = False
        if not is_well_formed:
            raise ValueError(f"expected {expected}")
        return value

    return AfterValidator(check)


_POSTGRES = r"postgres(?:ql)?(?:\+psycopg)?://[^/\s]*/[^/\s]+"
DatabaseUrl = Annotated[
    str,
    _address(
        rf"sqlite:///\S.*|{_POSTGRES}",
        expected="sqlite:///path or postgresql://user:password@host:port/database",
    ),
]
RedisUrl = Annotated[
    str, _address(r"rediss?://[^/\s]+(?:/\d*)?(?:\?\S*)?|unix://\S+", expected="redis[s]://:password@host:port/0")
]
SearchUrl = Annotated[
    str,
    _address(
        r"tantivy:///\S.*|elasticsearch(?:\+https)?://[^/\s]+(?:/\S*)?",
        expected="tantivy:///folder or elasticsearch[+https]://[user:password@]host:port[/prefix]",
    ),
]
HttpUrl = Annotated[str, _address(r"https?://[^/\s]+(?:/\S*)?", expected="http[s]://host:port")]
LakeUrl = Annotated[
    str,
    _address(
        r"file:///\S.*|(?:s3|gs)://[^/\s]+(?:/\S*)?",
        expected="file:///folder, s3://bucket/prefix or gs://bucket/prefix",
    ),
]
TrackingUri = Annotated[
    str,
    _address(
        rf"sqlite:///\S.*|https?://[^/\s]+(?:/\S*)?|{_POSTGRES}",
        expected="http[s]://host:port of an MLflow server, sqlite:///path or postgresql://…",
    ),
]
