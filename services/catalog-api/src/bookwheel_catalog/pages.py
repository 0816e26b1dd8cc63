"""An answer as it is cached, and the headers that go with it."""

from dataclasses import dataclass
from urllib.parse import quote

from fastapi import Response


@dataclass(frozen=True, slots=True)
class Page:
    """JSON, and the cursor of the page that follows."""

    content: bytes
    following: str | None = None

    def framed(self) -> bytes:
        return b"%b\n%b" % ((self.following or "").encode(), self.content)

    @staticmethod
    def unframed(frame: bytes) -> "Page":
        following, _, content = frame.partition(b"\n")
        return Page(content, following.decode() or None)


class PageResponse(Response):
    """JSON, or nothing; its headers are sent as they are given."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], content: bytes = b"") -> None:
        self.status_code, self.body, self.background = status, content, None
        self.raw_headers = headers
        if status == 200:
            length = b"%d" % len(content)
            self.raw_headers += [(b"content-length", length), (b"content-type", b"application/json")]


def next_link(path: str, query: str, following: str, parameter: str = "cursor") -> str:
    """The `Link` header's value: the same request from the cursor on."""
    kept = [part for part in query.split("&") if part and not part.startswith(f"{parameter}=")]
    return f'<{quote(path)}?{"&".join([*kept, f"{parameter}={following}"])}>; rel="next"'


def matches_etag(if_none_match: str | None, etag: str) -> bool:
    """Whether the client holds this very representation: a weak tag compares equal here, as RFC 9110 has it."""
    if if_none_match is None:
        return False
    return any(tag.strip().removeprefix("W/") in {etag, "*"} for tag in if_none_match.split(","))
