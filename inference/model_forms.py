"""The forms on a node's page that load a model and unload it, without a script. Async, in the gateway's loop."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.http import Asked, methods, page
from dpl_site.lib.back import back
from dpl_site.lib.refusals import Refused
from inference import gateway, validation
from inference.errors import InferenceError


@methods("GET", "POST")
@page("chat")
async def load(request: Asked, node_id: int) -> HttpResponse:
    """Load the model that the form names. A GET, as after a login in between, only leads back."""
    return await _done(request, node_id)


@methods("GET", "POST")
@page("chat")
async def unload(request: Asked, node_id: int) -> HttpResponse:
    """Unload it from this node."""
    return await _done(request, node_id, is_unload=True)


async def _done(request: Asked, node_id: int, *, is_unload: bool = False) -> HttpResponse:
    """Do it, and lead back to the page, which says what came of it."""
    if request.method == "POST":
        act = _unload if is_unload else _load
        try:
            messages.success(request, await act(request.POST.get("model", ""), node_id))
        except Refused as refused:
            messages.error(request, refused.message)
        except InferenceError as error:
            messages.error(request, error.engine_message or error.message)
    return back(request, reverse("node-page", args=[node_id]))


async def _load(name: str, node_id: int) -> str:
    model = validation.model_name(name, field="model")
    placed = await gateway.installed().now().loader.start(model, node_id=node_id)
    if placed.state == "resident":
        return _("{model} is in memory.").format(model=placed.model)
    return _("{model} is being loaded. This may take minutes.").format(model=placed.model)


async def _unload(name: str, node_id: int) -> str:
    model = validation.model_name(name, field="model")
    await gateway.installed().now().loader.stop(model, node_id=node_id)
    return _("{model} is unloaded.").format(model=model)
