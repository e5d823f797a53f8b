"""Filters of lists, as a query says them."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from dpl_site.lib.filters import day_in, id_in, moment_in, words_in
from dpl_site.lib.refusals import Refused


def test_a_day_is_its_beginning_or_its_end() -> None:
    query = {"from": "2026-11-21"}
    assert moment_in(query, "from") == datetime(2026, 11, 21, tzinfo=UTC)
    end = moment_in(query, "from", end_of_day=True)
    assert end is not None
    assert (end.date(), end.hour) == (date(2026, 11, 21), 23)


@pytest.mark.parametrize("text", ["2026-11-21T10:00:00Z", "2026-11-21T12:00:00 02:00", "2026-11-21T10:00:00"])
def test_a_moment_is_utc_unless_it_says_otherwise(text: str) -> None:
    assert moment_in({"at": text}, "at") == datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert day_in({"at": text}, "at") == date(2026, 11, 21)


def test_what_is_not_asked_for_is_none() -> None:
    assert (moment_in({}, "x"), day_in({"x": ""}, "x"), id_in({}, "x"), words_in({}, "x", "ab")) == (
        *(None, None, None),
        (),
    )


def test_words_come_once_in_the_order_in_which_they_were_said() -> None:
    assert words_in({"by": "b, a,,b"}, "by", ("a", "b")) == ("b", "a")


@pytest.mark.parametrize("text", ["soon", "2026-02-30", "0000-00-00", "9999-12-31T23:00:00-05:00", "²"])
def test_a_moment_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(Refused) as refused:
        moment_in({"from": text}, "from")
    assert (refused.value.status, refused.value.detail and list(refused.value.detail)) == (400, ["from"])


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "²", "9" * 19])
def test_an_id_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="must be an id"):
        id_in({"key": text}, "key")


def test_an_unknown_word_is_refused_with_what_there_is() -> None:
    with pytest.raises(Refused, match="by takes a, b; not 'c'"):
        words_in({"by": "a,c"}, "by", ("a", "b"))
