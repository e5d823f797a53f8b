"""Sentences of the database and of agents in the reader's language, in templates and for the scripts."""

from __future__ import annotations

from django import template
from django.utils.html import json_script
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from dpl_site.said import in_words, table

register = template.Library()


@register.filter
def said(text: str | None) -> str:
    """One sentence."""
    return in_words(text or "")


@register.filter
def all_said(texts: list[str] | None) -> list[str]:
    """Several."""
    return [in_words(text) for text in texts or ()]


@register.simple_tag
def sentences_table() -> SafeString:
    """The table for `static/js/sentences.js`; nothing where the sentences are in the reader's language already."""
    found = table(get_language() or "en")
    return json_script(found, "sentences") if found else SafeString("")
