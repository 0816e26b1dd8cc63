"""Writes log records as JSON lines with service and trace id to standard error."""

import json
import logging
import sys
from contextlib import suppress
from typing import Any, BinaryIO, cast

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from bookwheel_runtime.traces import current_trace_id

_LOGGER_NAME_KEY = "_name"
"""`get_logger` binds the logger's name to this key, and `_rename_logger` changes the key to `logger`.

structlog does not accept an initial value with the key `logger`.
"""


class _StderrFile:
    """Standard error as a binary file. If the disk is full or the pipe is closed, the line is lost without an error."""

    def write(self, data: bytes) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.buffer.write(data)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.buffer.flush()


_stderr_file = _StderrFile()


class _ForeignHandler(logging.Handler):
    """Writes the log records of packages that use the standard library's logging."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - the convention of handlers for records that cannot be formatted
            self.handleError(record)
            return
        _stderr_file.write(line.encode("utf-8", "backslashreplace") + b"\n")
        _stderr_file.flush()


def configure_logs(service: str, level: str = "INFO") -> None:
    """Writes the log records of structlog and of the standard library to standard error as JSON lines."""

    def add_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    shared: list[Processor] = [
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        add_service,
        _add_trace_id,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _rename_logger,
            *shared,
            structlog.processors.JSONRenderer(serializer=_dump_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(cast("BinaryIO", _stderr_file)),
        cache_logger_on_first_use=True,
    )
    foreign: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
    ]
    handler = _ForeignHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*foreign, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                lambda _logger, _method, event: _dump_json(event).decode(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)


def get_logger(name: str) -> FilteringBoundLogger:
    logger: FilteringBoundLogger = structlog.get_logger(**{_LOGGER_NAME_KEY: name})
    return logger


def _rename_logger(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["logger"] = event.pop(_LOGGER_NAME_KEY, None)
    return event


def _add_trace_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    trace_id = current_trace_id()
    if trace_id is not None:
        event.setdefault("trace_id", trace_id)
    return event


def _dump_json(event: EventDict, **_: Any) -> bytes:
    try:
        return orjson.dumps(event, default=str)
    except TypeError:  # lone surrogates, numbers beyond 64 bits, keys that are not text
        return json.dumps(event, default=str, skipkeys=True).encode()
