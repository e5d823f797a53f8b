"""The part of PromQL that our own history answers."""

from __future__ import annotations

import re
import time

import pytest

from dpl_site.prometheus.errors import QueryError
from dpl_site.prometheus.patterns import matcher
from dpl_site.prometheus.promql import Selection, read_query


@pytest.mark.parametrize(
    ("query", "metric", "factor", "aggregate", "by"),
    [
        ("dpl_node_cpu_ratio", "cpu_percent", 0.01, "", ()),
        ("cpu_percent", "cpu_percent", 1.0, "", ()),
        (" dpl_node_cpu_ratio { } ", "cpu_percent", 0.01, "", ()),
        ("avg(dpl_gpu_power_watts)", "gpu_power_w", 1.0, "avg", ()),
        ('max by (node) (dpl_gpu_power_watts{gpu="0",})', "gpu_power_w", 1.0, "max", ("node",)),
        ("sum(dpl_gpu_power_watts) by (instance, gpu)", "gpu_power_w", 1.0, "sum", ("node", "gpu")),
        ("count(load1)", "load1", 1.0, "count", ()),
        ("min(load1) by ()", "load1", 1.0, "min", ()),
    ],
)
def test_it_reads_a_metric_and_how_its_series_are_put_together(
    query: str, metric: str, factor: float, aggregate: str, by: tuple[str, ...]
) -> None:
    found = read_query(query)
    assert (found.metric, found.factor, found.aggregate, found.by) == (metric, factor, aggregate, by)


@pytest.mark.parametrize(
    ("matchers", "taken"),
    [
        ('node="n1"', "n1"),
        ('node!="n1"', "n2 n3"),
        ('node=~"n1|n3"', "n1 n3"),
        ('instance=~"n.*"', "n1 n2 n3"),
        ('node!~"n1|n2"', "n3"),
        ("node='n1'", "n1"),
        ("node=`n1`", "n1"),
        ('node=~"n.+",node!="n2"', "n1 n3"),
        ('gpu="0"', ""),
        ('gpu=""', "n1 n2 n3"),
        ('node="\\n1"', ""),
    ],
)
def test_it_reads_matchers(matchers: str, taken: str) -> None:
    found: Selection = read_query(f"load1{{{matchers}}}")
    assert [name for name in ("n1", "n2", "n3") if found.takes({"node": name})] == taken.split()


@pytest.mark.parametrize(
    "query",
    [
        *(
            "rate(dpl_node_cpu_ratio[5m])",
            "dpl_node_cpu_ratio[5m]",
            "dpl_node_cpu_ratio * 2",
            "1",
            "'a'",
            "up",
        ),
        *(
            "avg without (gpu) (load1)",
            "load1{",
            "load1{node}",
            'load1{node="a"',
            'load1{node=~"[a]"}',
            "load1{node=1}",
        ),
        *(
            'load1{color="red"}',
            "topk(3, load1)",
            "avg(load1",
            "avg by (node",
            "load1 offset 5m",
            "load1 load1",
        ),
        *(
            '{__name__="load1"}',
            "load1{" + 'node="a",' * 21 + "}",
            "avg()",
            "load1{node=~}",
            'load1{node=~"a{2}"}',
            "(",
            "{",
        ),
        *('load1{node="a\nb"}', "load1😀", "by", "avg"),
    ],
)
def test_what_it_cannot_answer_it_refuses_and_says_what_it_can(query: str) -> None:
    with pytest.raises(QueryError) as refused:
        read_query(query)
    assert refused.value.status == 400
    assert len(refused.value.message) < 2_000


def test_a_metric_that_has_no_history_is_told_which_have() -> None:
    with pytest.raises(
        QueryError, match=r"dpl_node_cpu_ratio.*PROMETHEUS_URL|PROMETHEUS_URL.*dpl_node_cpu_ratio"
    ):
        read_query("dpl_gateway_waiting")


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a",
        "a.c",
        "a.*",
        ".*",
        ".+",
        "a|b",
        "(a|bc)",
        "a.+c|b.*",
        "^abc$",
        r"a\.c",
        "(?:a|b)",
        "a||b",
        ".*a.*b",
    ],
)
def test_a_pattern_matches_what_a_regular_expression_would(pattern: str) -> None:
    fits = matcher(pattern)
    texts = ("", "a", "b", "c", "ab", "abc", "abbc", "a.c", "bc", "xaxb", "xaxbx", "aab")
    assert [fits(text) for text in texts] == [re.fullmatch(pattern, text) is not None for text in texts]


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "[ab]", "a?", "a*b", r"\d", "a{3}", "(a)(b)", "a\\", "x" * 2_001]
)
def test_a_pattern_that_might_keep_a_processor_busy_is_refused(pattern: str) -> None:
    with pytest.raises(QueryError):
        matcher(pattern)


def test_no_pattern_takes_long() -> None:
    began = time.perf_counter()
    assert not matcher(".*a" * 600 + "b")("a" * 300)
    assert time.perf_counter() - began < 5
