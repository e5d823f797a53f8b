"""Which container a process runs in, from the text of its /proc/<pid>/cgroup. Pure."""

from __future__ import annotations

import re

_LXC = re.compile(r"/lxc(?:\.payload[./]|/)(?P<name>[^/]+)")
# docker-<64 hex>.scope, libpod-<64 hex>.scope, cri-containerd-<64 hex>.scope, /docker/<64 hex>, …
_ENGINE = re.compile(r"(?:^|[/:-])(?P<id>[0-9a-f]{64})(?:\.scope)?(?=/|$)")
_SLURM = re.compile(r"/slurm[^/]*/(?:.*/)?job_(?P<job>\d+)")
_SHORT_ID = 12


def container_of(cgroup: str) -> str | None:
    """An LXC container's name, another engine's short container id, `slurm:<job>`; None on the host."""
    paths = [line.split(":", 2)[2] for line in cgroup.splitlines() if line.count(":") >= 2]
    for path in paths:
        lxc = _LXC.search(path)
        if lxc is not None:
            return lxc["name"]
    for path in paths:
        engine = _ENGINE.search(path)
        if engine is not None:
            return engine["id"][:_SHORT_ID]
    for path in paths:
        slurm = _SLURM.search(path)
        if slurm is not None:
            return f"slurm:{slurm['job']}"
    return None
