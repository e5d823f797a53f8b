"""The chat page: what it shows before any script runs, and what its scripts are given. Decides who may chat where."""

from __future__ import annotations

from typing import Any, TypedDict

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse

from accounts.authentication import Principal
from accounts.http import Asked, methods, page, require
from inference.catalog import FleetModel, fleet_models
from inference.chat_form import EFFORTS, MOST_PICTURE_BYTES, ChatForm
from inference.chat_words import phrases
from inference.targets import live_engines

MOST_QUESTION_BYTES = 7 * 1024 * 1024
"""What a page sends in one question; the socket takes a little more (`web.LARGEST_SOCKET_MESSAGE`)."""
MOST_PICTURES = 4


class ModelChoice(TypedDict):
    """A model as the page offers it; `pictures` and `thinking` are yes, no, or unknown where no engine says."""

    name: str
    resident: bool
    nodes: list[str]
    pictures: str
    thinking: str
    context_length: int | None


@methods("GET")
@page("chat")
def chat_page(request: Asked, conversation: object = None) -> HttpResponse:
    """The page. Which conversation is shown is the script's to know: they stay in the reader's browser."""
    return shown(request, request.principal, ChatForm())


@methods("GET")
@require("chat")
def models(request: HttpRequest) -> JsonResponse:
    """What may be asked now, for the page's script."""
    return JsonResponse(_there_is())


def shown(
    request: HttpRequest, principal: Principal, form: ChatForm, *, status: int = 200, **more: Any
) -> HttpResponse:
    """The page with a form, and with what was said where no script keeps it."""
    there_is = _there_is()
    context = {
        "form": form,
        "me": {"id": principal.user_id, "name": principal.username},
        "is_admin": principal.may("admin"),
        "efforts": EFFORTS,
        "phrases": phrases(),
        "settings": _settings(there_is),
        "pictures_mb": MOST_PICTURE_BYTES // 2**20,
        **there_is,
        **more,
    }
    response = render(request, "inference/chat.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response


def _settings(there_is: dict[str, Any]) -> dict[str, Any]:
    return {
        **there_is,
        "page": reverse("chat-page"),
        "answer": reverse("chat-answer"),
        "models_url": reverse("chat-models"),
        "most_question_bytes": MOST_QUESTION_BYTES,
        "most_picture_bytes": MOST_PICTURE_BYTES,
        "most_pictures": MOST_PICTURES,
    }


def _there_is() -> dict[str, Any]:
    """The models that generate, those that are loaded first, and whether there is any engine at all."""
    choices = [choice for model in fleet_models() if model.can_generate for choice in _choices(model)]
    choices.sort(key=lambda one: (not one["resident"], one["name"]))
    return {"models": choices, "has_engine": bool(choices) or live_engines().exists()}


def _choices(model: FleetModel) -> list[ModelChoice]:
    """A model under its own name and under each of its others."""
    return [
        ModelChoice(
            name=name,
            resident=model.is_resident,
            nodes=sorted({place.node_name for place in model.places}),
            pictures=_can(model, "vision"),
            thinking=_can(model, "thinking"),
            context_length=model.context_length,
        )
        for name in (model.name, *model.aliases)
    ]


def _can(model: FleetModel, ability: str) -> str:
    if ability in model.abilities:
        return "yes"
    return "no" if model.tells_abilities else "unknown"
