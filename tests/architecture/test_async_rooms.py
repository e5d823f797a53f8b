"""Where asynchronous code may live: in the rooms that are named for it, and nowhere else."""

from __future__ import annotations

import ast

from tests.architecture.tree import is_one_of, sources, tree

ROOMS = (
    "dpl_site/asgi.py",
    "dpl_site/health.py",
    "dpl_site/debug.py",
    "dpl_site/healthcheck/*.py",
    "dpl_site/middleware.py",
    "dpl_site/routing.py",
    "dpl_site/lib/*.py",
    "dpl_site/processes/*.py",
    "*/probe.py",
    "*/upstream.py",
    "*/proxy.py",
    "*/runner.py",
    "*/consumers.py",
    "*/detection.py",
    "*/intake.py",
    "*/streams.py",
    "inference/exchange.py",
    "inference/vectors.py",
    "inference/chat.py",
    "inference/chat_answering.py",
    "inference/chat_views.py",
    "inference/http_client.py",
    "inference/loading.py",
    "inference/model_forms.py",
    "inference/model_views.py",
    "*/pool.py",
    "accounts/authentication.py",
    "accounts/http.py",
    "accounts/networks.py",
    "nodes/mirror.py",
    "inference/arrival.py",
    "inference/attending.py",
    "inference/door.py",
    "inference/gateway.py",
    "inference/recorder.py",
    "inference/limiting.py",
    "inference/looking.py",
    "inference/reaching.py",
    "inference/roster.py",
    "inference/live.py",
    "inference/flowline/views.py",
    "datasets/answering.py",
    "datasets/export.py",
    "datasets/live.py",
    "alerts/live.py",
    "datasets/filling.py",
    "datasets/lanes.py",
    "datasets/scribe.py",
    "inference/sightings.py",
    "agent/simulator/*.py",
)
PROGRAMS_OF_THEIR_OWN = ("benchmarks/*.py", "benchmarks/*/*.py")


def test_it_keeps_async_code_in_its_rooms() -> None:
    found = {
        str(path)
        for path in sources()
        if not is_one_of(path, ROOMS + PROGRAMS_OF_THEIR_OWN)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.AsyncFunctionDef)
    }
    assert not found, f"async code outside its rooms (see CONTRIBUTING.md): {', '.join(sorted(found))}"
