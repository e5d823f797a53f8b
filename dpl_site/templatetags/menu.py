"""The menu of every page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import template
from django.utils.translation import gettext_lazy

from dpl_site.navigation import FURTHER, Shown, other_names, shown_to

register = template.Library()


@register.simple_tag(takes_context=True)
def places(context: dict[str, Any]) -> Sequence[Shown]:
    """The places that the reader may go to; none where the page has no request, as in a defect's."""
    request = context.get("request")
    return tuple(shown_to(request)) if request is not None and hasattr(request, "user") else ()


@register.simple_tag(takes_context=True)
def further_places(context: dict[str, Any]) -> Sequence[Shown]:
    """What the palette leads to besides the menu's places."""
    return tuple(shown_to(context["request"], FURTHER))


@register.simple_tag
def also(text: str) -> str:
    """A text of the page as the other languages have it: whoever searches may think in any."""
    return other_names(gettext_lazy(text))


@register.inclusion_tag("_icon.html")
def icon(name: str) -> dict[str, str]:
    """A sign of our own set; it says nothing to a screen reader, so words stand beside it."""
    return {"name": name}
