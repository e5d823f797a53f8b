"""Datasets as they arrive: what is accepted, how each fault is refused in words, whatever way the bytes are cut."""

from __future__ import annotations

import contextlib
import json
import time
import tracemalloc
from itertools import cycle
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.parsing import DatasetParser, ParseLimits, Row, RowError

LIMITS = ParseLimits(max_row_bytes=4096, max_depth=16, max_rows=1000)


def parse(data: bytes | str, *, step: int = 65536, limits: ParseLimits = LIMITS) -> list[Row]:
    """All rows of a file fed in pieces of `step` bytes."""
    body = data.encode() if isinstance(data, str) else data
    parser = DatasetParser(limits)
    rows = [row for start in range(0, len(body), step) for row in parser.feed(body[start : start + step])]
    return rows + parser.close()


def refused(data: bytes | str, **given_limits: Any) -> RowError:
    """Why a file is refused; the same however it is cut."""
    body = data.encode() if isinstance(data, str) else data
    limits = ParseLimits(**given_limits) if given_limits else LIMITS
    with pytest.raises(RowError) as whole:
        parse(body, limits=limits)
    with pytest.raises(RowError) as cut:
        parse(body, step=7, limits=limits)
    assert whole.value.code == cut.value.code
    return whole.value


def feeding_refused(parser: DatasetParser, data: bytes) -> str:
    """The code of the refusal of these bytes, empty when they are taken."""
    try:
        parser.feed(data)
    except RowError as error:
        return error.code
    return ""


def test_an_array_of_rows_comes_with_indexes_and_each_rows_own_spelling() -> None:
    rows = parse('[ {"instruction":"a", "n":1.10,"big":12345678901234567890123} ,\n{"instruction": "b"}]')
    assert rows == [
        Row(0, '{"instruction":"a", "n":1.10,"big":12345678901234567890123}'),
        Row(1, '{"instruction": "b"}'),
    ]


def test_one_row_per_line_blank_lines_allowed() -> None:
    assert [row.index for row in parse('\n{"instruction":"a"}\n\n{"instruction":"b"}\r\n')] == [0, 1]


def test_a_pretty_printed_array_is_kept_on_one_line_per_row() -> None:
    [row] = parse(json.dumps([{"instruction": "a\nb"}], indent=2))
    assert "\n" not in row.raw
    assert json.loads(row.raw) == {"instruction": "a\nb"}


def test_a_byte_order_mark_is_no_harm() -> None:
    assert len(parse(b'\xef\xbb\xbf[{"instruction":"a"}]', step=1)) == 1


def test_messages_with_text_parts_and_tool_calls_are_rows() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
    ]
    assert len(parse(json.dumps([{"messages": messages}]))) == 1


def test_input_may_be_null_or_missing() -> None:
    assert len(parse('[{"instruction":"a","input":null},{"instruction":"b"}]')) == 2


