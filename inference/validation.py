"""What people may enter for a node and its engines: each check gives the value to keep, or refuses by field."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dpl_site.lib.addresses import AddressError, check_address
from dpl_site.lib.refusals import Refused
from inference.llm_url import LlmUrlError, parse_llm_url
from inference.models import Engine
from inference.services import MAX_SLOTS
from inference.surfaces.base import MAX_MODEL
from inference.targets import live_engines
from nodes.agent_url import AgentUrlError, parse_agent_url
from nodes.selectors import live_nodes

MAX_NAME = 100
MAX_ENVIRONMENT = 50
MAX_LABELS = 64
MAX_LABEL = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def refusal(field: str, message: str, *, code: str = "invalid") -> Refused:
    """A no that is about one field."""
    return Refused(message, code=code, status=400, detail={field: [message]})


def node_name(text: str, *, node_id: int = 0) -> str:
    """A name that no other live node has; `node_id` is the node that is being changed."""
    name = text.strip()
    if not 1 <= len(name) <= MAX_NAME or _CONTROL.search(name):
        raise refusal("name", f"Give the node a name of 1 to {MAX_NAME} characters.")
    if live_nodes().filter(name=name).exclude(id=node_id).exists():
        raise refusal(
            "name", f"Another node is called {name} already. Choose another name.", code="duplicate"
        )
    return name


def model_name(text: str, *, field: str) -> str:
    """The name of a model, or one that may stand for it."""
    name = text.strip()
    if not 1 <= len(name) <= MAX_MODEL or not name.isprintable():
        raise refusal(field, f"A model has a name of 1 to {MAX_MODEL} characters.")
    return name


def environment(text: str) -> str:
    """An environment's name; empty means `default`."""
    name = text.strip() or "default"
    if len(name) > MAX_ENVIRONMENT or _CONTROL.search(name):
        raise refusal("environment", f"An environment has a name of at most {MAX_ENVIRONMENT} characters.")
    return name


def labels(values: Mapping[str, object] | None) -> dict[str, str]:
    """Labels as texts by name."""
    if values is None:
        return {}
    if not isinstance(values, Mapping) or len(values) > MAX_LABELS:
        raise refusal(
            "labels", f'Labels are at most {MAX_LABELS} names with a text each, like {{"rack": "a1"}}.'
        )
    for name, value in values.items():
        if not name or len(name) > MAX_LABEL or not isinstance(value, str) or len(value) > MAX_LABEL:
            raise refusal(
                "labels", f"The label {name!r} needs a name and a text of at most {MAX_LABEL} characters."
            )
        if _CONTROL.search(name) or _CONTROL.search(value):
            raise refusal("labels", f"The label {name!r} has characters in it that cannot be shown.")
    return {name: str(value) for name, value in values.items()}


def secret(text: str, *, field: str) -> str:
    """A token or key: it travels in a header, so it is printable ASCII without spaces."""
    value = text.strip()
    if value and not (value.isascii() and value.isprintable() and " " not in value and len(value) <= 1000):
        raise refusal(field, "This has characters in it that no header can carry. Paste it once more.")
    return value


def slots(value: int) -> int:
    """How many requests at once; 0 leaves it to the engine."""
    if not 0 <= value <= MAX_SLOTS:
        raise refusal("slots", f"Slots are a number from 0 (what the engine says) to {MAX_SLOTS}.")
    return value


def kind(text: str) -> str:
    """A kind of engine; empty: found by asking."""
    if text not in Engine.Kind.values:
        raise refusal("kind", "The kind is ollama, openai, or empty to find it by asking.")
    return text


def engine_address(text: str, *, field: str = "llm_url", engine_id: int = 0) -> str:
    """The base URL of an engine that DPL may call and that no other engine has."""
    try:
        base_url = parse_llm_url(text).base_url
        check_address(base_url)
    except (LlmUrlError, AddressError) as error:
        raise refusal(field, error.message, code="bad_address") from error
    same = live_engines().filter(base_url__in=_spellings(base_url)).exclude(id=engine_id)
    other = same.select_related("node").first()
    if other is not None:
        raise refusal(field, f"The node {other.node.name} has this engine already.", code="duplicate")
    return base_url


_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")


def _spellings(base_url: str) -> list[str]:
    """The same address in other words, as far as they are known: this machine has three names."""
    scheme, _, rest = base_url.partition("://")
    host = next((name for name in _THIS_MACHINE if rest.startswith(f"{name}:")), None)
    if host is None:
        return [base_url]
    return [f"{scheme}://{name}{rest.removeprefix(host)}" for name in _THIS_MACHINE]


def agent_address(text: str, *, node_id: int = 0) -> str:
    """The base URL of an agent that DPL may call and that no other node has; empty: there is none."""
    if not text.strip():
        return ""
    try:
        base_url = parse_agent_url(text)
        check_address(base_url)
    except (AgentUrlError, AddressError) as error:
        raise refusal("monitor_base_url", error.message, code="bad_address") from error
    other = live_nodes().filter(monitor_base_url=base_url).exclude(id=node_id).first()
    if other is not None:
        raise refusal("monitor_base_url", f"The node {other.name} has this agent already.", code="duplicate")
    return base_url
