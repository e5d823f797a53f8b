"""What people read of rows and replies: excerpts of cut texts, the answer in either dialect's shape."""

from __future__ import annotations

import json

import pytest

from datasets.excerpts import HEAD, Reply, head_of, prompt_excerpt, reply_of
from dpl_site.lib.packing import pack


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ({"instruction": "say 1"}, "say 1"),
        ({"id": 7, "instruction": 'a "b"\n\tc', "input": "x"}, 'a "b" c'),
        ({"messages": [{"role": "system", "content": "be"}, {"role": "user", "content": "you"}]}, "you"),
        ({"instruction": "好" * 200}, "好" * 160 + "…"),
    ],
)
def test_a_prompt_is_shown_on_one_short_line(row: object, shown: str) -> None:
    assert prompt_excerpt(json.dumps(row, ensure_ascii=False)) == shown
    assert prompt_excerpt(json.dumps(row)) == shown


def test_a_row_that_is_cut_anywhere_still_has_an_excerpt() -> None:
    whole = json.dumps({"instruction": "né\n" * 30})
    for end in range(20, len(whole)):
        assert prompt_excerpt(whole[:end]).startswith("n")


def test_the_head_of_a_packed_text_is_found_without_the_rest() -> None:
    text = json.dumps({"instruction": "say " + "很长" * 9_000})
    plain, packed = pack(text)
    assert plain is None
    assert packed is not None
    assert head_of(None, packed[:HEAD]) == text[: len(head_of(None, packed[:HEAD]))]
    assert prompt_excerpt(head_of(None, packed[:HEAD])).startswith("say 很长")
    assert head_of(None, b"damaged") == ""
    assert head_of("short", None) == "short"


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        ({"message": {"content": "yes", "thinking": "hm"}, "done": True}, Reply("yes", "hm")),
        ({"response": "yes"}, Reply("yes")),
        ({"choices": [{"message": {"content": "yes", "reasoning_content": "hm"}}]}, Reply("yes", "hm")),
        ({"choices": [{"text": "yes"}]}, Reply("yes")),
        ({"choices": [{"message": {"content": None, "tool_calls": [1]}}]}, Reply("", "", "[\n  1\n]")),
        (
            {"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"type": "x"}]}}]},
            Reply("a\n[x]"),
        ),
    ],
)
def test_it_reads_a_reply_in_either_dialects_shape(reply: object, read: Reply) -> None:
    assert reply_of(json.dumps(reply)) == read


@pytest.mark.parametrize("text", ["", "no json", "[1]", "{}", '{"choices": []}', '{"choices": [7]}'])
def test_a_reply_that_is_neither_is_shown_as_it_is(text: str) -> None:
    assert reply_of(text) == Reply(text)
