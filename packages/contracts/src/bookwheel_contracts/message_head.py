"""What the beginning of a message in the raw stream tells of it, where the whole can't be read or need not be."""

import re
from typing import NamedTuple

# Writers put these first, and what a shop's page says, the payload, last.
_KIND = re.compile(rb'\A\s*\{\s*"kind"\s*:\s*"([a-z_]{1,30})"')
_RUN_ID = re.compile(rb'"run_id"\s*:\s*"([A-Za-z0-9_.:-]{1,512})"')
_ITEM_NUMBER = re.compile(rb'"item_number"\s*:\s*([1-9][0-9]{0,17})\s*[,}]')
_SOURCE = re.compile(rb'"source"\s*:\s*"([A-Za-z0-9_.-]{1,100})"')
_LENGTH = 4096


class MessageHead(NamedTuple):
    """None for what is not found."""

    kind: str | None
    run_id: str | None
    item_number: int | None
    source: str | None


def read_head(body: bytes) -> MessageHead:
    """Never fails, whatever the body holds."""
    head = body[:_LENGTH].partition(b'"payload"')[0]
    number = _found(_ITEM_NUMBER, head)
    return MessageHead(
        _found(_KIND, head), _found(_RUN_ID, head), None if number is None else int(number), _found(_SOURCE, head)
    )


def _found(pattern: re.Pattern[bytes], head: bytes) -> str | None:
    found = pattern.search(head)
    return None if found is None else found[1].decode()
