"""The chat page's answers where its socket does not serve: in one piece, as JSON or as the page itself. Async."""

from __future__ import annotations

import json
from contextvars import copy_context
from functools import partial
from typing import Any

import orjson
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.authentication import Principal, principal_of_user
from accounts.http import Asked, lacks, methods, require
from dpl_site.lib.db import call
from dpl_site.lib.refusals import Refused
from inference.chat_answering import Whole, answered
from inference.chat_form import ChatForm, Turn
from inference.chat_pages import shown
from inference.chat_words import phrases


@methods("POST")
@require("chat")
async def answer(request: Asked) -> HttpResponseBase:
    """A question as the socket's `start` has it, answered in one piece."""
    try:
        said = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise Refused(f"The request's body is not JSON: {error}.", code="invalid_json") from error
    if not isinstance(said, dict):
        raise Refused("The request's body must be a JSON object.", code="invalid_json")
    return JsonResponse(await answered(said, request.principal))


@methods("GET", "POST")
async def ask(request: HttpRequest) -> HttpResponseBase:
    """The form, sent without a script: the page again, with the answer. Django's middleware has checked its token.

    A GET, as after a login in between, only leads back.
    """
    principal = await call(_person, request)
    if principal is None:
        return redirect_to_login(reverse("chat-page"))
    if request.method != "POST":
        return redirect("chat-page")
    form = ChatForm(request.POST, request.FILES)
    status, more = await _outcome(form, principal)
    # The reader's language is in the context, which threads of the pool do not share.
    draw = partial(shown, request, principal, form, status=status, **more)
    return await call(copy_context().run, draw)


async def _outcome(form: ChatForm, principal: Principal) -> tuple[int, dict[str, Any]]:
    """What comes of a form: the status, and what the page shows besides."""
    if not form.is_valid():
        problem = " ".join(str(error) for errors in form.errors.values() for error in errors)
        before = form.cleaned_data.get("history") or []
        return 400, {"problem": problem, **_conversation(before), "prompt": form.data.get("prompt", "")}
    before, prompt = form.cleaned_data["history"], form.cleaned_data["prompt"]
    try:
        if not principal.may("chat"):
            raise lacks(principal, "chat")
        whole = await answered(form.question(), principal)
    except Refused as refused:
        todo = phrases()["errors"].get(refused.code, "")
        problem = " ".join(part for part in (todo, refused.message) if part)
        return refused.status, {"problem": problem, **_conversation(before), "prompt": prompt}
    said = [Turn(role="user", text=prompt, about=""), _turn(whole)]
    return 200, _conversation([*before, *said])


def _conversation(turns: list[Turn]) -> dict[str, Any]:
    return {"turns": turns, "history": json.dumps(turns, ensure_ascii=False)}


def _turn(whole: Whole) -> Turn:
    about = " · ".join(part for part in (whole["model"], (whole["node"] or {}).get("name", "")) if part)
    return Turn(role="assistant", text=whole["text"] or _("(The answer is empty.)"), about=about)


def _person(request: HttpRequest) -> Principal | None:
    return principal_of_user(request.user)
