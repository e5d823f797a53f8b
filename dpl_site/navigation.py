"""The places that the menu, the shortcuts and the palette of every page lead to, and who may see which."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.authentication import principal_of_user


@dataclass(frozen=True, slots=True)
class Place:
    """One entry: its name, the name of its URL, its icon in `static/img/icons.svg`, and who may go there.

    `key` is what is pressed after `g`. `under` lists further paths that belong to it, by how they begin.
    """

    label: str | Promise
    url: str
    icon: str
    key: str
    scope: str = "read"
    under: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """A Place as one reader sees it on one page."""

    label: str
    href: str
    icon: str
    key: str
    is_current: bool


PLACES = (
    Place(_("Overview"), "fleet-page", "fleet", "o", under=("/nodes/",)),
    Place(_("Chat"), "chat-page", "chat", "c", scope="chat"),
    Place(_("Datasets"), "jobs-page", "datasets", "d"),
    Place(_("Models"), "models-page", "models", "m"),
    Place(_("Alerts"), "alerts-page", "alerts", "a"),
    Place(_("Usage"), "usage-page", "usage", "u"),
    Place(_("Keys"), "keys-page", "keys", "k"),
)


def shown_to(request: HttpRequest) -> Iterator[Shown]:
    """The places that this reader may go to, of those that this site serves."""
    principal = principal_of_user(request.user)
    for place in PLACES:
        if principal is not None and principal.may(place.scope):
            with suppress(NoReverseMatch):
                yield _shown(place, reverse(place.url), request.path)


def _shown(place: Place, href: str, path: str) -> Shown:
    is_here = path == href or (href != "/" and path.startswith(href))
    is_current = is_here or any(path.startswith(begin) for begin in place.under)
    return Shown(str(place.label), href, place.icon, place.key, is_current)