@pytest.mark.parametrize(
    ("data", "code", "row"),
    [
        ("nonsense", "not_a_dataset", None),
        ('"a text"', "not_a_dataset", None),
        ("17", "not_a_dataset", None),
        ("", "empty", None),
        ("  \n ", "empty", None),
        ("[]", "no_rows", None),
        ('[{"instruction":"a"}', "truncated", 1),
        ('[{"instruction":"a"},', "truncated", 1),
        ('[{"instruction":"a"},{"instr', "truncated", 1),
        ('{"instruction":"a', "truncated", 0),
        ('[{"instruction":"a"}] more', "trailing_text", 1),
        ('[{"instruction":"a"} {"instruction":"b"}]', "invalid_json", 1),
        ('[{"instruction":"a"},]', "invalid_json", 1),
        ("[,]", "invalid_json", 0),
        ('[{"instruction" "a"}, {"x":1}]', "invalid_json", 0),
        ('[{"instruction":"a\nb"}, {"instruction":"padding"}]', "invalid_json", 0),
        ('[{"instruction":"a"}, 17]', "row_not_object", 1),
        ('[["a"]]', "row_not_object", 0),
        ('{\n"instruction": "a"\n}', "not_a_dataset", 0),
        ('{"instruction":"a"} {"instruction":"b"}', "invalid_json", 1),
        ('[{"question":"a"}]', "missing_field", 0),
        ('[{"instruction":""}]', "empty_field", 0),
        ('[{"instruction":" \\n"}]', "empty_field", 0),
        ('[{"instruction":17}]', "wrong_type", 0),
        ('[{"instruction":null}]', "wrong_type", 0),
        ('[{"instruction":"a","input":17}]', "wrong_type", 0),
        ('[{"messages":[]}]', "wrong_type", 0),
        ('[{"messages":"hi"}]', "wrong_type", 0),
        ('[{"messages":["hi"]}]', "wrong_type", 0),
        ('[{"messages":[{"content":"hi"}]}]', "wrong_type", 0),
        ('[{"messages":[{"role":"user","content":17}]}]', "wrong_type", 0),
        ('[{"messages":[{"role":"user","content":["hi"]}]}]', "wrong_type", 0),
        ('[{"instruction":"a","x":1,"x":2}]', "duplicate_key", 0),
        ('[{"instruction":"a","x":{"y":1,"y":2}}]', "duplicate_key", 0),
        ('[{"instruction":"a\\u0000b"}]', "nul_character", 0),
        ('[{"instruction":"a","\\u0000":1}]', "nul_character", 0),
        ('[{"instruction":"a","deep":[{"x":"\\ud800"}]}]', "lone_surrogate", 0),
        ('[{"instruction":"a","x":NaN}]', "invalid_json", 0),
        ('[{"instruction":"a","x":-Infinity}]', "invalid_json", 0),
        ('[{"instruction":"a","x":"' + "7" * 4400 + '"}]', "row_too_large", 0),
        ('[{"instruction":"a","x":' + "[" * 20 + "]" * 20 + "}]", "too_deep", 0),
        (b'\xff\xfe[\x00{\x00"\x00', "wrong_encoding", None),
        (b'[{"instruction":"\xe4\xbd"}]', "wrong_encoding", 0),
        (b'[{"instruction":"caf\xe9"}]', "wrong_encoding", 0),
    ],
)
def test_what_is_wrong_is_refused_with_its_row(data: bytes | str, code: str, row: int | None) -> None:
    error = refused(data)
    assert (error.code, error.row) == (code, row)
    assert error.message


def test_the_refusal_says_what_was_expected_and_names_the_field() -> None:
    error = refused('[{"instruction":"a"},{"instruction":17}]')
    assert (error.row, error.field) == (1, "instruction")
    assert error.message == "row 1: instruction is a number; expected a text"


def test_a_whole_surrogate_pair_is_a_character_like_any_other() -> None:
    assert len(parse('[{"instruction":"\\ud83d\\ude00"}]')) == 1


def test_a_number_with_thousands_of_digits_is_refused_not_a_crash() -> None:
    data = '[{"instruction":"a","x":' + "7" * 5000 + "}]"
    assert refused(data, max_row_bytes=1_000_000).code == "number_too_long"


def test_nesting_past_what_any_parser_bears_is_refused() -> None:
    data = '[{"instruction":"a","x":' + "[" * 100_000
    assert refused(data, max_row_bytes=10_000_000).code == "too_deep"


def test_a_field_of_ten_megabytes_is_refused_long_before_it_is_read() -> None:
    parser = DatasetParser(LIMITS)
    parser.feed(b'[{"instruction":"')
    fed = 0
    code = ""
    while not code and fed < 10_000_000:
        fed += 65_536
        code = feeding_refused(parser, b"x" * 65_536)
    assert code == "row_too_large"
    assert fed <= 4 * 65_536


def test_more_rows_than_allowed_are_refused() -> None:
    data = "\n".join('{"instruction":"a"}' for _ in range(6))
    assert refused(data, max_rows=5).code == "too_many_rows"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(codec="utf-8", exclude_characters="\x00")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), inner, max_size=3)
    ),
    max_leaves=6,
)
datasets_ = st.lists(
    st.builds(
        lambda extra, text: {**extra, "instruction": "say " + text, "input": None, "messages": None},
        st.dictionaries(st.sampled_from("abcdef"), json_values, max_size=3),
        st.text(st.characters(codec="utf-8", exclude_characters="\x00")),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(datasets_, st.booleans(), st.booleans(), st.integers(1, 40))
def test_any_dataset_comes_out_as_it_went_in_however_it_is_cut(
    rows: list[dict[str, Any]], lines: bool, ascii_only: bool, step: int
) -> None:
    dump = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    data = "\n".join(dump) if lines else "[" + ",\n ".join(dump) + "]"
    found = parse(data, step=step, limits=ParseLimits())
    assert [row.raw for row in found] == dump
    assert [row.index for row in found] == list(range(len(rows)))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 80), st.integers(1, 20))
