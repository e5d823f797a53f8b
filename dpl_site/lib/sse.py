"""Bytes as they arrive, cut anywhere, put together into lines and into server-sent events."""

from __future__ import annotations


class LineTooLong(ValueError):
    """A line or an event passed the size it was allowed."""


class Lines:
    """Whole lines out of bytes that come in pieces; LF, CRLF and CR end a line.

    Bytes, not text: a line is whole before anybody decodes it, so a character cut in two is no matter.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self._ends_in_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their ends. Raises LineTooLong."""
        data = self._with_plain_ends(data)
        if b"\n" not in data:
            self._keep(data)
            return []
        lines = data.split(b"\n")
        if self._pieces:
            lines[0] = b"".join((*self._pieces, lines[0]))
            self._pieces, self._size = [], 0
        self._keep(lines.pop())
        return lines

    @property
    def is_between(self) -> bool:
        """Whether nothing of a line has come yet."""
        return not self._pieces and not self._ends_in_cr

    def rest(self) -> bytes:
        """What came after the last line's end."""
        return b"".join(self._pieces)

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._max_bytes:
            raise LineTooLong(f"a line is longer than {self._max_bytes} bytes")
        if data:
            self._pieces.append(data)

    def _with_plain_ends(self, data: bytes) -> bytes:
        """The same bytes with LF only; a LF that follows a CR of the piece before ends nothing more."""
        if self._ends_in_cr and data:
            self._ends_in_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" not in data:
            return data
        self._ends_in_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


class Events:
    """The `data` of server-sent events; comments and other fields are read over."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lines = Lines(max_bytes)
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The data of each event that `data` completes; several `data:` lines of one are joined by LF."""
        if plain := self._plain(data):
            return plain
        events: list[bytes] = []
        for line in self._lines.feed(data):
            if line:
                self._take(line)
            elif self._data:
                events.append(self._event())
        return events

    @property
    def is_between(self) -> bool:
        """Whether nothing of an event has come yet."""
        return not self._data and self._lines.is_between

    def rest(self) -> list[bytes]:
        """The data of a last event that no blank line ended."""
        line = self._lines.rest()
        if line:
            self._take(line)
        return [self._event()] if self._data else []

    def _plain(self, data: bytes) -> list[bytes]:
        """The events of data that is whole events of one line each, as most of what comes is; else none.

        Cutting it at once costs a tenth of looking at each line.
        """
        if not data.startswith(b"data: ") or not data.endswith(b"\n\n") or b"\r" in data:
            return []
        if len(data) > self._max_bytes or not self.is_between:
            return []
        events = data[6:-2].split(b"\n\ndata: ")
        return events if data.count(b"\n") == 2 * len(events) else []

    def _take(self, line: bytes) -> None:
        if line.startswith(b"data: "):
            value = line[6:]
        elif line.startswith(b"data:"):
            value = line[5:]
        elif line == b"data":
            value = b""
        else:
            return
        self._size += len(value)
        if self._size > self._max_bytes:
            raise LineTooLong(f"an event is longer than {self._max_bytes} bytes")
        self._data.append(value)

    def _event(self) -> bytes:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data, self._size = [], 0
        return data
