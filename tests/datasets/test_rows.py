"""Rows: what they ask for, and how they come back with nothing else changed."""

from __future__ import annotations

import json

import pytest

from datasets.rows import prompt_messages, result_row


def test_the_prompt_is_the_instruction_then_a_blank_line_and_the_input() -> None:
    assert prompt_messages('{"instruction":"a","input":"b"}', None) == [{"role": "user", "content": "a\n\nb"}]
    assert prompt_messages('{"instruction":"a","input":""}', None) == [{"role": "user", "content": "a"}]
    assert prompt_messages('{"instruction":"a","input":null}', None) == [{"role": "user", "content": "a"}]


def test_messages_go_as_they_are() -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert prompt_messages(json.dumps({"messages": messages}), None) == messages


def test_the_system_prompt_comes_first_unless_the_row_has_its_own() -> None:
    assert prompt_messages('{"instruction":"a"}', "be brief")[0] == {"role": "system", "content": "be brief"}
    own = [{"role": "system", "content": "mine"}, {"role": "user", "content": "a"}]
    assert prompt_messages(json.dumps({"messages": own}), "be brief") == own


def test_the_row_comes_back_byte_for_byte_with_the_reply_at_its_end() -> None:
    raw = '{"instruction":"a",  "n": 1.10, "你":"\\u4f60"}'
    assert result_row(raw, '{"done":true}', None, None) == (
        '{"instruction":"a",  "n": 1.10, "你":"\\u4f60", "model_output": {"done":true}}'
    )


def test_a_failed_row_says_why_and_one_not_done_is_null() -> None:
    failed = json.loads(result_row('{"instruction":"a"}', None, ('too "slow"', "timeout"), None))
    assert failed["model_output"] == {"error": 'too "slow"', "code": "timeout"}
    assert json.loads(result_row('{"instruction":"a"}', None, None, None))["model_output"] is None


def test_meta_is_added_as_dpl() -> None:
    row = json.loads(result_row('{"instruction":"a"}', "{}", None, {"node": "fast", "attempts": 1}))
    assert row["dpl"] == {"node": "fast", "attempts": 1}


@pytest.mark.parametrize("key", ["model_output", "mod\\u0065l_output"])
def test_a_rows_own_model_output_comes_back_as_the_previous_one(key: str) -> None:
    raw = f'{{"instruction":"a", "{key}": {{"x": [1, 2.50]}}, "z": 1}}'
    text = result_row(raw, "{}", None, None)
    assert json.loads(text) == {
        "instruction": "a",
        "previous_model_output": {"x": [1, 2.5]},
        "z": 1,
        "model_output": {},
    }
    assert text.count("model_output") == 2


def test_outputs_of_earlier_runs_are_all_kept() -> None:
    row = '{"instruction":"a"}'
    for run in range(1, 5):
        row = result_row(row, str(run), None, None)
    assert json.loads(row) == {
        "instruction": "a",
        "previous_model_output": 1,
        "previous_model_output_2": 2,
        "previous_model_output_3": 3,
        "model_output": 4,
    }


def test_a_key_of_that_name_deeper_down_or_in_a_text_is_left_alone() -> None:
    raw = '{"instruction":"\\"model_output\\": 1","y":{"model_output":1, "dpl":2}}'
    row = json.loads(result_row(raw, "{}", None, {}))
    assert row["instruction"] == '"model_output": 1'
    assert row["y"] == {"model_output": 1, "dpl": 2}


def test_a_rows_own_dpl_is_kept_when_meta_is_asked_for() -> None:
    row = json.loads(result_row('{"instruction":"a","dpl":7}', "{}", None, {"node": "n"}))
    assert (row["dpl"], row["previous_dpl"]) == ({"node": "n"}, 7)
    assert json.loads(result_row('{"instruction":"a","dpl":7}', "{}", None, None))["dpl"] == 7


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            '{"instruction" : "a",  "model_output" :  {"x": [1, 2.50]} ,\t"z":1 }',
            '{"instruction" : "a",  "previous_model_output" :  {"x": [1, 2.50]} ,\t"z":1 , "model_output": {}}',
        ),
        (
            '{"previous_model_output":[1] , "model_output":2,  "instruction":"a"}',
            '{"previous_model_output":[1] , "previous_model_output_2":2,  "instruction":"a", "model_output": {}}',
        ),
        (
            '{"\\u0061":1e5, "model_output":2,  "instruction":"a" , "previous_model_output":1}',
            '{"\\u0061":1e5, "previous_model_output_2":2,  "instruction":"a" , '
            '"previous_model_output":1, "model_output": {}}',
        ),
    ],
)
def test_only_the_name_of_a_renamed_key_changes_in_the_rows_text(raw: str, expected: str) -> None:
    assert result_row(raw, "{}", None, None) == expected


def test_renaming_bears_numbers_of_any_length() -> None:
    digits = "7" * 5000
    text = result_row(f'{{"instruction":"a","model_output":{digits}}}', "{}", None, None)
    assert text == f'{{"instruction":"a","previous_model_output":{digits}, "model_output": {{}}}}'


def test_half_a_character_in_an_engines_words_does_not_break_the_file() -> None:
    text = result_row('{"instruction":"a"}', None, ("bad \ud800 word", "engine_error"), {"node": "\udc80"})
    assert json.loads(text.encode())["model_output"] == {"error": "bad ? word", "code": "engine_error"}
