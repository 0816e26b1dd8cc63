"""Where the lake is: a folder, or a prefix in an S3-compatible bucket."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pyarrow.fs import AwsStandardS3RetryStrategy, FileSystem, LocalFileSystem, S3FileSystem

_CONNECT_SECONDS, _REQUEST_SECONDS = 5.0, 30.0


@dataclass(frozen=True, slots=True)
class LakeAddress:
    """`url` is `file:///folder` or `s3://bucket/prefix`. The rest is for S3: the endpoint's URL where it is not
    Amazon's, and credentials, without which the environment's or the machine's own are used.
    """

    url: str
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Raises ValueError, which names what is wrong but repeats no secret."""
        parts = urlsplit(self.url)
        if parts.scheme not in {"file", "s3"}:
            raise ValueError("the lake is at file:///folder or s3://bucket/prefix")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                "the lake's URL has an address only: credentials and the endpoint are settings of their own"
            )
        if parts.scheme == "file" and (parts.netloc or not parts.path.strip("/")):
            raise ValueError("a lake in a folder is at file:///, three slashes and an absolute path")
        if parts.scheme == "s3" and not parts.netloc:
            raise ValueError("s3:// is followed by a bucket's name")
        if self.endpoint is not None and urlsplit(self.endpoint).scheme not in {"http", "https"}:
            raise ValueError("the lake's endpoint is a URL: https://host:port")
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("the lake's access key and secret key belong together")

    @property
    def folder(self) -> Path | None:
        """Where it is a folder."""
        parts = urlsplit(self.url)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    @property
    def root(self) -> str:
        """The path of all, in the file system."""
        parts = urlsplit(self.url)
        return str(self.folder) if parts.scheme == "file" else f"{parts.netloc}{parts.path}".rstrip("/")

    def filesystem(self) -> FileSystem:
        """Connects to nothing yet."""
        if self.folder is not None:
            return LocalFileSystem()
        endpoint = urlsplit(self.endpoint) if self.endpoint else None
        return S3FileSystem(
            access_key=self.access_key,
            secret_key=self.secret_key,
            region=self.region,
            endpoint_override=endpoint.netloc if endpoint else None,
            scheme=endpoint.scheme if endpoint else "https",
            connect_timeout=_CONNECT_SECONDS,
            request_timeout=_REQUEST_SECONDS,
            retry_strategy=AwsStandardS3RetryStrategy(max_attempts=3),
            background_writes=False,
            allow_delayed_open=True,  # a small file is one request
        )
