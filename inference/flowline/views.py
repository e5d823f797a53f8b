"""FlowLine's paths, read and answered. Refreshing is asynchronous: machines are asked over the network."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps

import psutil
from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

from accounts.http import methods, require
from dpl_site.lib.db import call
from inference.flowline.probe import refresher
from inference.flowline.shape import uptime
from inference.flowline.slaves import all_slaves, health, node_of, one_slave

View = Callable[..., HttpResponseBase]


def reading(view: View) -> View:
    """A GET for `read`, or for everybody where DPL_PUBLIC_FLOWLINE says so: FlowLine's page sends no key."""
    guarded: View = require("read")(view)

    @methods("GET")
    @wraps(view)
    def inner(request: HttpRequest, *args: str, **kwargs: str) -> HttpResponseBase:
        return (view if settings.DPL_PUBLIC_FLOWLINE else guarded)(request, *args, **kwargs)

    return inner


@reading
def slaves(request: HttpRequest) -> JsonResponse:
    """Every machine by its key."""
    return JsonResponse(all_slaves())


@reading
def slave(request: HttpRequest, key: str) -> JsonResponse:
    """One machine."""
    found = one_slave(key)
    return JsonResponse(found) if found else _not_found()


@reading
def slaves_health(request: HttpRequest) -> JsonResponse:
    """How many machines there are and answer."""
    return JsonResponse(health())


@reading
def system_uptime(request: HttpRequest) -> JsonResponse:
    """For how long this machine, which serves the site, has been up."""
    return JsonResponse(uptime(time.time() - psutil.boot_time()))


@methods("POST")
@require("read")
async def refresh_slave(request: HttpRequest, key: str) -> JsonResponse:
    """Ask one machine now."""
    node_id = await call(node_of, key)
    if node_id is None:
        return _not_found()
    await refresher.refresh([node_id])
    return JsonResponse({"success": True})


@methods("POST")
@require("read")
async def refresh_all(request: HttpRequest) -> JsonResponse:
    """Ask every machine now."""
    await refresher.refresh()
    return JsonResponse({"success": True})


def _not_found() -> JsonResponse:
    """In FlowLine's own words."""
    return JsonResponse({"error": "Slave not found"}, status=404)
