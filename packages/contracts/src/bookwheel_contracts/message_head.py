"""Reads the identity of a raw message from its beginning, without parsing the rest."""

import re
from typing import NamedTuple

# Writers put these fields first and the payload last.
_KIND = re.compile(rb'\A\s*\{\s*"kind"\s*:\s*"([a-z_]{1,30})"')
_RUN_ID = re.compile(rb'"run_id"\s*:\s*"([A-Za-z0-9_.:-]{1,512})"')
_ITEM_NUMBER = re.compile(rb'"item_number"\s*:\s*([1-9][0-9]{0,17})\s*[,}]')
_SOURCE = re.compile(rb'"source"\s*:\s*"([A-Za-z0-9_.-]{1,100})"')
_LENGTH = 4096


class MessageHead(NamedTuple):
    """A field is None if the beginning of the message lacks it."""

    kind: str | None
    run_id: str | None
    item_number: int | None
    source: str | None


def read_head(body: bytes) -> MessageHead:
    """Returns the identity of a message. Never raises."""
    head = body[:_LENGTH].partition(b'"payload"')[0]
    number = _match(_ITEM_NUMBER, head)
    return MessageHead(
        _match(_KIND, head), _match(_RUN_ID, head), None if number is None else int(number), _match(_SOURCE, head)
    )


def _match(pattern: re.Pattern[bytes], head: bytes) -> str | None:
    match = pattern.search(head)
    return None if match is None else match[1].decode()
