"""Models in pages: what a model can, in words."""

from __future__ import annotations

from django import template
from django.utils.translation import pgettext_lazy

register = template.Library()

ABILITIES = {
    "completion": pgettext_lazy("ability", "text"),
    "tools": pgettext_lazy("ability", "tools"),
    "vision": pgettext_lazy("ability", "pictures"),
    "thinking": pgettext_lazy("ability", "thinking"),
    "insert": pgettext_lazy("ability", "insertion"),
    "embedding": pgettext_lazy("ability", "embeddings"),
    "audio": pgettext_lazy("ability", "audio"),
}


@register.filter
def ability(value: str | None) -> str:
    """An ability's name in the reader's language; one that is not known as its engine says it."""
    return str(ABILITIES.get(value or "", value or ""))


@register.simple_tag
def ability_words() -> dict[str, str]:
    """All of them, for the page's script."""
    return {name: str(label) for name, label in ABILITIES.items()}
