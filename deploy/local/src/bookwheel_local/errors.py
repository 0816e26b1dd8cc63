"""Errors of the one-machine suite. Each message says what to do."""


class LocalError(Exception):
    """Ends the command; the user sees only its text."""


class PortInUseError(LocalError):
    def __init__(self, port: int, program: str) -> None:
        super().__init__(
            f"port {port} (for {program}) is in use by another process.\n"
            f"Free it, or choose other ports with BOOKWHEEL_PORT_BASE, as in: BOOKWHEEL_PORT_BASE=9080 make up"
        )


class NotRunningError(LocalError):
    def __init__(self) -> None:
        super().__init__("the suite is not running here; start it with: make up")


class ProcessFailedError(LocalError):
    """A program of the suite, or a step before its start, failed. `log_end` is the end of its output."""

    def __init__(self, name: str, fault: str, log_end: str) -> None:
        super().__init__(
            f"{name} {fault}. Its log ends with:\n{log_end or '(nothing)'}\nMore: make logs SERVICE={name}"
        )


class RequestFailedError(LocalError):
    """The suite's API answered with an error."""


class CrawlStalledError(LocalError):
    """A crawl made no progress for a long time."""
