"""What a person reads of a row and of a reply: the prompt's beginning, the answer's text, its thinking. Pure."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from typing import Any

SHOWN = 160
HEAD = 4096
"""How many bytes or characters of a stored text are enough for its beginning."""
_PROMPT = re.compile(r'"(?:instruction|content)"\s*:\s*"((?:[^"\\]|\\.)*)')
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Reply:
    """An engine's reply as people read it; `tools` is the JSON of the calls it asks for, empty without."""

    text: str = ""
    thinking: str = ""
    tools: str = ""


def head_of(text: str | None, packed: bytes | memoryview | None) -> str:
    """The beginning of a stored text, of which only the beginning may have been read."""
    if packed is None:
        return (text or "")[:HEAD]
    try:
        return zlib.decompressobj().decompress(bytes(packed), HEAD).decode(errors="ignore")
    except zlib.error:
        return ""


def prompt_excerpt(head: str) -> str:
    """The prompt in a row's JSON text, which may be cut anywhere, on one line and short.

    Of a conversation its last message that is there: the first ones are often alike.
    """
    found = _PROMPT.findall(head)
    if not found:
        return _short(head)
    is_chat = '"messages"' in head.partition('"instruction"')[0]
    return _short(_unescaped(found[-1] if is_chat else found[0]))


def reply_of(text: str) -> Reply:
    """What a reply object says, in Ollama's shape or OpenAI's; one that is neither is shown as it is."""
    try:
        found = json.loads(text)
    except ValueError:
        return Reply(text)
    message = _message(found) if isinstance(found, dict) else None
    if message is None:
        return Reply(text)
    thinking = message.get("thinking") or message.get("reasoning_content") or message.get("reasoning")
    tools = message.get("tool_calls")
    shown = json.dumps(tools, ensure_ascii=False, indent=2) if tools else ""
    return Reply(_text(message.get("content")), _text(thinking), shown)


def content_text(content: Any) -> str:
    """A message's content as text: parts that are no text are named by their type."""
    if not isinstance(content, list):
        return _text(content)
    parts = (part for part in content if isinstance(part, dict))
    return "\n".join(_text(part.get("text")) or f"[{part.get('type')}]" for part in parts)


def _message(reply: dict[str, Any]) -> dict[str, Any] | None:
    choices = reply.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        first = choices[0]
        return first["message"] if isinstance(first.get("message"), dict) else {"content": first.get("text")}
    if isinstance(reply.get("message"), dict):
        return dict(reply["message"])
    return {"content": reply["response"], **reply} if "response" in reply else None


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return content_text(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _unescaped(text: str) -> str:
    for cut in range(7):
        try:
            # The end may be in the middle of an escape.
            return str(json.loads(f'"{text[: len(text) - cut]}"', strict=False))
        except ValueError:
            continue
    return text


def _short(text: str) -> str:
    line = _SPACE.sub(" ", text).strip()
    return line if len(line) <= SHOWN else f"{line[:SHOWN].rstrip()}…"
