"""Progress of a command. A terminal shows one line that is rewritten; other outputs get a line every few seconds."""

import time
from typing import TextIO

_SECONDS_BETWEEN_LINES = 5.0


class ProgressLine:
    """Shows the current step. Call `update` often, and `finish` with the result."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rewrites = stream.isatty()
        self._is_open = False
        self._last_text = ""
        self._last_written_at = float("-inf")

    def update(self, text: str) -> None:
        now = time.monotonic()
        if self._rewrites:
            self._write(f"\r\033[K  {text}")
            self._is_open = True
        elif text != self._last_text and now - self._last_written_at >= _SECONDS_BETWEEN_LINES:
            self._write(f"  {text}\n")
            self._last_text, self._last_written_at = text, now

    def finish(self, text: str) -> None:
        self.clear()
        self._write(f"{text}\n")
        self._last_written_at = time.monotonic()

    def clear(self) -> None:
        """Clears the rewritten line."""
        if self._is_open:
            self._write("\r\033[K")
            self._is_open = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
