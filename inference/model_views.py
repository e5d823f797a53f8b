"""`/api/models/start/{model}` and `stop`, and the form of the models' page. Async, in the gateway's loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from accounts.http import methods, page, require
from dpl_site.lib.refusals import Refused, error_for
from inference import gateway, validation
from inference.errors import InferenceError
from inference.loading import Placed, Watch

NDJSON = "application/x-ndjson"
LOOK_S = 1.0
"""How often whoever waits for a load is told how far it is."""


@methods("POST")
@require("chat")
async def start(request: HttpRequest, name: str) -> HttpResponseBase:
    """Load a model: 202 with the node, and `loading`, `pulling`, or `resident` when there is nothing to wait for.

    Whoever accepts `application/x-ndjson` gets that as a first line, then how it goes on, and at last what
    became of it.
    """
    body = _body(request)
    model = validation.model_name(name, field="model")
    loader = gateway.installed().now().loader
    watch = Watch() if NDJSON in request.headers.get("Accept", "") else None
    more: dict[str, Any] = {"watch": watch} if watch else {}
    try:
        placed = await loader.start(model, node_id=_node(body), may_pull=_flag(body, "pull"), **more)
    except InferenceError as error:
        return _failed(request, error)
    begun = {"model": placed.model, "node": _told(placed), "state": placed.state}
    if watch is None:
        return JsonResponse(begun, status=202)
    return StreamingHttpResponse(_lines(begun, watch), content_type=NDJSON, status=202)


@methods("POST")
@require("chat")
async def stop(request: HttpRequest, name: str) -> HttpResponseBase:
    """Unload a model from every engine that can, or from one node's."""
    body = _body(request)
    model = validation.model_name(name, field="model")
    loader = gateway.installed().now().loader
    try:
        placed = await loader.stop(model, node_id=_node(body))
    except InferenceError as error:
        return _failed(request, error)
    nodes = [_told(one) for one in placed]
    return JsonResponse({"model": model, "nodes": nodes, "state": "unloaded"})


@methods("GET", "POST")
@page("chat")
async def act(request: HttpRequest) -> HttpResponseBase:
    """The page's form, for where no script sends it: start, fetch or stop a model, and say so. A GET leads back."""
    if request.method == "POST":
        try:
            messages.success(request, await _acted(request))
        except Refused as refused:
            messages.error(request, refused.message)
        except InferenceError as error:
            messages.error(request, error.engine_message or error.message)
    return redirect("models-page")


async def _acted(request: HttpRequest) -> str:
    """What was begun, in words. Raises Refused, InferenceError."""
    form = request.POST
    model = validation.model_name(form.get("model", ""), field="model")
    node = form.get("node", "")
    node_id = int(node) if node.isascii() and node.isdigit() and len(node) <= 18 else 0
    loader = gateway.installed().now().loader
    if form.get("do") == "stop":
        await loader.stop(model, node_id=node_id)
        return _("%(model)s is out of memory.") % {"model": model}
    placed = await loader.start(model, node_id=node_id, may_pull=form.get("do") == "pull")
    said = {
        "resident": _("%(model)s is loaded on %(node)s."),
        "pulling": _("%(model)s is being fetched on %(node)s; that can take minutes."),
        "loading": _("%(model)s is being loaded on %(node)s."),
    }
    return said[placed.state] % {"model": placed.model, "node": placed.node_name}


async def _lines(begun: dict[str, Any], watch: Watch) -> AsyncIterator[bytes]:
    """What becomes of a load, a line whenever there is something new and at least every few seconds.

    It only looks on: when whoever reads goes away, the load goes on.
    """
    yield _line(begun)
    while watch.task is not None and not watch.task.done():
        done, total = watch.bytes
        yield _line(begun | {"bytes": {"done": done, "total": total} if total else None})
        await asyncio.wait({watch.task}, timeout=LOOK_S)
    yield _line(begun | _became(watch))


def _became(watch: Watch) -> dict[str, Any]:
    """The last line: it is loaded, or why it is not."""
    task = watch.task
    if task is None:
        return {}
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    if error is None:
        return {"state": "resident"}
    why = getattr(error, "engine_message", "") or getattr(error, "message", "") or "DPL stopped meanwhile."
    return {"state": "failed", "error": {"message": why, "code": getattr(error, "code", "internal_error")}}


def _line(told: dict[str, Any]) -> bytes:
    return orjson.dumps(told) + b"\n"


def _body(request: HttpRequest) -> dict[str, Any]:
    """The JSON object of a request; nothing at all is an empty one. Raises Refused."""
    if not request.body.strip():
        return {}
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise Refused(f"The request's body is not JSON: {error}.", code="invalid_json") from error
    if not isinstance(body, dict):
        raise Refused("The request's body must be a JSON object.", code="invalid_json")
    return body


def _node(body: dict[str, Any]) -> int:
    node_id = body.get("node") or 0
    if not isinstance(node_id, int) or isinstance(node_id, bool):
        raise Refused("node must be the id of a node.", code="bad_value", detail={"field": "node"})
    return node_id


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name) or False
    if not isinstance(value, bool):
        raise Refused(f"{name} must be true or false.", code="bad_value", detail={"field": name})
    return value


def _told(placed: Placed) -> dict[str, Any]:
    return {"id": placed.node_id, "name": placed.node_name}


def _failed(request: HttpRequest, error: InferenceError) -> HttpResponseBase:
    return error_for(request.path, error.engine_message or error.message, error.code, error.http_status)
