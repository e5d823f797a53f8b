"""A web process as `manage.py web` runs it, which besides tells at /watched what it holds: tasks, threads, sockets.

Run by tests as `python -m tests.chaos.watched_web PORT`, in the environment of an installation.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
import threading
from collections import Counter
from typing import Any

import psutil


def watched(application: Any) -> Any:
    """The same application, with a path of its own for the tests."""

    async def watch(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/watched":
            await application(scope, receive, send)
            return
        body = json.dumps(what_is_held()).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": body})

    return watch


def what_is_held() -> dict[str, Any]:
    """Tasks by name, without the one that asks; threads; sockets by the port at their other end; memory."""
    gc.collect()
    process = psutil.Process()
    tasks = Counter(_kind(task) for task in asyncio.all_tasks() if task is not asyncio.current_task())
    peers = Counter(one.raddr.port for one in process.net_connections("tcp") if one.raddr)
    return {
        "tasks": dict(tasks),
        "threads": threading.active_count(),
        "files": process.num_fds(),
        "peers": {str(port): count for port, count in peers.items()},
        "rss": process.memory_info().rss,
    }


def _kind(task: asyncio.Task[Any]) -> str:
    made = task.get_name()
    return getattr(task.get_coro(), "__qualname__", made) if made.startswith("Task-") else made


def main(port: int) -> None:
    """Serve until told to stop."""
    import django

    django.setup()
    from dpl_site.asgi import application
    from dpl_site.processes.web import Server, configuration, listen

    config = configuration()
    config.app = watched(application)
    with contextlib.closing(listen("127.0.0.1", port)) as listener:
        Server(config).run(sockets=[listener])


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "dpl_site.settings"
    os.environ["DPL_PROCESS"] = "web"
    main(int(sys.argv[1]))
