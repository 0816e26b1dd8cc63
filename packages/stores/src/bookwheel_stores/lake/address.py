"""The URL and credentials of the lake: a folder, or a prefix in an S3 or GCS bucket."""

import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pyarrow.fs import AwsStandardS3RetryStrategy, FileSystem, GcsFileSystem, LocalFileSystem, S3FileSystem

_CONNECT_SECONDS, _REQUEST_SECONDS, _RETRY_SECONDS = 5, 30, 60
_RETRIES = 2


@dataclass(frozen=True, slots=True)
class LakeAddress:
    """The location of the lake: `file:///folder`, `s3://bucket/prefix` or `gs://bucket/prefix`.

    `endpoint` is the URL of an S3-compatible store or of a GCS emulator. No credentials are sent to an emulator.
    `region` and the keys are for S3. Without keys, and always for GCS, the credentials of the environment or the
    machine are used.
    """

    url: str
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Raises ValueError if the address is invalid. The message contains no secret."""
        parts = urlsplit(self.url)
        if parts.scheme not in {"file", "s3", "gs"}:
            raise ValueError("the lake's URL must be file:///folder, s3://bucket/prefix or gs://bucket/prefix")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("the lake's URL is invalid: set credentials and the endpoint in their own settings")
        if parts.scheme == "file" and (parts.netloc or not parts.path.strip("/")):
            raise ValueError("the lake's URL is invalid: a folder must be like file:///var/lib/bookwheel/lake")
        if parts.scheme != "file" and not parts.netloc:
            raise ValueError(f"{parts.scheme}:// must be followed by the name of a bucket")
        if self.endpoint is not None and urlsplit(self.endpoint).scheme not in {"http", "https"}:
            raise ValueError("the lake's endpoint must be a URL: https://host:port")
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("the lake's access key and secret key must be set together")
        if parts.scheme == "gs" and self.access_key is not None:
            raise ValueError("a lake on GCS has no access key: its credentials are those of the environment")

    @property
    def folder(self) -> Path | None:
        """The folder; None for a bucket."""
        parts = urlsplit(self.url)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    @property
    def root(self) -> str:
        """The path of the lake in its file system."""
        parts = urlsplit(self.url)
        return str(self.folder) if parts.scheme == "file" else f"{parts.netloc}{parts.path}".rstrip("/")

    def table_url(self, path: str) -> str:
        """Returns the URL of a Delta table, for `deltalake`."""
        scheme = urlsplit(self.url).scheme
        return f"{self.root}/{path}" if scheme == "file" else f"{scheme}://{self.root}/{path}"

    def storage_options(self) -> dict[str, str]:
        """Returns the storage options of `deltalake`."""
        scheme = urlsplit(self.url).scheme
        if scheme == "file":
            return {}
        options = {
            "timeout": f"{_REQUEST_SECONDS}s",
            "connect_timeout": f"{_CONNECT_SECONDS}s",
            "max_retries": f"{_RETRIES}",
            "retry_timeout": f"{_RETRY_SECONDS}s",
            "allow_http": str((self.endpoint or "").startswith("http://")).lower(),
        }
        if scheme == "gs":
            return options | ({} if self.endpoint is None else _emulator_options(self.endpoint))
        # Commits are conditional requests, so that concurrent writers need no lock service.
        options |= {"aws_region": self.region, "aws_conditional_put": "etag"}
        if self.endpoint is not None:
            options["aws_endpoint"] = self.endpoint
        if self.access_key is not None and self.secret_key is not None:
            options |= {"aws_access_key_id": self.access_key, "aws_secret_access_key": self.secret_key}
        return options

    def filesystem(self) -> FileSystem:
        """Returns the file system without connecting to it."""
        if self.folder is not None:
            return LocalFileSystem()
        endpoint = urlsplit(self.endpoint) if self.endpoint else None
        netloc, scheme = (endpoint.netloc, endpoint.scheme) if endpoint else (None, "https")
        if urlsplit(self.url).scheme == "gs":
            return GcsFileSystem(
                anonymous=endpoint is not None,
                endpoint_override=netloc,
                scheme=scheme,
                retry_time_limit=timedelta(seconds=_RETRY_SECONDS),
            )
        return S3FileSystem(
            access_key=self.access_key,
            secret_key=self.secret_key,
            region=self.region,
            endpoint_override=netloc,
            scheme=scheme,
            connect_timeout=_CONNECT_SECONDS,
            request_timeout=_REQUEST_SECONDS,
            retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_RETRIES + 1),
            background_writes=False,
            allow_delayed_open=True,  # so that a small file needs one request
        )


def _emulator_options(endpoint: str) -> dict[str, str]:
    account = {"gcs_base_url": endpoint, "disable_oauth": True, "client_email": "", "private_key": ""}
    return {"google_service_account_key": json.dumps(account | {"private_key_id": ""})}
