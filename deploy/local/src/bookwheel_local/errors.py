"""Errors of the one-machine suite."""


class LocalError(Exception):
    """Ends the command. The user sees only its message."""


class PortInUseError(LocalError):
    def __init__(self, port: int, program: str) -> None:
        super().__init__(
            f"port {port} (for {program}) is in use by another process.\n"
            f"Free it, or choose other ports, for example: BOOKWHEEL_PORT_BASE=9080 make up"
        )


class NotRunningError(LocalError):
    def __init__(self) -> None:
        super().__init__("the suite is not running here: start it with `make up`")


class ProcessFailedError(LocalError):
    """A program of the suite, or a step before its start, failed. `log_tail` is the end of its output, if known."""

    def __init__(self, name: str, reason: str, log_tail: str | None = None) -> None:
        log_text = "" if log_tail is None else f" Its log ends with:\n{log_tail or '(nothing)'}\n"
        super().__init__(f"{name} {reason}.{log_text or ' '}For more, run `make logs SERVICE={name}`.")


class RequestFailedError(LocalError):
    """The suite's API answered with an error."""


class CrawlStalledError(LocalError):
    """A crawl made no progress for a long time."""
