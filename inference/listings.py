"""The fleet's models as OpenAI's and Ollama's clients, and seed 1's, ask for them."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from django.http import HttpRequest, JsonResponse

from accounts.http import methods, require
from dpl_site.lib.clock import iso, utc_now
from dpl_site.lib.refusals import Refused
from inference.catalog import FleetModel, fleet_model, fleet_models

OLLAMA_VERSION = "0.33.0"
"""The version of Ollama whose API is spoken: clients ask for it before they use what is new."""
EPOCH = "1970-01-01T00:00:00Z"
"""Ollama's clients want a time of change; the fleet knows none."""


@methods("GET")
@require("read")
def openai_models(request: HttpRequest) -> JsonResponse:
    """`GET /v1/models`."""
    return JsonResponse({"object": "list", "data": [_openai(name) for name, _ in _by_name()]})


@methods("GET")
@require("read")
def openai_model(request: HttpRequest, name: str) -> JsonResponse:
    """`GET /v1/models/{id}`."""
    model = _known(name)
    return JsonResponse(_openai(name if name in model.aliases else model.name))


@methods("GET")
@require("read")
def seed_models(request: HttpRequest) -> JsonResponse:
    """`GET /api/models`: each model with the nodes that have it."""
    return JsonResponse({"models": [seed_model(model) for model in fleet_models()]})


@methods("GET")
@require("read")
def ollama_tags(request: HttpRequest) -> JsonResponse:
    """`GET /api/tags`: every model, resident or not."""
    return JsonResponse({"models": [_tag(name, model) for name, model in _by_name()]})


@methods("GET")
@require("read")
def ollama_ps(request: HttpRequest) -> JsonResponse:
    """`GET /api/ps`: the resident ones."""
    return JsonResponse({"models": [_resident(model) for model in fleet_models() if model.is_resident]})


@methods("GET")
@require("read")
def ollama_version(request: HttpRequest) -> JsonResponse:
    """`GET /api/version`."""
    return JsonResponse({"version": OLLAMA_VERSION})


@methods("POST")
@require("read")
def ollama_show(request: HttpRequest) -> JsonResponse:
    """`POST /api/show`: what the fleet knows of a model."""
    try:
        body = orjson.loads(request.body)
        name = body.get("model") or body.get("name") or ""
    except (orjson.JSONDecodeError, AttributeError):
        raise Refused("The request's body must be a JSON object.", code="invalid_json") from None
    if not isinstance(name, str) or not name:
        raise Refused("model is required", code="bad_model")
    model = _known(name)
    info = {"general.architecture": "", "general.basename": model.name}
    if model.context_length:
        info["general.context_length"] = str(model.context_length)
    return JsonResponse(
        {
            "modelfile": "",
            "parameters": "",
            "template": "",
            "details": _details(),
            "model_info": info,
            "capabilities": list(model.abilities),
            "modified_at": EPOCH,
        }
    )


@require("read")
def ollama_elsewhere(request: HttpRequest, rest: str = "") -> JsonResponse:
    """Ollama's other paths: they change one engine's disk, which a fleet leaves to its machines."""
    message = f"{request.path} is not possible through DPL: do it on the machine itself."
    raise Refused(message, code="not_implemented", status=501)


def _known(name: str) -> FleetModel:
    model = fleet_model(name)
    if model is None:
        there_are = ", ".join(one.name for one in fleet_models()[:50]) or "none yet"
        raise Refused(
            f"model '{name[:200]}' not found. There are: {there_are}.", code="model_not_found", status=404
        )
    return model


def _by_name() -> list[tuple[str, FleetModel]]:
    """Every name that a client may ask for: of an alias and a model that are called the same, the alias counts."""
    models = fleet_models()
    named = {model.name: model for model in models}
    named |= {alias: model for model in models for alias in model.aliases}
    return sorted(named.items())


def _openai(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "dpl"}


def seed_model(model: FleetModel) -> dict[str, Any]:
    """One model as seed 1 has it."""
    nodes = [
        {
            "id": place.node_id,
            "name": place.node_name,
            "resident": place.is_resident,
            "size_bytes": place.size_bytes,
        }
        for place in model.places
    ]
    aliases = sorted(model.aliases)
    return {"name": model.name, "resident": model.is_resident, "aliases": aliases, "nodes": nodes}


def _tag(name: str, model: FleetModel) -> dict[str, Any]:
    return {
        "name": name,
        "model": name,
        "modified_at": EPOCH,
        "size": model.size_bytes or 0,
        "digest": hashlib.sha256(model.name.encode()).hexdigest(),
        "details": _details(),
    }


def _resident(model: FleetModel) -> dict[str, Any]:
    until = iso(utc_now().replace(microsecond=0))
    more = {"expires_at": until, "size_vram": model.size_bytes or 0}
    return (
        _tag(model.name, model)
        | more
        | ({"context_length": model.context_length} if model.context_length else {})
    )


def _details() -> dict[str, Any]:
    empty = {"parent_model": "", "format": "", "family": "", "families": []}
    return empty | {"parameter_size": "", "quantization_level": ""}
