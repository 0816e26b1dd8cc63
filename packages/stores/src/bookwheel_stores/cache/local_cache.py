"""Answers that one process remembers, the latest used ones first."""

from collections import OrderedDict

_BYTES = 16 << 20
_LARGEST = 1 << 20  # one answer must not drive all the others out


class LocalCache:
    """Answers with the generation that they are current for: of each key the latest, of all some 16 MB."""

    def __init__(self, limit: int = _BYTES) -> None:
        self._limit = limit
        self._size = 0
        self._answers: OrderedDict[str, tuple[int, bytes]] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._answers

    def get(self, key: str, generation: int | None) -> bytes | None:
        """None where there is none of this generation."""
        known = self._answers.get(key)
        if known is None or known[0] != generation:
            return None
        self._answers.move_to_end(key)
        return known[1]

    def add(self, key: str, generation: int, body: bytes) -> None:
        known = self._answers.pop(key, None)
        if known is not None:
            self._size -= len(known[1])
        if len(body) > _LARGEST:
            return
        self._answers[key] = (generation, body)
        self._size += len(body)
        while self._size > self._limit:
            self._size -= len(self._answers.popitem(last=False)[1][1])
