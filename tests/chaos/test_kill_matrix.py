"""The kill matrix: SIGKILL of every kind of process at random moments of a job; everything recorded exactly once."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.chaos.installation import Installation
from tests.chaos.postgres import OwnPostgres
from tests.engines.simulated import SimulatedEngine

ITEMS = 2_000
GOING_AGAIN_S = 20.0
EACH_TWICE = (
    "web",
    "leader",
    "stand-by",
    "agent",
    "engine",
    "up",
    "watchdog",
    "main",
    "sentinel",
    "pusher",
    "monitor",
    "worker",
)
ROLES = (*EACH_TWICE, *EACH_TWICE, "worker", "engine", "worker")


@pytest.fixture(params=["sqlite", "postgresql"])
def installation(request: pytest.FixtureRequest) -> Iterator[Installation]:
    url = ""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").url
    made = Installation(database_url=url, DPL_POLL_INTERVAL_S=1)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def engines() -> Iterator[list[SimulatedEngine]]:
    made = [
        SimulatedEngine(latency_ms=latency, tokens_per_second=0, slots=slots, echo=True).start()
        for latency, slots in ((250, 4), (400, 4), (600, 4))
    ]
    yield made
    for engine in made:
        engine.kill()


def test_any_process_may_be_killed_and_nothing_is_lost(
    installation: Installation, engines: list[SimulatedEngine], record_property: Callable[[str, Any], None]
) -> None:
    rng = random.Random(20261121)
    for place, engine in enumerate(engines):
        installation.manage("node", "add", f"sim{place}", "--llm", engine.url, "--slots", "4")
    installation.second_controller()
    job_id = installation.upload([{"instruction": f"say {n}", "id": n} for n in range(ITEMS)], model="m")
    killed: Counter[str] = Counter()
    waits: dict[str, float] = {}
    for role in rng.sample(ROLES, len(ROLES)):
        installation.wait_for(lambda: installation.done() > 0, 30, "the first result")
        time.sleep(rng.uniform(0.0, 1.5))
        if installation.done() >= ITEMS:
            break
        struck = time.monotonic()
        kill(installation, engines, role, rng)
        killed[role] += 1
        before = installation.done()
        patience = GOING_AGAIN_S - (time.monotonic() - struck)
        installation.wait_for(
            lambda before=before: installation.done() > before, patience, f"work to go on after {role}"
        )
        waits[f"{sum(killed.values()):02d} {role}"] = time.monotonic() - struck
    installation.wait_for(lambda: state_of(installation, job_id) == "completed", 240, "the job's end")
    record_property("kills", dict(killed))
    record_property("going again after", {name: round(seconds, 1) for name, seconds in waits.items()})
    record_property("longest wait", round(max(waits.values()), 1))
    assert sum(killed.values()) >= 25
    assert set(killed) == set(ROLES)
    record_property("counted", check_everything_once(installation, job_id))


def test_a_restart_of_postgresql_in_mid_job_loses_nothing(
    postgres: OwnPostgres, engines: list[SimulatedEngine]
) -> None:
    installation = Installation(database_url=postgres.url, DPL_POLL_INTERVAL_S=1)
    try:
        installation.start()
        for place, engine in enumerate(engines):
            installation.manage("node", "add", f"sim{place}", "--llm", engine.url, "--slots", "4")
        rows = [{"instruction": f"say {n}", "id": n} for n in range(400)]
        job_id = installation.upload(rows, model="m")
        for share in (0.2, 0.5):
            installation.wait_for(lambda share=share: installation.done() > 400 * share, 60, "some results")
            postgres.restart()
            before = installation.done()
            installation.wait_for(
                lambda before=before: installation.done() > before, GOING_AGAIN_S, "work to go on"
            )
        installation.wait_for(lambda: state_of(installation, job_id) == "completed", 120, "the job's end")
        check_everything_once(installation, job_id, 400)
    finally:
        installation.stop()


def kill(installation: Installation, engines: list[SimulatedEngine], role: str, rng: random.Random) -> None:
    """SIGKILL one process of a role; engines and `up` are started again, since nobody else would."""
    if role == "engine":
        engine = rng.choice(engines)
        engine.kill()
        time.sleep(rng.uniform(0.0, 1.0))
        engine.start()
        return
    victims = victims_of(installation, role)
    assert victims, f"there is no {role} to kill"
    victim = rng.choice(victims)
    victim.send_signal(signal.SIGKILL)
    if role == "up":
        installation.wait_for(lambda: not leftovers(installation), 15, "the children of up to end")
        installation.start()
    if victim in installation.extra:
        installation.extra.remove(victim)
        installation.second_controller()


def victims_of(installation: Installation, role: str) -> list[psutil.Process]:
    """The processes of a role; of the two controllers the one that leads or the one that does not."""
    if role not in ("leader", "stand-by"):
        installation.wait_for(lambda: installation.role(role), 15, f"a process that is {role}")
        return installation.role(role)
    installation.wait_for(lambda: len(installation.role("controller")) == 2, 20, "two controllers")
    sql = "SELECT p.pid FROM nodes_leadership l JOIN nodes_processinstance p ON p.id = l.holder"
    leading = {int(row[0]) for row in installation.rows(sql)}
    controllers = installation.role("controller")
    wanted = [one for one in controllers if (one.pid in leading) == (role == "leader")]
    return wanted or controllers


def leftovers(installation: Installation) -> list[psutil.Process]:
    """What still runs of a killed `up`; the extra controller is not its child."""
    extra = {process.pid for process in installation.extra}
    return [one for one in installation.everything() if one.pid not in extra and one.status() != "zombie"]


def state_of(installation: Installation, job_id: str) -> str:
    """The job's state by its row."""
    return str(installation.rows(f"SELECT state FROM datasets_job WHERE id = '{job_id}'")[0][0])


def check_everything_once(installation: Installation, job_id: str, items: int = ITEMS) -> dict[str, int]:
    """N in = N out, in order, each output under its own input; counters agree; restarts are reported."""
    rows = installation.get(f"/api/dataset/result/{job_id}")
    assert [row["id"] for row in rows] == list(range(items))
    wrong = [
        row for row in rows if row["model_output"].get("message", {}).get("content") != f"say {row['id']}"
    ]
    assert wrong == [], json.dumps(wrong[:3])
    [[outputs]] = installation.rows("SELECT count(*) FROM datasets_itemoutput")
    assert outputs == items
    [[succeeded, failed]] = installation.rows("SELECT sum(succeeded), sum(failed) FROM datasets_shard")
    assert (succeeded, failed) == (items, 0)
    detail = installation.get(f"/api/dataset/detailed-status/{job_id}")
    [[interrupted]] = installation.rows("SELECT sum(interruptions) FROM datasets_item")
    assert detail["restarted_after_kill"] == interrupted
    return {"started again": interrupted, "late results refused": detail["late_results_refused"]}
