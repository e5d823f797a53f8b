"""Datasets through a whole installation: N in = N out, faults, machines that come and go, a real llama.cpp server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.installation import Installation
from tests.engines.llama_server import llama_server
from tests.engines.simulated import SimulatedEngine
from tests.engines.tiny_gguf import write_model

N = 20_000
SLOTS = 16
UNEQUAL_MS = (0, 3, 8, 20)
FAULTS = ("refuse", "503", "500", "hang", "cut", "no-terminator")


@contextmanager
def fleet(installation: Installation, **flags: Any) -> Iterator[list[SimulatedEngine]]:
    """Four echoing nodes of unequal speed, two of each dialect."""
    with ExitStack() as stack:
        engines = [
            stack.enter_context(
                SimulatedEngine(
                    latency_ms=latency,
                    tokens_per_second=0,
                    slots=SLOTS,
                    echo=True,
                    dialect=("ollama", "openai")[place % 2],
                    **flags,
                )
            )
            for place, latency in enumerate(UNEQUAL_MS)
        ]
        for place, engine in enumerate(engines):
            installation.manage("node", "add", f"node{place}", "--llm", engine.url, "--slots", str(SLOTS))
        yield engines


def rows(count: int) -> list[dict[str, Any]]:
    return [{"instruction": f"say {n} 你好", "input": f"{n * 7}", "id": n} for n in range(count)]


def answer(row: dict[str, Any]) -> str:
    output = row["model_output"]
    message = output.get("message") or output["choices"][0]["message"]
    return str(message["content"])


def wait_for_end(installation: Installation, job_id: str, seconds: float) -> None:
    state = f"SELECT state FROM datasets_job WHERE id = '{job_id}'"
    installation.wait_for(lambda: installation.rows(state)[0][0] == "completed", seconds, "the job's end")


def check_all(installation: Installation, job_id: str, count: int) -> None:
    """N in = N out, in input order, each output under its own input, each recorded once."""
    found = installation.get(f"/api/dataset/result/{job_id}")
    assert [row["id"] for row in found] == list(range(count))
    wrong = [row for row in found if answer(row) != f"{row['instruction']}\n\n{row['input']}"]
    assert wrong == []
    [[outputs]] = installation.rows("SELECT count(*) FROM datasets_itemoutput")
    assert outputs == count


def test_twenty_thousand_items_come_back_in_order_each_under_its_own_input(
    installation: Installation,
) -> None:
    with fleet(installation):
        job_id = installation.upload(rows(N), model="m")
        wait_for_end(installation, job_id, 300)
    check_all(installation, job_id, N)
    detail = installation.get(f"/api/dataset/detailed-status/{job_id}")
    assert (detail["succeeded"], detail["failed"], detail["late_results_refused"]) == (N, 0, 0)
    assert len([node for node in detail["nodes"] if node["succeeded"]]) == len(UNEQUAL_MS)


def test_so_they_do_with_five_percent_of_faults_of_each_kind(installation: Installation) -> None:
    flags = {"fault": ",".join(FAULTS), "fail_rate": 0.05 * len(FAULTS), "seed": 7}
    with fleet(installation, **flags):
        job_id = installation.upload(rows(N), model="m", attempts=50, timeout_s=2)
        wait_for_end(installation, job_id, 400)
    check_all(installation, job_id, N)


def test_a_node_removed_in_mid_job_loses_nothing_and_a_new_one_takes_part_within_seconds(
    installation: Installation,
) -> None:
    with ExitStack() as stack:
        old, new, gone = (
            stack.enter_context(SimulatedEngine(latency_ms=200, tokens_per_second=0, slots=2, echo=True))
            for _ in range(3)
        )
        installation.manage("node", "add", "old", "--llm", old.url, "--slots", "2")
        installation.manage("node", "add", "gone", "--llm", gone.url, "--slots", "2")
        job_id = installation.upload(rows(300), model="m")
        installation.wait_for(lambda: installation.done() > 20, 30, "some results")
        gone.kill()
        installation.manage("node", "remove", "gone")
        installation.manage("node", "add", "new", "--llm", new.url, "--slots", "2")
        added = time.monotonic()
        installation.wait_for(lambda: new.stats()["started"] > 0, 5, "the new node to take part")
        assert time.monotonic() - added < 5
        wait_for_end(installation, job_id, 120)
    check_all(installation, job_id, 300)
    assert installation.rows("SELECT count(*) FROM datasets_item WHERE attempts > 0") == [(0,)]


def test_a_job_runs_on_a_real_llama_cpp_server(installation: Installation, tmp_path: Path) -> None:
    model = tmp_path / "tiny.gguf"
    write_model(model)
    with llama_server(model) as server:
        installation.manage("node", "add", "llama", "--llm", f"{server.base_url}/v1")
        job_id = installation.upload(rows(24), options=json.dumps({"max_tokens": 8}))
        wait_for_end(installation, job_id, 60)
    found = installation.get(f"/api/dataset/result/{job_id}?meta=1")
    assert [row["id"] for row in found] == list(range(24))
    for row in found:
        assert row["model_output"]["object"] == "chat.completion"
        assert row["model_output"]["usage"]["completion_tokens"] > 0
        assert row["dpl"]["ttft_ms"] is not None


def test_a_bad_upload_leaves_nothing_behind_and_says_the_row(installation: Installation) -> None:
    import httpx

    broken = json.dumps([{"instruction": "a"}] * 1_500 + [{"instruction": 17}])
    answered = httpx.post(
        f"{installation.url}/api/dataset/upload",
        headers={"Authorization": f"Bearer {installation.key}"},
        files={"file": ("rows.json", broken.encode())},
        timeout=60,
    )
    assert answered.status_code == 400
    assert answered.json()["error"]["detail"] == {"row": 1_500, "field": "instruction"}
    for table in ("datasets_job", "datasets_upload", "datasets_uploadpart", "datasets_item"):
        assert installation.rows(f"SELECT count(*) FROM {table}") == [(0,)]


@pytest.mark.parametrize("command", ["first", "again"])
def test_run_works_from_a_terminal_and_its_exit_code_tells_of_failed_items(
    installation: Installation, tmp_path: Path, command: str
) -> None:
    source, target = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    texts = [{"instruction": f"say {n}"} for n in range(20)]
    if command == "again":
        texts[3]["instruction"] += "[[sim:500]]"
    source.write_text("\n".join(json.dumps(row) for row in texts), encoding="utf-8")
    with SimulatedEngine(latency_ms=5, tokens_per_second=0, slots=4, echo=True) as engine:
        installation.manage("node", "add", "one", "--llm", engine.url)
        words = ["run", str(source), "--model", "m", "-o", str(target), "--attempts", "1"]
        done = installation.try_manage(*words)
    assert done.returncode == (3 if command == "again" else 0), done.stdout + done.stderr
    out = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert len(out) == 20
    assert ("error" in out[3]["model_output"]) is (command == "again")
