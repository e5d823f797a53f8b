"""Many simulated agents as one process, and nodes that have agents alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.chaos.installation import Installation
from tests.engines.simulated import ROOT


@contextmanager
def simulated_agents(count: int, *, gpus: int = 4) -> Iterator[dict[str, str]]:
    """Name → address of so many agents, which answer while the block lasts."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.agents", "--count", str(count), "--gpus", str(gpus)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ports = process.stdout.readline().split()
        assert len(ports) == count
        yield {f"box{number:03}": f"http://127.0.0.1:{port}" for number, port in enumerate(ports)}
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def add_nodes(installation: Installation, agents: Mapping[str, str]) -> None:
    """Nodes with these agents (name → address) and without an engine, all in one command."""
    installation.manage(
        "shell",
        "-v",
        "0",
        "-c",
        "from nodes.models import Node, NodeStatus\n"
        f"for name, url in {dict(agents)!r}.items():\n"
        "    NodeStatus.objects.create(node=Node.objects.create(name=name, monitor_base_url=url))\n",
    )
