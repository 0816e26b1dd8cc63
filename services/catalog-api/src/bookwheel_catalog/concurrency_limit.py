"""Limits concurrent long operations of one process, in total and per subject."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from bookwheel_contracts.problems import RateLimitedError, UnavailableError

_RETRY_AFTER = 10


class ConcurrencyLimiter:
    """`operations` names them in error messages, such as "downloads"."""

    def __init__(self, operations: str, *, limit: int, subject_limit: int) -> None:
        self._operations = operations
        self._limit = limit
        self._subject_limit = subject_limit
        self._by_subject: Counter[str] = Counter()

    @property
    def is_idle(self) -> bool:
        return not self._by_subject

    @contextmanager
    def acquire(self, subject: str) -> Iterator[None]:
        """Raises RateLimitedError if the subject is at its limit, UnavailableError if the process is."""
        if self._by_subject[subject] >= self._subject_limit:
            detail = f"You have {self._subject_limit} {self._operations}: end one of them first."
            raise RateLimitedError(detail, retry_after=_RETRY_AFTER)
        if self._by_subject.total() >= self._limit:
            raise UnavailableError(f"Too many concurrent {self._operations}: retry later.", retry_after=_RETRY_AFTER)
        self._by_subject[subject] += 1
        try:
            yield
        finally:
            self._by_subject[subject] -= 1
            self._by_subject += Counter()  # drops subjects at zero