def test_no_bytes_whatever_raise_anything_but_a_refusal(noise: bytes, place: int, step: int) -> None:
    good = '[{"instruction":"你好","x":[1,{"y":"z\\u00e9"}]},{"instruction":"b"}]'.encode()
    with contextlib.suppress(RowError):
        parse(good[:place] + noise + good[place:], step=step)


def verdict(data: bytes, steps: list[int], limits: ParseLimits) -> object:
    """The rows of a file cut at these lengths in turn, or all that its refusal says."""
    parser, place = DatasetParser(limits), 0
    rows: list[Row] = []
    try:
        for step in cycle(steps):
            if place >= len(data):
                return rows + parser.close()
            rows += parser.feed(data[place : place + step])
            place += step
    except RowError as error:
        return error.code, error.row, error.field, error.message
    return None


BROKEN = (
    *(
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\n",
        b"\r\n",
        b"\\",
        b"\\u00",
        b"\\ud800",
        b"\x00",
        b"\xff",
    ),
    *(
        b"\xe4\xbd",
        b"1e",
        b"-",
        b"NaN",
        b"tru",
        b"7" * 4301,
        b" " * 300,
        b'"x":1,"x":2,',
        b"[" * 9,
        b"\xef\xbb\xbf",
    ),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    datasets_,
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from(BROKEN)), max_size=2),
    st.lists(st.integers(1, 90), min_size=1, max_size=5),
)
def test_the_verdict_on_any_file_is_the_same_to_the_letter_however_it_is_cut(
    rows: list[dict[str, Any]], lines: bool, faults: list[tuple[int, bytes]], steps: list[int]
) -> None:
    dump = [json.dumps(row, ensure_ascii=False) for row in rows]
    data = ("\n".join(dump) if lines else json.dumps(rows, indent=1)).encode()
    for place, fault in faults:
        data = data[:place] + fault + data[place:]
    limits = ParseLimits(max_row_bytes=200, max_depth=6, max_rows=4)
    assert verdict(data, steps, limits) == verdict(data, [len(data) + 1], limits)


@pytest.mark.parametrize("between", [",", "\n"])
def test_a_small_bad_row_is_not_called_too_large_for_the_rows_behind_it(between: str) -> None:
    rows = ['{"instruction":"a"}', '{"instruction" 5}', *['{"instruction":"a"}'] * 500]
    text = between.join(rows)
    assert refused(f"[{text}]" if between == "," else text).code == "invalid_json"


@pytest.mark.parametrize("filling", [b"{},", b"x", b"\\n", b'\\"}'])
@pytest.mark.parametrize("ends", [b"", b"\n"])
def test_a_row_that_trickles_in_is_not_read_again_with_each_piece(filling: bytes, ends: bytes) -> None:
    is_text = filling != b"{},"
    row = b'{"instruction":"a","x":' + (
        b'"' + filling * 20_000 + b'"' if is_text else b"[" + filling * 20_000 + b"1]"
    )
    body = row + b"}" + ends if ends else b"[" + row + b"}]"
    started = time.process_time()
    assert len(parse(body, step=3, limits=ParseLimits())) == 1
    # Read anew at each brace, this takes minutes.
    assert time.process_time() - started < 3


