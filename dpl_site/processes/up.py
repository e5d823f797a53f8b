"""Everything on one machine: `manage.py up` prepares, then becomes the small supervisor of all processes."""

from __future__ import annotations

import sys
from typing import NoReturn

from django.conf import settings
from django.db import connections

from accounts.services import ensure_admin
from dpl_site.processes.installation import Say, prepare
from dpl_site.processes.launch import launch
from dpl_site.processes.machine import Agent, register_machine
from dpl_site.processes.spec import Child, Spec
from dpl_site.processes.web import url_of

MANAGE = str(settings.BASE_DIR / "manage.py")


def up(host: str, port: int, say: Say) -> NoReturn:
    """Prepare the installation and run all of it. Raises CannotStart, with words."""
    address = prepare(host, port, say)
    agent = register_machine(own_port=port, say=say)
    children = [*site(host, port, address), *([agent_child("agent", agent)] if agent else [])]
    password = ensure_admin()
    if password:
        say(f"Login: admin / {password}")
    become_supervisor(children, [f"URL: {url_of(host, port)}"])


def become_supervisor(children: list[Child], banner: list[str]) -> NoReturn:
    """Give up this process for the supervisor."""
    connections.close_all()
    launch(Spec(tuple(children), tuple(banner), str(settings.BASE_DIR)))


def site(host: str, port: int, address: str) -> list[Child]:
    """Web, controller and worker. On stop the web goes first, then the worker, then the controller."""
    flags = ("--host", host, "--port", str(port))
    ready = f"{url_of(address, port)}/health"
    return [
        Child("web", command("web", *flags), stop_rank=0, grace_s=8, ready_url=ready, colour="cyan"),
        Child("worker", command("worker"), stop_rank=1, grace_s=6, colour="green"),
        Child("controller", command("controller"), stop_rank=2, grace_s=4, colour="yellow"),
    ]


def agent_child(name: str, agent: Agent, *, env: dict[str, str] | None = None, colour: str = "blue") -> Child:
    """An agent; it is stopped last, so that the controller can still take its locks away."""
    argv = (sys.executable, "-m", "agent", "--host", agent.host, "--port", str(agent.port))
    env = {"DPL_AGENT_TOKEN": agent.token} | (env or {})
    return Child(name, argv, env=env, stop_rank=3, grace_s=3, colour=colour)


def command(*words: str) -> tuple[str, ...]:
    """A command of manage.py, run by this interpreter."""
    return (sys.executable, MANAGE, *words)
