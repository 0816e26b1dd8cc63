"""What can go wrong on one machine, each with a message that says what to do."""


class LocalError(Exception):
    """Ends the command; its text is all that the user sees."""


class PortInUseError(LocalError):
    def __init__(self, port: int, program: str) -> None:
        super().__init__(
            f"port {port} (for {program}) is in use by another process.\n"
            f"Free it, or choose other ports with BOOKWHEEL_PORT_BASE, as in: BOOKWHEEL_PORT_BASE=9080 make up"
        )


class NotRunningError(LocalError):
    def __init__(self) -> None:
        super().__init__("the suite does not run here; start it with: make up")


class ProcessFailedError(LocalError):
    """A program of the suite, or a step before its start, ended with an error; `log_end` is the last of its output."""

    def __init__(self, name: str, what: str, log_end: str) -> None:
        super().__init__(f"{name} {what}. Its log ends with:\n{log_end or '(nothing)'}\nMore: make logs SERVICE={name}")


class RequestFailedError(LocalError):
    """The suite's API answered with an error."""


class CrawlStalledError(LocalError):
    """A crawl made no progress for a long time."""
