"""The places that the menu, the shortcuts and the palette of every page lead to, and who may see which."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import get_language, override
from django.utils.translation import gettext_lazy as _

from accounts.authentication import principal_of_user


@dataclass(frozen=True, slots=True)
class Place:
    """One entry: its name, the name of its URL, its icon in `static/img/icons.svg`, and who may go there.

    `key` is what is pressed after `g`, where there is one. `under` lists further paths that belong to it, by how
    they begin; `at` is a part of its page, which the page opens when it is led to.
    """

    label: str | Promise
    url: str
    icon: str
    key: str = ""
    scope: str = "read"
    under: tuple[str, ...] = ()
    at: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """A Place as one reader sees it on one page; `also` has its names in the other languages, to be found by."""

    label: str
    href: str
    icon: str
    key: str
    is_current: bool
    also: str


PLACES = (
    Place(_("Overview"), "fleet-page", "fleet", "o", under=("/nodes/",)),
    Place(_("Chat"), "chat-page", "chat", "c", scope="chat"),
    Place(_("Datasets"), "jobs-page", "datasets", "d"),
    Place(_("Models"), "models-page", "models", "m"),
    Place(_("Alerts"), "alerts-page", "alerts", "a"),
    Place(_("Usage"), "usage-page", "usage", "u"),
    Place(_("Keys"), "keys-page", "keys", "k"),
)
FURTHER = (
    Place(_("History of alerts"), "alert-history", "alerts"),
    Place(_("Rules"), "alert-rules", "alerts"),
    Place(_("Silences"), "alert-silences", "alerts"),
    Place(_("Channels"), "alert-channels", "alerts"),
    Place(_("Compare two jobs"), "jobs-compare", "datasets"),
    Place(_("Upload a dataset"), "jobs-page", "datasets", scope="datasets", at="#upload"),
    Place(_("Fetch a model"), "models-page", "models", scope="chat", at="#fetch"),
    Place(_("Make a key"), "keys-page", "keys", at="#new-key"),
    Place(_("Add node"), "fleet-page", "fleet", scope="admin", at="#invite"),
    Place(_("New rule"), "alert-rule-new", "alerts", scope="admin"),
    Place(_("New silence"), "alert-silences", "alerts", scope="admin", at="#silence"),
    Place(_("New channel"), "alert-channels", "alerts", scope="admin", at="#channel"),
    Place(_("Aliases"), "models-page", "models", at="#aliases"),
    Place(_("Change the password"), "password", "person"),
)
"""What the palette leads to besides: pages behind the menu's, and what is often done."""


def shown_to(request: HttpRequest, places: tuple[Place, ...] = PLACES) -> Iterator[Shown]:
    """The places that this reader may go to, of those that this site serves."""
    principal = principal_of_user(request.user)
    for place in places:
        if principal is not None and principal.may(place.scope):
            with suppress(NoReverseMatch):
                yield _shown(place, reverse(place.url), request.path)


def other_names(label: str | Promise) -> str:
    """What a label is called in the languages that are not the reader's; it must be lazy to have more than one."""
    found = []
    for code, _name in settings.LANGUAGES:
        if code != get_language():
            with override(code):
                found.append(str(label))
    return " ".join(found)


def _shown(place: Place, href: str, path: str) -> Shown:
    is_here = path == href or (href != "/" and path.startswith(href))
    is_current = is_here or any(path.startswith(begin) for begin in place.under)
    return Shown(
        str(place.label), href + place.at, place.icon, place.key, is_current, other_names(place.label)
    )
