"""`/api/models/start/{model}` and `stop`, and the form of the models' page. Async, in the gateway's loop."""

from __future__ import annotations

from typing import Any

import orjson
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from accounts.http import methods, page, require
from dpl_site.lib.refusals import Refused, error_for
from inference import gateway, validation
from inference.errors import InferenceError
from inference.loading import Placed


@methods("POST")
@require("chat")
async def start(request: HttpRequest, name: str) -> HttpResponseBase:
    """Load a model: 202 with the node, and `loading`, `pulling`, or `resident` when there is nothing to wait for."""
    body = _body(request)
    model = validation.model_name(name, field="model")
    loader = gateway.installed().now().loader
    try:
        placed = await loader.start(model, node_id=_node(body), may_pull=_flag(body, "pull"))
    except InferenceError as error:
        return _failed(request, error)
    return JsonResponse({"model": placed.model, "node": _told(placed), "state": placed.state}, status=202)


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
