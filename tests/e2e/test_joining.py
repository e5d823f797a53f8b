"""A machine joins a whole installation over real sockets: by the line of the command, until it is removed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from dpl_site.lib.clock import iso, utc_now
from tests.chaos.installation import Installation
from tests.engines.simulated import ROOT, SimulatedEngine, free_port
from tests.machines import dead_url
from tests.nodes.told import STATUS

SOON_S = 20.0


class Pushing:
    """A scripted agent behind NAT: it joins with the line's token, then pushes each half second."""

    def __init__(self, site: Installation, engine_url: str) -> None:
        line = site.manage("node", "invite", "--name", "behind", "--server", site.url).splitlines()[-1]
        *_, server, self.token = line.split()
        assert server == site.url
        told = {
            "token": self.token,
            "hostname": "box",
            "machine_id": "a-machine-behind-nat",
            "port": int(dead_url().rpartition(":")[2]),
            "engines": [{"base_url": engine_url, "kind": "ollama"}],
        }
        self.site = site
        self.body = self.call("/api/v1/agents/join", told)
        self.token = self.body["agent_token"]
        self.lock: dict[str, Any] | None = None
        self.answers: list[dict[str, Any]] = []

    def call(self, path: str, told: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(self.site.url + path, orjson.dumps(told), headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                found: dict[str, Any] = orjson.loads(answer.read())
        except urllib.error.HTTPError as error:
            found = orjson.loads(error.read()) | {"status": error.code}
        return found

    def push(self) -> dict[str, Any]:
        standing = self.lock and {**self.lock, "expires_at": None}
        reading = STATUS | {"sampled_at": iso(utc_now()), "lock": standing}
        answer = self.call("/api/v1/agents/push", {"sent_at": iso(utc_now()), "readings": [reading]})
        self.lock = answer.get("lock")
        self.answers.append(answer)
        return answer

    @contextmanager
    def pushing(self) -> Iterator[None]:
        ended = threading.Event()

        def go_on() -> None:
            while not ended.wait(0.5):
                self.push()

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def node(site: Installation, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {one["name"]: one for one in site.get("/api/status/all")["nodes"]}.get(name, {})
    return found


def manage_api(site: Installation, method: str, path: str, told: dict[str, Any] | None = None) -> int:
    headers = {"Authorization": f"Bearer {site.key}", "Content-Type": "application/json"}
    request = urllib.request.Request(site.url + path, orjson.dumps(told or {}), headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return int(answer.status)


def test_a_machine_behind_nat_is_watched_used_locked_missed_and_removed(installation: Installation) -> None:
    site = installation
    with SimulatedEngine(model="llama3:8b", preload=True) as engine:
        box = Pushing(site, engine.url.replace("127.0.0.1", "localhost"))
        assert (box.body["mode"], box.body["node"]["name"]) == ("push", "behind")
        assert box.body["engines"][0]["used"]
        path = f"/api/v1/nodes/{box.body['node']['id']}/"
        with box.pushing():
            site.wait_for(lambda: node(site, "behind")["state"] == "online", SOON_S, "a reading")
            assert node(site, "behind")["metrics"]["cpu_percent"] == 12.5
            assert "llama3:8b" in node(site, "behind")["models"]
            manage_api(site, "POST", f"{path}lock/", {"reason": "training", "ttl_s": 60})
            site.wait_for(lambda: box.lock is not None, SOON_S, "the lock in an answer")
            held = "SELECT mirror FROM nodes_nodelock"
            site.wait_for(lambda: site.rows(held)[0][0] == "held", SOON_S, "the lock in a reading")
            manage_api(site, "POST", f"{path}unlock/")
            site.wait_for(lambda: box.lock is None, SOON_S, "its end")
        site.wait_for(lambda: "has not pushed for 5 s" in node(site, "behind")["reason"], SOON_S, "silence")
        assert node(site, "behind")["state"] == "degraded", "its engine still works"
        box.push()
        site.wait_for(lambda: node(site, "behind")["state"] == "online", SOON_S, "its return")
        assert manage_api(site, "DELETE", path) == 204
        refused = box.push()
        assert (refused["status"], refused["error"]["code"]) == (401, "node_removed")
        assert not node(site, "behind")


def test_the_real_agent_joins_with_the_line_and_is_asked(installation: Installation) -> None:
    site = installation
    *_, server, token = site.manage("node", "invite", "--name", "real", "--server", site.url).split()
    command = [sys.executable, "-m", "agent", "join", server, token, "--port", str(free_port())]
    environment = site.env | {"DPL_AGENT_STATE": str(site.folder / "agent.json"), "HOME": str(site.folder)}
    with subprocess.Popen(command, cwd=ROOT, env=environment) as running:
        try:
            site.wait_for(lambda: node(site, "real").get("state") == "online", SOON_S, "the agent's reading")
            time.sleep(3)
            assert running.poll() is None
            assert node(site, "real")["metrics"]["memory_percent"] > 0
            site.manage("node", "remove", "real")
            assert not node(site, "real")
        finally:
            running.terminate()
