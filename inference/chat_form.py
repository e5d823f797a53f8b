"""What the chat page's form may say, and the question that it makes. Bounds of the parameters are decided here."""

from __future__ import annotations

import base64
import json
from typing import Any, TypedDict

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from inference.surfaces.base import MAX_MODEL

MAX_TEXT = 1_000_000
"""Characters of a question, and of a system prompt."""
MOST_PICTURE_BYTES = 4 * 1024 * 1024
PICTURES = ("image/png", "image/jpeg", "image/webp", "image/gif")
EFFORTS = (
    ("", pgettext_lazy("thinking", "as the model does")),
    ("none", pgettext_lazy("thinking", "none")),
    ("low", pgettext_lazy("thinking", "little")),
    ("medium", pgettext_lazy("thinking", "some")),
    ("high", pgettext_lazy("thinking", "much")),
)
NUMBERS = ("temperature", "top_p", "max_tokens", "seed", "presence_penalty", "frequency_penalty")
OPTIONS = (*NUMBERS, "reasoning_effort")


class Turn(TypedDict):
    """One message of the conversation, as the page shows it."""

    role: str
    text: str
    about: str


class ChatForm(forms.Form):
    """A question with what goes before it; the page's script reads the same fields."""

    model = forms.CharField(required=False, max_length=MAX_MODEL)
    system = forms.CharField(required=False, max_length=MAX_TEXT, strip=False)
    prompt = forms.CharField(
        max_length=MAX_TEXT, strip=False, error_messages={"required": gettext_lazy("Write a message first.")}
    )
    history = forms.CharField(required=False)
    picture = forms.FileField(required=False)
    temperature = forms.FloatField(required=False, min_value=0, max_value=2)
    top_p = forms.FloatField(required=False, min_value=0, max_value=1)
    max_tokens = forms.IntegerField(required=False, min_value=1, max_value=1_000_000)
    seed = forms.IntegerField(required=False, min_value=0, max_value=2**31 - 1)
    presence_penalty = forms.FloatField(required=False, min_value=-2, max_value=2)
    frequency_penalty = forms.FloatField(required=False, min_value=-2, max_value=2)
    stop = forms.CharField(required=False, max_length=1000, strip=False)
    reasoning_effort = forms.ChoiceField(required=False, choices=EFFORTS)

    def clean_history(self) -> list[Turn]:
        """What was said before; nothing where it cannot be read."""
        try:
            told = json.loads(self.cleaned_data["history"] or "[]")
        except ValueError:
            raise forms.ValidationError(
                _("The conversation so far could not be read. Begin a new one.")
            ) from None
        turns = [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
        return [
            Turn(role=one["role"], text=str(one.get("text", "")), about=str(one.get("about", "")))
            for one in turns
            if one.get("role") in ("user", "assistant")
        ]

    def clean_picture(self) -> str:
        """The picture as an address that holds it, empty for none."""
        file = self.cleaned_data["picture"]
        if file is None:
            return ""
        if file.content_type not in PICTURES or (file.size or 0) > MOST_PICTURE_BYTES:
            most = MOST_PICTURE_BYTES // 2**20
            raise forms.ValidationError(
                _("A picture must be PNG, JPEG, WebP or GIF, of at most %(most)s MiB.") % {"most": most}
            )
        return f"data:{file.content_type};base64,{base64.b64encode(file.read()).decode()}"

    def question(self) -> dict[str, Any]:
        """The question as the socket's `start` has it; the form is valid."""
        told = self.cleaned_data
        before = [{"role": one["role"], "content": one["text"]} for one in told["history"]]
        system = [{"role": "system", "content": told["system"]}] if told["system"].strip() else []
        content: Any = told["prompt"]
        if told["picture"]:
            picture = {"type": "image_url", "image_url": {"url": told["picture"]}}
            content = [{"type": "text", "text": told["prompt"]}, picture]
        messages = [*system, *before, {"role": "user", "content": content}]
        options = {name: told[name] for name in OPTIONS if told[name] not in (None, "")}
        if stop := [line for line in told["stop"].splitlines() if line]:
            options["stop"] = stop
        return {"model": told["model"], "messages": messages, "options": options}
