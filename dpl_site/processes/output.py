"""How children's lines become the supervisor's: cut, prefixed, coloured, and never waited for.

Everything has a bound: the length of a line, and what waits for a slow terminal.
"""

from __future__ import annotations

import json
import os
import re
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from dpl_site.processes.spec import COLOURS, Child

LINE_LIMIT = 32 * 1024
QUEUE_LIMIT = 1024 * 1024
OWN_NAME = "dpl"

# Colours may pass. Other control characters in a log line come from hostile text or by mistake.
_CONTROL = re.compile(r"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")


class LineCutter:
    """Cuts a stream of bytes into lines of at most LINE_LIMIT bytes; the rest of a longer one is counted."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._lost = 0

    def feed(self, data: bytes) -> list[str]:
        """The lines that these bytes complete."""
        *ends, rest = data.split(b"\n")
        lines = []
        for end in ends:
            self._take(end)
            lines.append(self._finish())
        self._take(rest)
        return lines

    def close(self) -> list[str]:
        """The line that was never ended, if any."""
        return [self._finish()] if self._kept else []

    def _take(self, part: bytes) -> None:
        room = LINE_LIMIT - len(self._kept)
        self._kept += part[:room]
        self._lost += max(0, len(part) - room)

    def _finish(self) -> str:
        text = _CONTROL.sub("\ufffd", self._kept.decode("utf-8", "replace").rstrip("\r"))
        note = f" … {self._lost} bytes cut" if self._lost else ""
        self._kept.clear()
        self._lost = 0
        return text + note


class Printer:
    """Writes lines to a descriptor from a thread of its own, so that a terminal that stands blocks nobody.

    QUEUE_LIMIT bytes may wait; lines beyond it are dropped, and their number is said when there is room.
    Important ones may wait a little beyond. When nobody reads any more, everything is thrown away in silence.
    """

    def __init__(self, descriptor: int, say_dropped: Callable[[int], str]) -> None:
        self._descriptor = descriptor
        self._say_dropped = say_dropped
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._dropped = 0
        self._is_closing = self._is_broken = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="printer", daemon=True)
        self._thread.start()

    def put(self, line: str, *, is_important: bool = False) -> None:
        """Have the line printed, or dropped and counted; never waits."""
        data = line.encode("utf-8", "replace") + b"\n"
        limit = QUEUE_LIMIT * 5 // 4 if is_important else QUEUE_LIMIT
        with self._changed:
            if self._is_broken:
                return
            if self._size + len(data) > limit:
                self._dropped += 1
                return
            self._tell_dropped()
            self._append(data)

    def close(self, timeout_s: float) -> None:
        """Wait until all is printed, but no longer than that."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _append(self, data: bytes) -> None:
        self._waiting.append(data)
        self._size += len(data)
        self._changed.notify()

    def _tell_dropped(self) -> None:
        dropped, self._dropped = self._dropped, 0
        if dropped:
            self._append(self._say_dropped(dropped).encode() + b"\n")

    def _run(self) -> None:
        while batch := self._next_batch():
            self._write(memoryview(batch))
            with self._changed:
                self._size -= len(batch)
                self._tell_dropped()

    def _next_batch(self) -> bytes:
        with self._changed:
            while not self._waiting and not self._is_closing:
                self._changed.wait()
            batch = b"".join(self._waiting)
            self._waiting.clear()
            return batch

    def _write(self, data: memoryview) -> None:
        while data and not self._is_broken:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # the descriptor is somebody else's too, and they made it non-blocking
                select.select([], [self._descriptor], [])
            except OSError:
                self._is_broken = True


class Console:
    """What is printed: lines of children with their name before them, the supervisor's own, the banner."""

    def __init__(
        self, children: Sequence[Child], *, descriptor: int, is_json: bool, is_coloured: bool
    ) -> None:
        self._is_json = is_json
        self._width = max(len(name) for name in (OWN_NAME, *(child.name for child in children)))
        palette = [colour for colour in COLOURS if colour not in ("red", "white")]
        self._colours = {
            child.name: COLOURS[child.colour or palette[index % len(palette)]]
            for index, child in enumerate(children)
            if is_coloured
        }
        self._printer = Printer(descriptor, self._dropped)

    def child(self, name: str, line: str) -> None:
        """A line that a child wrote."""
        self._printer.put(line if self._is_json else self._prefix(name) + line)

    def say(self, message: str, level: str = "INFO", **fields: object) -> None:
        """A line of the supervisor's own; `fields` appear in JSON only."""
        self._printer.put(self._own(message, level, fields), is_important=True)

    def banner(self, lines: Sequence[str]) -> None:
        """Lines for people and scripts to read, without a prefix in either format."""
        for line in lines:
            self._printer.put(line, is_important=True)

    def close(self, timeout_s: float = 1.0) -> None:
        """Print what still waits."""
        self._printer.close(timeout_s)

    def _dropped(self, count: int) -> str:
        return self._own(f"… {count} lines dropped", "WARNING", {"dropped": count})

    def _prefix(self, name: str) -> str:
        text = f"{name:<{self._width}} | "
        colour = self._colours.get(name)
        return f"\x1b[{colour}m{text}\x1b[0m" if colour else text

    def _own(self, message: str, level: str, fields: dict[str, object]) -> str:
        if not self._is_json:
            return f"{self._prefix(OWN_NAME)}{time.strftime('%H:%M:%S')} {message}"
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        head = {"asctime": now, "levelname": level, "name": "dpl.supervisor", "message": message}
        return json.dumps(head | {"process": os.getpid()} | fields, ensure_ascii=False)
