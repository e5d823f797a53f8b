"""The figures that a gateway is to reach, each as a row: what it should be, what it is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import psutil

from benchmarks.gateway.rounds import PATHS, Figures, Results, ask
from benchmarks.memory import kilobytes
from benchmarks.report import Row

MANY = (64, 256)
STREAMS = 64


def rows(results: Results) -> list[Row]:
    """Everything, measured in this order: memory at rest first, then what fills it."""
    web = psutil.Process(results.ours.pids[0])
    memory = kilobytes(web, "Pss") / 1024
    return [
        *_json_rows(results),
        *_latency_rows(results),
        *_stream_rows(results),
        *_open_rows(results, web),
        Row(
            "memory of a web process that has answered little", f"{memory:.0f} MB", "≤ 100 MB", memory <= 100
        ),
    ]


def note(results: Results) -> str:
    """How it was made, and what was missing."""
    names = ", ".join(one.name for one in results.contenders)
    missing = [name for name in ("nginx", "litellm") if name not in names]
    lacks = f" Not on this machine, so left out: {', '.join(missing)}." if missing else ""
    load = os.getloadavg()[2]
    return (
        f"{names}: one worker each on one core, stub engines and client on the rest; {results.plan.rounds} "
        f"interleaved rounds of {results.plan.seconds:g} s, medians. Load of the machine over the last quarter "
        f"of an hour, this run included: {load:.1f}. Nobody writes lines of its requests; DPL records usage, metrics "
        f"and each decision in its database.{lacks}"
    )


def _json_rows(results: Results) -> list[Row]:
    """Plain answers at 16 connections, then at more."""
    at16 = results.interleaved(16)
    own = at16["dpl"]
    made = [
        *_at_least("JSON, 16 connections: requests/s ÷ LiteLLM's", own.rate, _rate(at16, "litellm"), 25.0),
        *_at_least("JSON, 16 connections: requests/s ÷ the bare proxy's", own.rate, at16["bare"].rate, 0.5),
        *_at_most(
            "JSON, 16 connections: processor per request ÷ the bare proxy's",
            own.processor_us,
            at16["bare"].processor_us,
            2.0,
            "µs",
        ),
        *_all("JSON, 16 connections, requests/s and µs of processor", at16),
    ]
    for connections in MANY:
        found = results.interleaved(connections, without=("litellm",))
        what = f"JSON, {connections} connections"
        ours, bare = found["dpl"], found["bare"]
        made += [
            *_at_least(f"{what}: requests/s ÷ its own at 16", ours.rate, own.rate, 0.8),
            *_at_most(f"{what}: p99 ÷ the bare proxy's", ours.p99_ms, bare.p99_ms, 2.5, "ms"),
            Row(f"{what}: errors", str(ours.errors), "0", ours.errors == 0),
        ]
    return [*made, *_dialect_rows(results)]


def _dialect_rows(results: Results) -> list[Row]:
    """Plain answers by the other ways through the gateway: passed through as they are, and translated."""
    passed = results.interleaved(
        16, without=("litellm", "nginx", "direct"), path=PATHS["ollama"], model="ollama-instant"
    )
    ours, bare = passed["dpl"], passed["bare"]
    what = "Ollama's JSON from Ollama, passed through, 16 connections"
    told = [ask(results.ours, 16, results.plan.seconds, model="ollama-instant") for _ in range(2)]
    return [
        *_at_least(f"{what}: requests/s ÷ the bare proxy's", ours.rate, bare.rate, 0.5),
        *_at_most(
            f"{what}: processor per request ÷ the bare proxy's",
            ours.processor_us,
            bare.processor_us,
            2.0,
            "µs",
        ),
        Row("OpenAI's JSON from Ollama, translated, 16 connections", _told(Figures(told))),
    ]


def _latency_rows(results: Results) -> list[Row]:
    """What a gateway adds to one request at a time, over asking the engine itself."""
    found = results.interleaved(1)
    engine = found["direct"].p50_ms
    added = {name: figures.p50_ms - engine for name, figures in found.items()}
    what = "added to the median latency, 1 connection"
    made = _at_most(f"{what}: ÷ what the bare proxy adds", added["dpl"], added["bare"], 1.5, "ms")
    if "litellm" in added:
        made += _at_most(f"{what}: ÷ what LiteLLM adds", added["dpl"], added["litellm"], 1 / 15, "ms")
    return made


def _stream_rows(results: Results) -> list[Row]:
    """64 streams of 100 chunks a second."""
    found = results.interleaved(
        STREAMS, stream=True, model="paced", seconds=results.plan.stream_seconds, warm_s=1.0
    )
    ours, bare, nginx = found["dpl"], found["bare"], found.get("nginx")
    what = f"{STREAMS} streams of 100 chunks/s"
    made = []
    if nginx is not None:
        made += _at_least(f"{what}: chunks ÷ nginx's", ours.chunks, nginx.chunks, 0.97)
        made += _at_most(f"{what}: gap p99 ÷ nginx's", ours.gap_p99_ms, nginx.gap_p99_ms, 1.3, "ms")
    made += _at_most(
        f"{what}: processor per chunk ÷ the bare proxy's",
        ours.processor_us_per_chunk,
        bare.processor_us_per_chunk,
        1.5,
        "µs",
    )
    told = ", ".join(f"{name} {one.chunks:.0f} of {STREAMS * 100}" for name, one in found.items())
    return [*made, Row(f"{what}: chunks/s", told)]


def _open_rows(results: Results, web: psutil.Process) -> list[Row]:
    """A thousand streams at once, then many one after the other."""
    plan = results.plan
    held = ask(
        results.ours,
        plan.open_streams,
        120.0,
        stream=True,
        model="slow",
        most=plan.open_streams,
        ramp_s=2.0,
    )
    lost = plan.open_streams - held.answers
    tenth = plan.streams_in_all // 10
    sizes = []
    for _ in range(10):
        ask(results.ours, STREAMS, 300.0, stream=True, most=tenth)
        sizes.append(kilobytes(web, "Anonymous") / 1024)
    growth = sizes[-1] - sizes[1]
    return [
        Row(f"{plan.open_streams:,} open streams: lost", str(lost), "0", lost == 0 and not held.errors),
        Row(
            f"anonymous memory over {plan.streams_in_all:,} streams, from the second tenth to the last",
            f"{growth:+.1f} MB (to {sizes[-1]:.0f} MB)",
            "< 5 MB",
            growth < 5,
        ),
    ]


def _rate(found: Mapping[str, Figures], name: str) -> float:
    """A contender's rate, 0 when it took no part."""
    return found[name].rate if name in found else 0.0


def _told(figures: Figures) -> str:
    return f"{figures.rate:.0f}/s, {figures.processor_us:.0f} µs"


def _all(what: str, found: Mapping[str, Figures]) -> Sequence[Row]:
    return [Row(what, "; ".join(f"{name} {_told(one)}" for name, one in found.items()))]


def _at_least(what: str, ours: float, theirs: float, aim: float) -> list[Row]:
    """A ratio that should be no lower; nothing when there is nothing to compare with."""
    if not theirs:
        return []
    ratio = ours / theirs
    return [Row(what, f"{ratio:.2f} ({ours:.0f} : {theirs:.0f})", f"≥ {aim:g}", ratio >= aim)]


def _at_most(what: str, ours: float, theirs: float, aim: float, unit: str) -> list[Row]:
    """A ratio that should be no higher."""
    ratio = ours / theirs
    said = f"{ratio:.3f} ({ours:.3g} : {theirs:.3g} {unit})"
    return [Row(what, said, f"≤ {aim:.3g}", ratio <= aim)]
