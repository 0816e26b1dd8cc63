"""Places for what takes long: so many in a process, and so many of one user."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from bookwheel_contracts.problems import RateLimitedError, UnavailableError

_RETRY_AFTER = 10


class Places:
    """`what` is under way there: a plural, for people."""

    def __init__(self, what: str, *, most: int, most_of_subject: int) -> None:
        self._what = what
        self._most = most
        self._most_of_subject = most_of_subject
        self._subjects: Counter[str] = Counter()

    @property
    def are_free(self) -> bool:
        """All of them."""
        return not self._subjects

    @contextmanager
    def taken(self, subject: str) -> Iterator[None]:
        """Raises RateLimited where the user has too many already, Unavailable where all have."""
        if self._subjects[subject] >= self._most_of_subject:
            message = f"You already have {self._most_of_subject} {self._what}; end one of those first."
            raise RateLimitedError(message, retry_after=_RETRY_AFTER)
        if self._subjects.total() >= self._most:
            raise UnavailableError(f"There are as many {self._what} as this server takes.", retry_after=_RETRY_AFTER)
        self._subjects[subject] += 1
        try:
            yield
        finally:
            self._subjects[subject] -= 1
            self._subjects += Counter()  # forgets subjects at zero
