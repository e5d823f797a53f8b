"""What the simulated model says, and the tokens it says it in. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

# One token is at most four characters and the white space before them; nothing is lost between two of them.
_PIECE = re.compile(r"\s?\S{1,4}|\s")
_SPEECH = (
    "a machine that waits is a machine that wastes so the next prompt goes to whoever is free and the answer "
    "comes back under its own question in the order in which it was asked while every token is counted once"
)
_WORDS = _SPEECH.split()
CHARACTERS_PER_TOKEN = 4


def pieces_of(text: str) -> list[str]:
    """The text in small pieces, which joined give exactly the text."""
    return _PIECE.findall(text)


def babble(words: int) -> list[str]:
    """A reply of so many words, one piece each; the same every time."""
    spoken = [_WORDS[index % len(_WORDS)] for index in range(words)]
    return [word if index == 0 else f" {word}" for index, word in enumerate(spoken)]


def token_count(texts: Sequence[str]) -> int:
    """How many tokens a prompt of these messages has, roughly as a real tokenizer would say."""
    return sum(len(text) // CHARACTERS_PER_TOKEN + 4 for text in texts)


def message_text(content: object) -> str:
    """The text of a message's content: a string, or a list of parts of which the text ones count."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(
            part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    return ""


def last_user_text(messages: Sequence[object]) -> str:
    """What the user said last; what was said last at all when no user spoke."""
    spoken = [message for message in messages if isinstance(message, dict)]
    for message in reversed(spoken):
        if message.get("role") == "user":
            return message_text(message.get("content"))
    return message_text(spoken[-1].get("content")) if spoken else ""
