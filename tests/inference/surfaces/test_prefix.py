"""What tells a conversation from others, so that it can stay with its engine."""

from __future__ import annotations

import json
from typing import Any

from inference.surfaces.base import prefix_of
from inference.surfaces.ollama import OllamaChat, OllamaGenerate
from inference.surfaces.openai import OpenAIChat


def said(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def test_the_turns_that_follow_change_nothing() -> None:
    begun = [said("system", "Be brief."), said("user", "Who was Gauss?")]
    later = [*begun, said("assistant", "A mathematician."), said("user", "When did he live?")]
    assert prefix_of(begun) == prefix_of(later) != 0


def test_another_beginning_is_another_conversation() -> None:
    told = {
        prefix_of([said("system", system), said("user", question)])
        for system in ("Be brief.", "Be kind.")
        for question in ("Who was Gauss?", "Who was Euler?")
    }
    assert len(told) == 4


def test_only_the_beginning_of_a_long_text_counts() -> None:
    assert prefix_of([said("user", "a" * 2000)]) == prefix_of([said("user", "a" * 2000 + "b")])


def test_messages_in_parts_and_without_text_are_taken_as_they_come() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:"}}, {"type": "text", "text": "What is it?"}]
    assert prefix_of([said("user", parts)]) == prefix_of([said("user", "What is it?")])
    for content in (None, [], [3], {"text": "a"}, 3):
        assert prefix_of([said("user", content)]) == 0
    assert prefix_of([]) == 0


def test_it_is_the_same_in_every_dialect() -> None:
    messages = [said("user", "Who was Gauss?")]
    asked = json.dumps({"messages": messages}).encode()
    assert OpenAIChat().read(asked).prefix == OllamaChat().read(asked).prefix
    assert OllamaGenerate().read(b'{"prompt":"Who was Gauss?"}').prefix == prefix_of(messages)
    assert OllamaChat().read(b"{}").prefix == 0
