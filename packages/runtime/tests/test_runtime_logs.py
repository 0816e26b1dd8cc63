"""Log records as JSON lines."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from bookwheel_runtime.logs import configure_logs, get_logger
from bookwheel_runtime.traces import trace_id_of, traced

logger = get_logger("bookwheel.part")


@pytest.fixture(autouse=True)
def _configured() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    configure_logs("shop", "INFO")
    yield
    structlog.configure(**before)
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_has_service_trace_id_and_logger(capfd: pytest.CaptureFixture[str]) -> None:
    with traced(None) as traceparent:
        logger.info("sold", copies=2, by={"who": "é"})
        logger.debug("not shown")
        logging.getLogger("theirs").warning("left %s", 3, extra={"shelf": "b"})
    ours, theirs = map(json.loads, capfd.readouterr().err.splitlines())
    assert {name: ours[name] for name in ("event", "level", "logger", "service", "copies", "by")} == {
        "event": "sold",
        "level": "info",
        "logger": "bookwheel.part",
        "service": "shop",
        "copies": 2,
        "by": {"who": "é"},
    }
    assert (theirs["event"], theirs["logger"], theirs["shelf"], theirs["service"]) == ("left 3", "theirs", "b", "shop")
    assert ours["trace_id"] == theirs["trace_id"] == trace_id_of(traceparent)
    assert ours["time"] <= theirs["time"]


def test_an_exception_is_logged_with_its_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    try:
        raise KeyError("gone")
    except KeyError:
        logger.exception("failed")
    line = json.loads(capfd.readouterr().err)
    assert line["level"] == "error"
    assert "KeyError: 'gone'" in line["exception"]


@pytest.mark.parametrize("value", ["\ud800", 2**70, {(1, 2): 3}, {"deep": {5: object}}, b"\xff"])
def test_any_value_can_be_logged(value: object, capfd: pytest.CaptureFixture[str]) -> None:
    logger.warning("strange", value=value)
    assert json.loads(capfd.readouterr().err)["event"] == "strange"


def test_a_line_that_cannot_be_written_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    with io.TextIOWrapper(Path("/dev/full").open("wb", buffering=0)) as full:
        monkeypatch.setattr(sys, "stderr", full)
        with pytest.raises(OSError, match="space"):
            full.buffer.write(b"x")
        logger.warning("lost")
        monkeypatch.undo()


async def test_lines_of_structlog_and_logging_are_written_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    logger.info("one")
    logging.getLogger("theirs").info("two")
    logger.warning("three")
    assert written(capfd) == ["one", "two", "three"]


def written(capfd: pytest.CaptureFixture[str]) -> list[str]:
    return [json.loads(line)["event"] for line in capfd.readouterr().err.splitlines()]


def test_the_last_line_is_written_before_the_process_ends() -> None:
    program = """
import asyncio
from bookwheel_runtime.logs import configure_logs, get_logger

async def main():
    get_logger("x").info("last words")
    raise SystemExit(3)

configure_logs("shop")
asyncio.run(main())
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 3
    assert json.loads(result.stderr)["event"] == "last words"
