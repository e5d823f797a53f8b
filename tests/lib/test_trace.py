"""A client's trace goes on to the engine as it came, or not at all."""

from __future__ import annotations

import pytest

from dpl_site.lib import trace

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def passed_on(*headers: tuple[str, str]) -> dict[str, str]:
    trace.take_over([(name.encode(), value.encode("latin-1")) for name, value in headers])
    return dict(trace.passed_on())


@pytest.mark.parametrize("parent", [PARENT, f"01{PARENT[2:]}", f"cc{PARENT[2:]}-what-may-come"])
def test_a_trace_is_handed_on_unchanged(parent: str) -> None:
    found = passed_on(("traceparent", parent), ("tracestate", "a=1,b@c=2"))
    assert found == {"traceparent": parent, "tracestate": "a=1,b@c=2"}


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "00",
        f"ff{PARENT[2:]}",
        f"{PARENT}-more",
        PARENT.upper(),
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
        f"{PARENT}\r\nx: y",
        f"01{PARENT[2:]}-{'x' * 300}",
    ],
)
def test_a_malformed_one_is_dropped_with_its_state(parent: str) -> None:
    assert passed_on(("traceparent", parent), ("tracestate", "a=1")) == {}


def test_two_parents_are_none() -> None:
    assert passed_on(("traceparent", PARENT), ("traceparent", PARENT)) == {}


def test_states_in_several_headers_are_one() -> None:
    found = passed_on(("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2"))
    assert found["tracestate"] == "a=1,b=2"


@pytest.mark.parametrize("state", ["x" * 513, "a=\n", "a=é"])
def test_a_state_that_is_too_long_or_odd_is_dropped_alone(state: str) -> None:
    assert passed_on(("traceparent", PARENT), ("tracestate", state)) == {"traceparent": PARENT}


def test_a_request_without_a_trace_takes_over_nobody_elses() -> None:
    passed_on(("traceparent", PARENT))
    assert passed_on(("tracestate", "a=1")) == {}
