"""What a range query may ask, and how it is refused."""

from __future__ import annotations

import pytest

from dpl_site.prometheus.errors import QueryError
from dpl_site.prometheus.ranges import MOST_POINTS, Range, read_range

YEAR_S = 365 * 86_400


def asked(**told: str) -> Range:
    return read_range({"query": "load1", "start": "0", "end": "60", "step": "15"} | told)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15", 15),
        ("0.5", 0.5),
        ("15s", 15),
        ("1m", 60),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1d", 86_400),
        ("1e1", 10),
    ],
)
def test_a_step_is_seconds_or_a_duration(text: str, seconds: float) -> None:
    assert asked(step=text, end="0").step_s == seconds


@pytest.mark.parametrize(
    "text", ["1763719200", "1763719200.000", "2025-11-21T10:00:00Z", "2025-11-21T11:00:00+01:00"]
)
def test_a_moment_is_seconds_or_rfc_3339(text: str) -> None:
    assert asked(start=text, end="1763719260").start_s == 1_763_719_200


def test_the_end_is_a_moment_too() -> None:
    assert asked().points == 5


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ({"query": " "}, 'invalid parameter "query"'),
        ({"query": "x" * 5_001}, "longer than 5000"),
        ({"start": ""}, 'invalid parameter "start"'),
        ({"start": "yesterday"}, 'cannot parse "yesterday"'),
        ({"start": "NaN"}, 'invalid parameter "start"'),
        ({"start": "-1"}, 'invalid parameter "start"'),
        ({"end": "1e300"}, 'invalid parameter "end"'),
        ({"end": "inf"}, 'invalid parameter "end"'),
        ({"start": "61"}, "end timestamp must not be before start time"),
        ({"step": ""}, 'invalid parameter "step"'),
        ({"step": "0"}, "zero or negative query resolution step"),
        ({"step": "-5"}, "zero or negative query resolution step"),
        ({"step": "1e-9"}, "less than a millisecond"),
        ({"step": "5 parsecs"}, "valid duration"),
        ({"step": "9" * 25 + "y"}, "valid duration"),
        ({"step": "9" * 12 + "y"}, "valid duration"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_reason(told: dict[str, str], complaint: str) -> None:
    with pytest.raises(QueryError, match=complaint):
        asked(**told)


def test_a_year_by_the_second_is_refused_as_prometheus_does_and_says_which_step_would_do() -> None:
    with pytest.raises(QueryError) as refused:
        asked(end=str(YEAR_S), step="1")
    assert "exceeded maximum resolution of 11,000 points per timeseries" in refused.value.message
    assert refused.value.body()["errorType"] == "bad_data"
    assert (
        asked(end=str(YEAR_S), step=refused.value.message.partition("step=")[2].rstrip(")")).points
        <= MOST_POINTS + 1
    )
