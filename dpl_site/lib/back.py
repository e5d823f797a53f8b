"""Decides where a form leads when it is done: back to the page it came from, if that is one of ours."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme


def back(request: HttpRequest, otherwise: str) -> HttpResponseRedirect:
    """To the path in the form's field `next`; to `otherwise` without one, or when it leads elsewhere."""
    wanted = request.POST.get("next", "")
    is_ours = wanted.startswith("/") and url_has_allowed_host_and_scheme(
        wanted, allowed_hosts=None, require_https=request.is_secure()
    )
    return HttpResponseRedirect(wanted if is_ours else otherwise)
