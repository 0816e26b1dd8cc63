"""Names of partitions and files, from whatever a source is called."""

from hashlib import sha256
from urllib.parse import quote

_LONGEST = 120
"""A name in a folder has 255 bytes at most, and holds more than this value."""


def partition_value(value: str) -> str:
    """The value in the percent-encoding of Hive's partitions, which DuckDB, pyarrow and polars decode.

    One too long for a file's name is cut, and told from its like by a digest. Two values never come to one name.
    """
    encoded = quote(value, safe="", errors="surrogatepass")
    if encoded.startswith("."):
        encoded = f"%2E{encoded[1:]}"
    if len(encoded) <= _LONGEST:
        return encoded
    digest = sha256(value.encode(errors="surrogatepass")).hexdigest()[:24]
    return f"{encoded[: _LONGEST - 25].rpartition('%')[0] or encoded[: _LONGEST - 25]}~{digest}"
