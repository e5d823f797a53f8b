"""The forms that lock and unlock a node: for how long, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.http import Asked, methods, page
from dpl_site.lib.back import back
from dpl_site.lib.refusals import Refused
from nodes import locks

LOCK_MINUTES = (
    (15, gettext_lazy("15 minutes")),
    (60, gettext_lazy("1 hour")),
    (240, gettext_lazy("4 hours")),
    (480, gettext_lazy("8 hours")),
    (1440, gettext_lazy("1 day")),
    (10_080, gettext_lazy("1 week")),
)
AS_A_RULE = 60
"""The minutes that are offered first."""


class LockForm(forms.Form):
    """Why a node is taken, and for how long."""

    reason = forms.CharField(required=False, max_length=300)
    minutes = forms.TypedChoiceField(choices=LOCK_MINUTES, coerce=int)


@methods("GET", "POST")
@page("chat")
def lock(request: Asked, node_id: int) -> HttpResponse:
    """Take a node for oneself. A GET, as after a login in between, only leads back."""
    if request.method == "POST":
        with _told(request, _("The node is locked.")):
            _lock(request, node_id)
    return back(request, reverse("fleet-page"))


@methods("GET", "POST")
@page("chat")
def unlock(request: Asked, node_id: int) -> HttpResponse:
    """Free a node of one's own lock, as an admin of anybody's. A GET only leads back."""
    if request.method == "POST":
        with _told(request, _("The node is free.")):
            principal = request.principal
            locks.unlock_node(node_id=node_id, actor=principal.username, force=principal.may("admin"))
    return back(request, reverse("fleet-page"))


def _lock(request: Asked, node_id: int) -> None:
    """Lock it as the form says. Raises Refused, in words."""
    form, name = LockForm(request.POST), request.principal.username
    if not form.is_valid():
        raise Refused(" ".join(str(error) for errors in form.errors.values() for error in errors))
    locks.lock_node(
        node_id=node_id,
        by=locks.PERSON,
        owner=name,
        user_id=request.principal.user_id,
        reason=form.cleaned_data["reason"],
        ttl_s=form.cleaned_data["minutes"] * 60,
        actor=name,
    )


@contextmanager
def _told(request: Asked, done: str) -> Iterator[None]:
    """Say on the next page that it is done, or why not."""
    try:
        yield
    except Refused as refused:
        messages.error(request, refused.message)
    else:
        messages.success(request, done)
