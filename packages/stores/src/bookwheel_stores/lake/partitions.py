"""Names of partitions and files, from whatever a source is called."""

from hashlib import sha256
from urllib.parse import quote, unquote

_LONGEST = 120
"""A name in a folder has 255 bytes at most, and holds more than this value."""


def partition_value(value: str) -> str:
    """The value in the percent-encoding of Hive's partitions, which DuckDB, pyarrow and polars decode.

    One too long for a file's name is cut, and told from its like by a digest. Two values never come to one name.
    """
    encoded = quote(value, safe="").replace("~", "%7E")
    if encoded.startswith("."):
        encoded = f"%2E{encoded[1:]}"
    if len(encoded) <= _LONGEST:
        return encoded
    digest = sha256(value.encode()).hexdigest()[:24]
    cut = encoded[: _LONGEST - 25]
    return f"{cut[: cut.rfind('%', len(cut) - 2)] if '%' in cut[-2:] else cut}~{digest}"


def partition_name(folder: str) -> str:
    """The value in a partition's folder `name=value`; of a long one, what is left of it."""
    return unquote(folder.partition("=")[2], errors="replace")
