"""How pages show values; what is unknown is never shown as 0."""

from __future__ import annotations

from typing import Any

import pytest

from dpl_site.templatetags import show


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (show.size(0), "0 B"),
        (show.size(1023), "1,023 B"),
        (show.size(1536), "1.5 KiB"),
        (show.size(24 * 2**30), "24.0 GiB"),
        (show.size(3 * 2**50), "3,072.0 TiB"),
        (show.percent(0.0), "0 %"),
        (show.percent(99.6), "100 %"),
        (show.share(0.4256), "42.6 %"),
        (show.heat(61.4), "61 °C"),
        (show.number(20_000), "20,000"),
        (show.number(9.247, 2), "9.25"),
        (show.duration(0), "0.0s"),
        (show.duration(9.94), "9.9s"),
        (show.duration(59.4), "59s"),
        (show.duration(59.6), "1m 00s"),
        (show.duration(3_725), "1h 02m"),
        (show.duration(200_000), "2d 07h"),
        (show.state("online"), "online"),
        (show.state("never heard of"), "never heard of"),
        (show.moment(None), '<time data-f="" datetime=""></time>'),
        (
            show.moment("2026-11-21T10:00:00.000Z", "since"),
            '<time data-f="since" datetime="2026-11-21T10:00:00.000Z">2026-11-21 10:00:00 UTC</time>',
        ),
    ],
)
def test_it_shows_a_value(shown: str, wanted: str) -> None:
    assert shown == wanted


@pytest.mark.parametrize(
    "filter_", [show.size, show.percent, show.share, show.heat, show.number, show.duration]
)
@pytest.mark.parametrize("value", [None, ""])
def test_it_shows_what_is_unknown_as_a_dash(filter_: Any, value: Any) -> None:
    assert filter_(value) == "–"
