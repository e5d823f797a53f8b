"""Gives a running demo something of everything, so that none of its pages is empty when it is looked at."""

from __future__ import annotations

import time
from typing import Any

import httpx

from tests.chaos.demonstration import Demonstration
from tests.engines.simulated import ROOT

SAMPLES = ROOT / "samples" / "prompts.json"
LONG = 40
"""How many times the samples are repeated in the job that is to run for as long as anybody looks."""
ALERT_WITHIN_S = 40.0
QUESTIONS = (
    "Who was Gauss?",
    "用两句话介绍高斯。",
    "Write a haiku about a busy GPU.",
)


def furnish(demo: Demonstration) -> None:
    """Jobs that run and that can be compared, requests, an alert that fires, a silence, a channel and a lock.

    Nothing is left to chance but what the simulated engines say; it takes some ten seconds.
    """
    headers = {"Authorization": f"Bearer {demo.key}"}
    with httpx.Client(base_url=demo.url, headers=headers, timeout=60) as client:
        rule = _alerts(client)
        _jobs(client)
        _requests(client)
        _lock(client)
        _until_it_fires(client, rule)


def _posted(client: httpx.Client, path: str, **given: Any) -> Any:
    answer = client.post(path, **given)
    answer.raise_for_status()
    return answer.json()


def _alerts(client: httpx.Client) -> str:
    """A rule that is broken by any memory at all, which reaches nobody; and a silence of another."""
    name = "Memory in use"
    rule = {"name": name, "metric": "memory_percent", "operator": ">", "fire_value": 1, "clear_value": 0}
    _posted(client, "/api/v1/rules/", json=rule | {"severity": "warning", "for_s": 0})
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7 * 86_400))
    silenced = {"environment": "lab", "ends_at": until, "comment": "New racks are being wired."}
    _posted(client, "/api/v1/silences/", json=silenced)
    _posted(client, "/api/v1/channels/", json={"name": "Operators", "url": "json://127.0.0.1:9/alerts"})
    return name


def _jobs(client: httpx.Client) -> None:
    """Two runs of one dataset, and a long one of another."""
    few, many = SAMPLES.read_bytes(), SAMPLES.read_bytes().strip()[1:-1]
    for name, content in (
        ("prompts.json", few),
        ("prompts.json", few),
        ("evaluation.json", b"[%b]" % b",".join([many] * LONG)),
    ):
        _posted(client, "/api/dataset/upload", files={"file": (name, content)})


def _requests(client: httpx.Client) -> None:
    for question in QUESTIONS * 2:
        asked = {"model": "auto", "messages": [{"role": "user", "content": question}]}
        _posted(client, "/v1/chat/completions", json=asked)


def _lock(client: httpx.Client) -> None:
    nodes = client.get("/api/v1/nodes/").raise_for_status().json()
    slow = next(node["id"] for node in nodes.get("results", nodes) if node["name"] == "slow")
    _posted(client, f"/api/v1/nodes/{slow}/lock", json={"reason": "Fine-tuning", "ttl_s": 7_200})


def _until_it_fires(client: httpx.Client, rule: str) -> None:
    deadline = time.monotonic() + ALERT_WITHIN_S
    while not _fires(client, rule):
        assert time.monotonic() < deadline, "no alert fires"
        time.sleep(0.5)


def _fires(client: httpx.Client, rule: str) -> bool:
    found = client.get("/api/v1/alerts/").raise_for_status().json()
    return any(one["rule"] == rule and one["state"] == "firing" for one in found.get("results", found))
