"""What may be chosen for a job, and in which words the rest is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from datasets.options import DRY_ROWS, JobOptions, OptionError, OptionLimits, ignored_fields, job_name

LIMITS = OptionLimits(attempts=3, timeout_s=600.0)


def read(**fields: str) -> JobOptions:
    return JobOptions.from_fields(fields, LIMITS)


def test_it_takes_the_defaults_when_nothing_is_said() -> None:
    assert read() == JobOptions(model="", limit=None, system=None, sampling={}, attempts=3, timeout_s=600.0)
    assert read(model="", limit=" ", system="\n", options="", nodes="", exclusive="") == read()


def test_it_reads_every_field() -> None:
    options = read(
        model=" llama3:8b ",
        limit="100",
        system="  You are terse.\n",
        options='{"temperature": 0.2, "stop": ["\\n"], "think": false, "mirostat": 2}',
        attempts="5",
        timeout_s="12.5",
        nodes="3, 1,3",
        exclusive="on",
    )

    assert options == JobOptions(
        model="llama3:8b",
        limit=100,
        system="  You are terse.\n",
        sampling={"temperature": 0.2, "stop": ["\n"], "think": False, "mirostat": 2},
        attempts=5,
        timeout_s=12.5,
        nodes=(3, 1),
        exclusive=True,
    )


@pytest.mark.parametrize("model", ["auto", "AUTO", ""])
def test_it_takes_auto_as_whatever_is_resident(model: str) -> None:
    assert read(model=model).model == ""


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("limit", "0", "from 1"),
        ("limit", "-3", "whole number"),
        ("limit", "ten", "'ten'"),
        ("limit", "1e3", "whole number"),
        ("limit", "٣", "whole number"),
        ("limit", "9" * 5000, "whole number"),
        ("attempts", "101", "from 1 to 100"),
        ("attempts", "1.5", "whole number"),
        ("timeout_s", "0", "above 0"),
        ("timeout_s", "nan", "above 0"),
        ("timeout_s", "inf", "at most 86400"),
        ("timeout_s", "soon", "'soon'"),
        ("nodes", "1;2", "'1;2'"),
        ("nodes", "0", "node ids"),
        ("nodes", "9" * 30, "node ids"),
        ("nodes", ",".join(map(str, range(1, 1002))), "1001 nodes"),
        ("exclusive", "maybe", "true or false"),
        ("model", "m" * 201, "201 characters"),
        ("model", "a\x00b", "NUL"),
        ("system", "\x00", "NUL"),
        ("system", "s" * 60_001, "60001 characters"),
        ("options", "temperature=1", "JSON object"),
        ("options", "[]", "JSON object"),
        ("options", "null", "JSON object"),
        ("options", '{"temperature": "hot"}', "temperature"),
        ("options", '{"temperature": NaN}', "NaN"),
        ("options", '{"temperature": 9}', "from 0 to 5"),
        ("options", '{"top_p": 0}', "top_p"),
        ("options", '{"max_tokens": 0}', "max_tokens"),
        ("options", '{"max_tokens": true}', "max_tokens"),
        ("options", '{"seed": 1.5}', "seed"),
        ("options", '{"stop": [1]}', "stop"),
        ("options", '{"think": 1}', "think"),
        ("options", '{"response_format": "json"}', "response_format"),
        ("options", '{"messages": []}', "messages"),
        ("options", '{"model": "x"}', "field `model`"),
        ("options", '{"stream": true}', "whole"),
        ("options", '{"a": 1, "a": 2}', "twice"),
        ("options", '{"a": 1e999}', "too large"),
        ("options", '{"a": 99999999999999999999}', "too large"),
        ("options", '{"a": "\\u0000"}', "NUL"),
        ("options", '{"a": ["\\ud800"]}', "surrogate"),
        ("options", '{"a": ' * 25 + "1" + "}" * 25, "deeper"),
        ("options", "[" * 60_000, "JSON"),
        ("options", '{"a": "' + "x" * 70_000 + '"}', "64000"),
    ],
)
def test_it_refuses_what_cannot_be_meant_and_says_what_would_be_right(
    field: str, value: str, said: str
) -> None:
    with pytest.raises(OptionError) as refusal:
        read(**{field: value})

    assert refusal.value.field == field
    assert said in refusal.value.message
    assert len(refusal.value.message) < 300


def test_a_dry_run_tries_three_rows_at_most_and_locks_no_machine() -> None:
    dry = read(dry_run="yes", limit="50", offset="7", exclusive="yes")
    assert (dry.limit, dry.offset, dry.exclusive, dry.dry_run) == (DRY_ROWS, 7, False, True)
    assert read(dry_run="1", limit="2").limit == 2


def test_it_passes_unknown_sampling_parameters_on() -> None:
    sampling = {"repeat_last_n": 64, "logit_bias": {"50256": -100}, "seed": None}

    assert read(options=json.dumps(sampling)).sampling == sampling


@pytest.mark.parametrize(
    "options",
    [
        JobOptions(),
        JobOptions("m", 3, "be brief", {"seed": 1}, 2, 1.5, (4, 5), True),
    ],
)
def test_it_survives_the_way_through_the_database(options: JobOptions) -> None:
    assert JobOptions.from_json(json.loads(json.dumps(options.to_json()))) == options


def test_it_reads_options_that_an_older_or_newer_release_wrote() -> None:
    stored: dict[str, Any] = {"model": "m", "voting": 3}

    assert JobOptions.from_json(stored) == JobOptions(model="m")


def test_it_names_the_fields_that_mean_nothing() -> None:
    assert ignored_fields({"model": "m", "temprature": "1", "name": "x", "color": "red"}) == [
        "color",
        "temprature",
    ]


@pytest.mark.parametrize(
    ("fields", "filename", "name"),
    [
        ({"name": " Poems "}, "a.json", "Poems"),
        ({}, "诗歌.json", "诗歌.json"),
        ({}, "a\x00\nb\ud800.json", "ab.json"),
        ({}, "x" * 300, "x" * 200),
        ({}, "", "dataset"),
    ],
)
def test_it_names_a_job_as_told_or_after_its_file(fields: dict[str, str], filename: str, name: str) -> None:
    assert job_name(fields, filename) == name


def test_it_refuses_a_name_that_is_too_long() -> None:
    with pytest.raises(OptionError, match="at most 200"):
        job_name({"name": "n" * 201}, "")
