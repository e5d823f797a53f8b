"""A whole installation to look at: three simulated machines at work. `manage.py demo`, in a data folder of its own."""

from __future__ import annotations

import json
import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from django.conf import settings

from accounts.models import ApiKey, User
from accounts.roles import ADMIN
from accounts.services import key_create, key_revoke, user_create
from datasets.models import Job
from datasets.options import JobOptions
from datasets.services import job_create
from datasets.states import UNFINISHED
from datasets.uploads import Packer, parts_store, upload_begin
from dpl_site.processes.installation import Say, prepare
from dpl_site.processes.machine import Agent
from dpl_site.processes.ports import LOOPBACK, free_port
from dpl_site.processes.spec import Child
from dpl_site.processes.up import agent_child, become_supervisor, site
from dpl_site.processes.web import url_of
from inference.engines import engine_update
from inference.models import Engine
from inference.registration import node_add, node_update
from inference.targets import live_engines
from nodes.models import Node
from nodes.selectors import live_nodes

INSIDE = "DPL_INSIDE_DEMO"
MODEL = "demo-chat"
JOB_NAME = "Sample prompts"
FIRST_ENGINE_PORT = 18100
FIRST_AGENT_PORT = 18200


@dataclass(frozen=True, slots=True)
class Machine:
    """A simulated machine."""

    name: str
    colour: str
    dialect: str
    slots: int
    tokens_per_second: int
    latency_ms: int
    gpus: int
    fail_rate: float = 0.0


MACHINES = (
    Machine("fast", "magenta", "ollama", 4, 90, 120, 2),
    Machine("slow", "blue", "openai", 2, 30, 400, 1),
    Machine("flaky", "red", "ollama", 2, 60, 250, 1, 0.05),
)


def is_inside() -> bool:
    """Whether this process has the demo's settings already."""
    return os.environ.get(INSIDE) == str(settings.DPL_DATA_DIR)


def enter(host: str, port: int) -> NoReturn:
    """Begin again with the demo's own data folder and database, whatever this installation is set to."""
    folder = settings.DPL_DATA_DIR / "demo"
    folder.mkdir(mode=0o700, exist_ok=True)
    own = {
        INSIDE: str(folder),
        "DPL_DATA_DIR": str(folder),
        "DATABASE_URL": f"sqlite:///{folder / 'dpl.sqlite3'}",
        "REDIS_URL": "",
        "DPL_SECRET_KEY": "",
        "DPL_CREDENTIALS_KEY_FILE": "",
    }
    # An empty value counts as unset, and keeps `.env` from setting it.
    os.environ.update(own | {"DATABASE_URL_FILE": "", "DPL_SECRET_KEY_FILE": ""})
    manage = str(settings.BASE_DIR / "manage.py")
    flags = ["--host", host, "--port", str(port)]
    os.execv(sys.executable, [sys.executable, manage, "demo", *flags])  # noqa: S606 - this program, without a shell


def run(host: str, port: int, say: Say) -> NoReturn:
    """Prepare the demo and run all of it. Raises CannotStart, with words."""
    address = prepare(host, port, say)
    admin, password = _admin(settings.DPL_DATA_DIR / "admin-password")
    key = _new_key(admin)
    taken = {port}
    machines = [child for machine in MACHINES for child in _machine(machine, taken)]
    _sample_job(admin)
    banner = [f"URL: {url_of(host, port)}", f"Login: admin / {password}", f"API key: {key}"]
    become_supervisor([*site(host, port, address), *machines], banner)


def _admin(file: Path) -> tuple[User, str]:
    """The demo's admin and his password, which is kept in a file that only this user reads."""
    if not file.exists():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(secrets.token_urlsafe(9))
    password = file.read_text(encoding="ascii").strip()
    user = User.objects.filter(username="admin").first()
    if user is None:
        return user_create(username="admin", password=password, role=ADMIN), password
    if not user.check_password(password):
        user.set_password(password)
        user.save(update_fields=["password"])
    return user, password


def _new_key(admin: User) -> str:
    """A new key; that of the last demo is revoked."""
    for key in ApiKey.objects.filter(user=admin, name="demo", revoked_at=None):
        key_revoke(key=key)
    return key_create(user=admin, name="demo")[1]


def _machine(machine: Machine, taken: set[int]) -> list[Child]:
    """The processes of a simulated machine, which is registered or brought up to date; its ports join `taken`."""
    node = live_nodes().filter(name=machine.name).first()
    engine = live_engines().filter(node=node).first() if node else None
    engine_port = _port(engine.base_url if engine else "", FIRST_ENGINE_PORT, taken)
    agent_port = _port(node.monitor_base_url if node else "", FIRST_AGENT_PORT, taken)
    agent = Agent(LOOPBACK, agent_port, (node.agent_token if node else "") or secrets.token_urlsafe(32))
    _register(machine, node, engine, engine_url=f"http://{LOOPBACK}:{engine_port}", agent=agent)
    simulator = Child(
        f"{machine.name}-engine",
        _simulator(machine, engine_port),
        stop_rank=3,
        grace_s=3,
        colour=machine.colour,
    )
    env = {
        "OLLAMA_HOST": f"http://{LOOPBACK}:{engine_port}",
        "DPL_AGENT_SIMULATED_GPUS": str(machine.gpus),
    }
    return [simulator, agent_child(f"{machine.name}-agent", agent, env=env, colour=machine.colour)]


def _register(
    machine: Machine, node: Node | None, engine: Engine | None, *, engine_url: str, agent: Agent
) -> None:
    monitor = f"http://{agent.host}:{agent.port}"
    if node is None:
        node_add(
            name=machine.name,
            llm_url=engine_url,
            monitor_base_url=monitor,
            agent_token=agent.token,
            slots=machine.slots,
            environment="demo",
        )
        return
    node_update(node_id=node.id, monitor_base_url=monitor, agent_token=agent.token)
    if engine is not None:
        engine_update(engine_id=engine.id, llm_url=engine_url)


def _simulator(machine: Machine, port: int) -> tuple[str, ...]:
    flags = {
        "--port": port,
        "--model": MODEL,
        "--dialect": machine.dialect,
        "--slots": machine.slots,
        "--tokens-per-second": machine.tokens_per_second,
        "--latency-ms": machine.latency_ms,
        "--fail-rate": machine.fail_rate,
    }
    words = [str(word) for pair in flags.items() for word in pair]
    return (sys.executable, "-m", "agent.simulator", *words)


def _port(url: str, first: int, taken: set[int]) -> int:
    """The port that stands in an address when it is still free, else a new one; it joins `taken`."""
    port = free_port(urlsplit(url).port or first, but=frozenset(taken))
    taken.add(port)
    return port


def _sample_job(admin: User) -> None:
    """Let the sample prompts run, unless they do already; the workers find the job when they come."""
    if Job.objects.filter(name=JOB_NAME, state__in=UNFINISHED).exists():
        return
    rows = json.loads((settings.BASE_DIR / "samples" / "prompts.json").read_text(encoding="utf-8"))
    packer = Packer()
    parts = [*packer.add(json.dumps(row, ensure_ascii=False) for row in rows), *packer.rest()]
    upload_id = upload_begin(owner_id=admin.pk, instance_id=None)
    parts_store(upload_id=upload_id, parts=parts)
    options = JobOptions(
        model=MODEL, attempts=settings.DPL_ITEM_ATTEMPTS, timeout_s=settings.DPL_ITEM_TIMEOUT_S
    )
    job_create(owner_id=admin.pk, upload_id=upload_id, name=JOB_NAME, options=options, rows=len(rows))
