"""Limits concurrent long operations of a process, in total and per subject."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from bookwheel_contracts.problems import RateLimitedError, UnavailableError

_RETRY_AFTER = 10


class ConcurrencyLimiter:
    """Counts running operations. `operations` is their plural name in error messages, such as "downloads"."""

    def __init__(self, operations: str, *, limit: int, subject_limit: int) -> None:
        self._operations = operations
        self._limit = limit
        self._subject_limit = subject_limit
        self._counts_by_subject: Counter[str] = Counter()

    @property
    def is_idle(self) -> bool:
        return not self._counts_by_subject

    @contextmanager
    def acquire(self, subject: str) -> Iterator[None]:
        """Counts an operation for the duration of the context.

        Raises RateLimitedError if the subject is at its limit, UnavailableError if the process is at its limit.
        """
        if self._counts_by_subject[subject] >= self._subject_limit:
            detail = f"You already have {self._subject_limit} {self._operations}, the maximum. End one first."
            raise RateLimitedError(detail, retry_after=_RETRY_AFTER)
        if self._counts_by_subject.total() >= self._limit:
            raise UnavailableError(
                f"The service has too many concurrent {self._operations}: retry later.", retry_after=_RETRY_AFTER
            )
        self._counts_by_subject[subject] += 1
        try:
            yield
        finally:
            self._counts_by_subject[subject] -= 1
            self._counts_by_subject += Counter()  # removes subjects with a zero count
