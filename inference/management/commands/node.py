"""`manage.py node add|invite|list|remove`: the fleet from a terminal."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from getpass import getuser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from dpl_site.lib.addresses import lan_address
from dpl_site.lib.clock import iso_ms
from dpl_site.lib.commands import InstallationCommand
from dpl_site.lib.refusals import Refused
from inference.fleet import node_views, status_node
from inference.payloads import NodeView
from inference.registration import node_add, node_remove
from nodes.join_api import lines_of
from nodes.join_lines import WINDOWS, first_line
from nodes.joining import token_create
from nodes.selectors import named_node


class Command(InstallationCommand):
    """Parses flags; the services do the rest."""

    help = "Add, list and remove the machines of the fleet."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One verb, and what it needs."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        add = verbs.add_parser("add", help="Add a machine. It is asked at once.")
        add.add_argument("name")
        add.add_argument(
            "--llm", required=True, metavar="URL", help="Its engine, e.g. http://10.0.0.5:11434."
        )
        add.add_argument("--monitor", default="", metavar="URL", help="Its agent, e.g. http://10.0.0.5:8001.")
        add.add_argument("--token", default="", help="The agent's DPL_AGENT_TOKEN.")
        add.add_argument("--key", default="", help="The engine's key, where it wants one.")
        add.add_argument("--slots", type=int, default=0, metavar="N", help="Requests at once.")
        add.add_argument("--environment", default="default", metavar="E")
        add.add_argument("--label", action="append", default=[], metavar="K=V", help="May be repeated.")
        invite = verbs.add_parser("invite", help="A line to paste on a machine, which then adds itself.")
        invite.add_argument("--name", default="", metavar="N", help="What the node is to be called.")
        invite.add_argument("--environment", default="default", metavar="E")
        invite.add_argument("--ttl", type=int, default=None, metavar="S", help="Seconds that it is good for.")
        invite.add_argument(
            "--uses", type=int, default=1, metavar="N", help="How many machines may join by it."
        )
        invite.add_argument(
            "--server", default="", metavar="URL", help="This site as that machine reaches it."
        )
        listed = verbs.add_parser("list", help="All machines and how they are.")
        listed.add_argument("--json", action="store_true", help="In the shape of /api/status/all.")
        remove = verbs.add_parser("remove", help="Take a machine out of the fleet.")
        remove.add_argument("node", metavar="NAME_OR_ID")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what the verb says."""
        try:
            if options["verb"] == "add":
                self._add(options)
            elif options["verb"] == "invite":
                self._invite(options)
            elif options["verb"] == "list":
                self._list(as_json=options["json"])
            else:
                self._remove(options["node"])
        except Refused as refused:
            raise CommandError(refused.message) from refused

    def _add(self, options: dict[str, Any]) -> None:
        node = node_add(
            name=options["name"],
            llm_url=options["llm"],
            monitor_base_url=options["monitor"],
            agent_token=options["token"],
            api_key=options["key"],
            slots=options["slots"],
            environment=options["environment"],
            labels=dict(_label(text) for text in options["label"]),
        )
        view = status_node(node.id)
        if view is not None:
            self.stdout.write(f"Node {view['id']} added: {_line(view)}")

    def _invite(self, options: dict[str, Any]) -> None:
        row, plain = token_create(
            created_by=getuser(),
            name=options["name"],
            environment=options["environment"],
            ttl_s=options["ttl"],
            uses=options["uses"],
        )
        server = options["server"] or settings.DPL_PUBLIC_URL or f"http://{lan_address()}:{settings.DPL_PORT}"
        lines = lines_of(plain, server)
        self.stdout.write(first_line(lines))
        self.stderr.write(f"On Windows: {lines[WINDOWS]}")
        self.stderr.write(
            f"Good until {iso_ms(row.expires_ms)}, for {row.most_uses} machine(s). The server has to listen at "
            f"{server} (`up --host 0.0.0.0`); --server names another address."
        )

    def _list(self, *, as_json: bool) -> None:
        views = node_views()
        if as_json:
            self.stdout.write(json.dumps(views, ensure_ascii=False))
        elif not views:
            self.stderr.write("No machines yet. Add one: manage.py node add NAME --llm http://host:11434")
        else:
            for view in views:
                self.stdout.write(f"{view['id']}\t{_line(view)}")

    def _remove(self, reference: str) -> None:
        node = named_node(reference)
        node_remove(node_id=node.id, actor=getuser())
        self.stdout.write(f"{node.name} is out of the fleet. What runs there goes on to its end.")


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise CommandError(f"--label {text}: write it as name=value.")
    return name, value


def _line(view: NodeView) -> str:
    """A machine in one line: name, state and reason, engines, models, lock."""
    state = f"{view['state']} ({view['reason']})" if view["reason"] else view["state"]
    engines = ", ".join(f"{engine['kind'] or 'engine'} {engine['base_url']}" for engine in view["engines"])
    lock = view["lock"]
    locked = [f"locked by {lock['owner']} until {lock['expires_at']}"] if lock else []
    models = [f"models: {', '.join(view['models'])}"] if view["models"] else []
    slots = f"{view['slots']['busy']}/{view['slots']['total']} slots busy"
    return "; ".join([f"{view['name']}: {state}", engines or "no engine", slots, *models, *locked])
