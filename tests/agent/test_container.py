"""Which container a process runs in, from cgroups of both versions and of every engine."""

from __future__ import annotations

import pytest

from agent.container import container_of

ID = "3f1c9a7be2" + "0" * 54


@pytest.mark.parametrize(
    ("cgroup", "container"),
    [
        (f"0::/system.slice/docker-{ID}.scope\n", ID[:12]),
        (f"1:name=systemd:/\n0::/../../../system.slice/docker-{ID}.scope", ID[:12]),
        (f"11:devices:/docker/{ID}\n10:memory:/docker/{ID}", ID[:12]),
        (f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container", ID[:12]),
        (f"13:cpuset:/kubepods/burstable/pod88-aa/{ID}\n9:misc:/", ID[:12]),
        (f"0::/kubepods.slice/kubepods-pod87_aa.slice/cri-containerd-{ID}.scope", ID[:12]),
        ("0::/lxc.payload.web1/system.slice/x.service\n", "web1"),
        ("12:cpu:/lxc/web2/init.scope", "web2"),
        ("12:freezer:/slurm/uid_1000/job_77\n1:name=systemd:/user.slice/session-1.scope", "slurm:77"),
        ("0::/system.slice/slurmstepd.scope/job_78/step_0/user/task_0", "slurm:78"),
        ("0::/system.slice/ssh.service", None),
        ("7:cpu,cpuacct:/system.slice/docker.service", None),
        ("8:memory:/system.slice/slurmd.service", None),
        ("0::/podruntime/runtime", None),
        ("", None),
        ("nonsense", None),
    ],
)
def test_it_names_the_container(cgroup: str, container: str | None) -> None:
    assert container_of(cgroup) == container
