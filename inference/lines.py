"""What of a stream may be passed on: whole lines, so that an error can follow whatever came last. Pure."""

from __future__ import annotations

from inference.errors import ReplyTooLarge


class WholeLines:
    """Cuts the bytes of one stream at the ends of lines."""

    def __init__(self, most: int) -> None:
        """`most`: how many bytes a line may have."""
        self._most = most
        self._held: list[bytes] = []
        self._held_bytes = 0

    def take(self, data: bytes) -> bytes:
        """The whole lines that there are now, often all of `data`. Raises ReplyTooLarge."""
        if not self._held and data.endswith(b"\n"):
            return data
        end = data.rfind(b"\n") + 1
        whole = b"".join([*self._held, data[:end]]) if end else b""
        if end:
            self._held, self._held_bytes = [], 0
        if end < len(data):
            self._hold(data[end:])
        return whole

    def rest(self) -> bytes:
        """What came after the last line's end."""
        return b"".join(self._held)

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > self._most:
            raise ReplyTooLarge(f"The answer passed its limit: a line is longer than {self._most} bytes.")
