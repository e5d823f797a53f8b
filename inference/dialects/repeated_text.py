"""Recognises the events of an OpenAI stream that repeat the one before in all but a piece of text. Pure."""

from __future__ import annotations

from typing import Any

TEXTS = frozenset({"content", "reasoning_content", "reasoning", "refusal"})
"""What of a message comes in pieces that are joined."""
LATE = frozenset({"usage", "timings", "service_tier"})
"""What a chunk tells of the whole answer."""
MOST_TRIES = 4
"""So many events are learned from in vain, one after the other: there are engines that number theirs."""
_MORE = ("index", "finish_reason", "logprobs")
"""What makes a choice more than a piece of the first one's text."""
_KEYS = {name: (b'"%b":"' % name.encode(), b'"%b": "' % name.encode()) for name in TEXTS}


class RepeatedText:
    """What stands before and after a piece of text, learned from one event and found again in those that follow.

    An event that begins and ends in the same way, with plain characters between, is JSON that says the same but for
    the text. A run of such events is cut apart at once, which costs a fifth of parsing them.
    """

    __slots__ = ("_after", "_before", "_between", "_tries")

    def __init__(self) -> None:
        self._before = self._after = self._between = b""
        self._tries = 0

    @property
    def is_learning(self) -> bool:
        """Whether events had better come one by one, each to be learned from."""
        return not self._before and self._tries < MOST_TRIES

    def cut(self, data: bytes) -> tuple[str, bytes] | None:
        """The text of the run of such events that these bytes begin with, and the rest; None where there is none."""
        before = self._before
        if not before or not data.startswith(before):
            return None
        *pieces, last = data[len(before) :].split(self._between)
        piece, end, rest = last.partition(self._after)
        if end:
            pieces.append(piece)
        text = _plain(b"".join(pieces)) if pieces else None
        if text is None:
            return None
        if not end:
            rest = before + last
        self._tries = 0
        return text, rest

    def learn(self, event: bytes, chunk: Any) -> str:
        """Learn from the data of an event and what they say; the text's name, empty where they say more than a text."""
        self._tries += 1
        name, text = _only_text(chunk)
        for key in _KEYS.get(name, ()):
            start = event.find(key) + len(key)
            end = event.find(b'"', start)
            # One such key is the text's own: within another text its quotes would have backslashes.
            if start >= len(key) and event.find(key, start) < 0 and _plain(event[start:end]) == text:
                self._before, self._after = b"data: " + event[:start], event[end:] + b"\n\n"
                self._between = self._after + self._before
                return name
        return ""


def _plain(raw: bytes) -> str | None:
    """A text that JSON has as it stands; None for any other."""
    if b'"' in raw or b"\\" in raw:
        return None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def _only_text(chunk: Any) -> tuple[str, str]:
    """The name of the one piece of text that a chunk holds, and the piece; empty where it may hold more."""
    if not isinstance(chunk, dict) or not LATE.isdisjoint(chunk) or chunk.get("error"):
        return "", ""
    choices = chunk.get("choices")
    if not choices or len(choices) != 1:
        return "", ""
    [choice] = choices
    delta = choice.get("delta") or {}
    if len(delta) != 1 or "text" in choice or any(map(choice.get, _MORE)):
        return "", ""
    [(name, text)] = delta.items()
    return (name, text) if name in TEXTS and isinstance(text, str) else ("", "")