def test_only_the_row_under_way_is_held() -> None:
    parser = DatasetParser()
    row = json.dumps({"instruction": "x" * 900}).encode()
    parser.feed(b"[" + row)
    tracemalloc.start()
    try:
        found = 1 + sum(len(parser.feed((b"," + row) * 20)) for _ in range(1_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (found, len(parser.feed(b"]"))) == (20_001, 0)
    assert peak < 500_000


def test_a_row_of_exactly_the_limit_is_taken_and_one_byte_more_refused() -> None:
    row = '{"instruction":"' + "你" * 100 + '"}'
    size = len(row.encode())
    for text in (f"[{row}]", row, f"{row}\r\n"):
        assert len(parse(text, limits=ParseLimits(max_row_bytes=size))) == 1
        assert refused(text, max_row_bytes=size - 1).code == "row_too_large"


def test_newlines_between_tokens_become_blanks_and_nothing_else_changes() -> None:
    [row] = parse('[{"b" :\r\n\t1.50,\n"instruction":"a\u2028b", "a":1E400, "c":-0}]')
    assert row.raw == '{"b" :  \t1.50, "instruction":"a\u2028b", "a":1E400, "c":-0}'


@pytest.mark.parametrize("step", [1, 5, 1000])
def test_undecodable_bytes_are_named_by_their_place(step: int) -> None:
    start = '[{"instruction":"你好'.encode()
    with pytest.raises(RowError, match=rf"\(byte {len(start)}\); save it as UTF-8"):
        parse(start + b'\xff"}]', step=step)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", ['[{"instruction":"a"}]', '{"instruction":"a"}\n', ' [{"instruction":"a"}]'])
@pytest.mark.parametrize("step", [1, 1000])
def test_other_encodings_are_known_without_a_mark(encoding: str, text: str, step: int) -> None:
    with pytest.raises(RowError, match="UTF-16 or UTF-32") as refusal:
        parse(text.encode(encoding), step=step)
    assert (refusal.value.code, refusal.value.row) == ("wrong_encoding", None)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("step", [1, 1000])
def test_other_encodings_are_known_by_their_byte_order_mark(encoding: str, step: int) -> None:
    mark = "" if encoding in ("utf-16", "utf-32") else "\ufeff"
    with pytest.raises(RowError, match="UTF-16 or UTF-32") as refusal:
        parse((mark + '[{"instruction":"a"}]').encode(encoding), step=step)
    assert (refusal.value.code, refusal.value.row) == ("wrong_encoding", None)


def test_the_first_fault_is_the_one_that_is_told() -> None:
    assert refused(b'[{"instruction":17},{"instruction":"\xff"}]').code == "wrong_type"


def test_an_object_that_does_not_end_on_its_line_is_refused_at_its_own_row() -> None:
    error = refused('{"instruction":"a"}\n{"instruction":\n"b"}\n')
    assert (error.code, error.row) == ("invalid_json", 1)
    assert "one JSON object per line" in error.message


def test_a_long_fraction_is_a_number_like_any_other() -> None:
    data = '[{"instruction":"a","x":' + "7" * 5000 + '.5,"y":"' + "7" * 5000 + '"}]'
    for step in (1, 7, 100_000):
        assert len(parse(data, step=step, limits=ParseLimits())) == 1


def test_what_a_refusal_says_can_be_written_as_an_answer() -> None:
    for key in ("\\ud800", "k" * 1000, "\\u0000"):
        error = refused(f'[{{"instruction":"a","{key}":1,"{key}":2}}]')
        assert error.code == "duplicate_key"
        assert len(error.message.encode()) < 200
        assert error.field
        assert "\x00" not in error.field
        assert len(error.field.encode()) <= 80


def test_a_row_is_refused_as_soon_as_it_passes_its_limit_not_when_it_has_doubled() -> None:
    parser = DatasetParser(ParseLimits(max_row_bytes=1000))
    assert parser.feed(b'{"instruction":"' + b"x" * 600) == []
    assert feeding_refused(parser, b"x" * 400) == "row_too_large"


def test_a_line_of_exactly_the_limit_may_end_with_both_newline_characters_in_two_pieces() -> None:
    row = b'{"instruction":"a"}'
    for step in (1, len(row) + 1):
        assert len(parse(row + b"\r\n", step=step, limits=ParseLimits(max_row_bytes=len(row)))) == 1


def test_many_long_numbers_are_searched_in_one_pass() -> None:
    row = '{"instruction":"a","x":"' + ("7" * 4300 + " ") * 200 + '"}'
    started = time.process_time()
    assert len(parse(row, limits=ParseLimits())) == 1
    assert time.process_time() - started < 1


def test_what_is_wrong_with_a_row_is_told_before_what_follows_it_on_its_line() -> None:
    error = refused('{"instruction":17} {"instruction":"b"}')
    assert (error.code, error.row) == ("wrong_type", 0)
