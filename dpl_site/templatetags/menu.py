"""The menu of every page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import template

from dpl_site.navigation import Shown, shown_to

register = template.Library()


@register.simple_tag(takes_context=True)
def places(context: dict[str, Any]) -> Sequence[Shown]:
    """The places that the reader may go to; none where the page has no request, as in a defect's."""
    request = context.get("request")
    return tuple(shown_to(request)) if request is not None and hasattr(request, "user") else ()


@register.inclusion_tag("_icon.html")
def icon(name: str) -> dict[str, str]:
    """A sign of our own set; it says nothing to a screen reader, so words stand beside it."""
    return {"name": name}
