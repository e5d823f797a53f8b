"""The page of API keys: made and shown once, listed, limited, revoked. Decides who sees whose and which button."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.examples import PLACEHOLDER, examples
from accounts.forms import LIMIT_LABELS, LimitsForm, NewKeyForm
from accounts.http import Asked, methods, page, server_address
from accounts.limits import LIMITS
from accounts.models import ApiKey, User
from accounts.selectors import keys_of
from accounts.services import key_create, key_limit, key_revoke
from dpl_site.lib.clock import iso, utc_now
from dpl_site.lib.refusals import Refused

PAGE_SIZE = 50


@methods("GET", "POST")
@page("read")
def keys_page(request: Asked) -> HttpResponse:
    """One's own keys, for admins everybody's, and the form for a new one. A POST makes it and shows it this once."""
    if request.method != "POST":
        return _shown(request, NewKeyForm(principal=request.principal))
    form = NewKeyForm(request.POST, principal=request.principal)
    if form.is_valid():
        try:
            key, plain = _made(request, form)
            return _shown(request, NewKeyForm(principal=request.principal), made=key, plain=plain)
        except Refused as refused:
            form.blame(refused)
    return _shown(request, form, status=400)


@methods("GET", "POST")
@page("read")
def revoke(request: Asked, key_id: int) -> HttpResponse:
    """End a key. A GET, as after a login in between, only leads back."""
    if request.method == "POST":
        key = _one(request, key_id)
        key_revoke(key=key)
        messages.success(request, _("The key “%(name)s” is revoked.") % {"name": key.name})
    return redirect("keys-page")


@methods("GET", "POST")
@page("admin")
def limit(request: Asked, key_id: int) -> HttpResponse:
    """Set a key's limits. A GET only leads back."""
    if request.method == "POST":
        key, form = _one(request, key_id), LimitsForm(request.POST)
        try:
            if not form.is_valid():
                raise Refused(_said(form))
            key_limit(key=key, limits=form.limits())
            messages.success(request, _("The limits of “%(name)s” are set.") % {"name": key.name})
        except Refused as refused:
            messages.error(request, refused.message)
    return redirect("keys-page")


def _made(request: Asked, form: NewKeyForm) -> tuple[ApiKey, str]:
    """The new key. Raises Refused."""
    return key_create(
        user=form.cleaned_data["user"] or cast(User, request.user),
        name=form.cleaned_data["name"],
        scopes=form.cleaned_data["scopes"],
        expires_at=form.expires_at(),
        by=request.principal,
        limits=form.limits(),
    )


def _shown(
    request: Asked, form: NewKeyForm, *, made: ApiKey | None = None, plain: str = "", status: int = 200
) -> HttpResponse:
    wanted = {"q": request.GET.get("q", "").strip()[:100], "all": "1" if request.GET.get("all") else ""}
    found = Paginator(_wanted(request, wanted), PAGE_SIZE).get_page(request.GET.get("page"))
    may_chat = request.principal.may("chat") if made is None else "chat" in made.scopes
    context = {
        "form": form,
        "page": found,
        "keys": [_row(key) for key in found],
        "made": made,
        "plain": plain,
        "examples": examples(server=server_address(request), key=plain or PLACEHOLDER, may_chat=may_chat),
        "is_admin": request.principal.may("admin"),
        "wanted": wanted,
    }
    response = render(request, "accounts/keys.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response


def _wanted(request: Asked, wanted: dict[str, str]) -> QuerySet[ApiKey]:
    """The keys that are asked for: the good ones, or all; by name, beginning or owner."""
    found = keys_of(request.principal)
    if not wanted["all"]:
        found = found.filter(revoked_at=None).exclude(expires_at__lte=utc_now())
    words = wanted["q"]
    named = Q(name__icontains=words) | Q(prefix__startswith=words) | Q(user__username__icontains=words)
    return found.filter(named) if words else found


def _row(key: ApiKey) -> dict[str, Any]:
    """A key as the page shows it."""
    is_over = key.expires_at is not None and key.expires_at <= utc_now()
    limits = [(name, LIMIT_LABELS[name], getattr(key, name)) for name in LIMITS]
    return {
        "id": key.pk,
        "name": key.name,
        "prefix": key.prefix,
        "owner": key.user.username,
        "scopes": key.scopes,
        "created": iso(key.created_at),
        "used": iso(key.last_used_at) if key.last_used_at else "",
        "expires": iso(key.expires_at) if key.expires_at else "",
        "state": "revoked" if key.revoked_at else "expired" if is_over else "good",
        "limits": limits,
        "has_limits": any(value is not None for _name, _label, value in limits),
    }


def _one(request: Asked, key_id: int) -> ApiKey:
    """A key that this person may see. Raises Http404."""
    key = keys_of(request.principal).filter(pk=key_id).first()
    if key is None:
        raise Http404
    return key


def _said(form: LimitsForm) -> str:
    """What is wrong with a form, in one line."""
    told = [
        f"{form.fields[name].label}: {' '.join(map(str, errors))}" for name, errors in form.errors.items()
    ]
    return " ".join(told)
