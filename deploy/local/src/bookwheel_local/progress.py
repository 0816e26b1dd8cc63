"""Shows what is going on: a line that is rewritten on a terminal, and now and then a line anywhere else."""

import time
from typing import TextIO

_SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """`update` often; `done` with what came of it. One step at a time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rewrites = stream.isatty()
        self._open = False
        self._shown = ""
        self._shown_at = float("-inf")

    def update(self, text: str) -> None:
        now = time.monotonic()
        if self._rewrites:
            self._write(f"\r\033[K  {text}")
            self._open = True
        elif text != self._shown and now - self._shown_at >= _SECONDS_BETWEEN_LINES:
            self._write(f"  {text}\n")
            self._shown, self._shown_at = text, now

    def done(self, text: str) -> None:
        self.end_line()
        self._write(f"{text}\n")
        self._shown_at = time.monotonic()

    def end_line(self) -> None:
        """Clears a line that is still being rewritten."""
        if self._open:
            self._write("\r\033[K")
            self._open = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
