"""The page that invites a machine, for where no script makes the line within the fleet's page."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render

from accounts.http import Asked, methods, page, server_address
from dpl_site.lib.refusals import Refused
from nodes import join_api
from nodes.join_lines import is_this_machine_only


@methods("GET", "POST")
@page("admin")
def invite_page(request: Asked) -> HttpResponse:
    """The form; after it the line to paste, this once."""
    context: dict[str, Any] = invite_context(request)
    status = 200
    if request.method == "POST":
        try:
            context["made"] = join_api.invite(
                request,
                created_by=request.principal.username,
                name=request.POST.get("name", ""),
                uses=_number(request.POST.get("uses", "1")),
            )
        except Refused as refused:
            context["problem"], status = refused.message, refused.status
    response = render(request, "inference/invite.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response


def invite_context(request: Asked) -> dict[str, Any]:
    """What the form for an invitation needs."""
    return {
        "minutes": max(1, settings.DPL_JOIN_TOKEN_TTL_S // 60),
        "most_uses": settings.DPL_JOIN_TOKEN_MOST_USES,
        "is_local": is_this_machine_only(server_address(request)),
    }


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
