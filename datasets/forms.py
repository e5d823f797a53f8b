"""The form that uploads a dataset. It decides nothing about jobs: what it lets through, the services check."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext_lazy as _

from datasets.options import MAX_TEXT, OptionLimits
from dpl_site.lib.refusals import Refused

MAIN = ("file", "model")
"""The fields that are seen without asking for more."""
SAMPLING = ("temperature", "max_tokens")
"""Fields that are sampling options: what most people set, without writing JSON."""


class UploadForm(forms.Form):
    """A file, and how its rows are to be run; names are those of `POST /api/dataset/upload`."""

    use_required_attribute = True

    file = forms.FileField(
        label=_("Dataset"),
        help_text=_("A JSON array, or JSONL. Each row has an instruction (and an input) or messages."),
        allow_empty_file=True,
    )
    model = forms.ChoiceField(label=_("Model"), required=False)
    limit = forms.IntegerField(
        label=_("Row limit"), required=False, min_value=1, help_text=_("Empty: all of them.")
    )
    offset = forms.IntegerField(
        label=_("Rows to skip"), required=False, min_value=0, help_text=_("So many from the beginning.")
    )
    name = forms.CharField(
        label=_("Name"), required=False, max_length=MAX_TEXT, help_text=_("Empty: the file's name.")
    )
    system = forms.CharField(
        label=_("System prompt"),
        required=False,
        strip=False,
        widget=forms.Textarea({"rows": 3}),
        help_text=_("For rows that bring none."),
    )
    temperature = forms.FloatField(
        label=_("Temperature"),
        required=False,
        min_value=0,
        max_value=5,
        widget=forms.NumberInput({"step": "any"}),
        help_text=_("0: always the likeliest words. Empty: the model's own."),
    )
    max_tokens = forms.IntegerField(
        label=_("Max tokens"), required=False, min_value=1, help_text=_("Where an answer is cut off.")
    )
    options = forms.CharField(
        label=_("Further sampling options"),
        required=False,
        widget=forms.Textarea({"rows": 2, "placeholder": '{"top_p": 0.9, "seed": 7}', "spellcheck": "false"}),
        help_text=_("A JSON object, with OpenAI's names."),
    )
    attempts = forms.IntegerField(
        label=_("Attempts"),
        required=False,
        min_value=1,
        help_text=_("How often a row may fail by its own fault."),
    )
    timeout_s = forms.FloatField(
        label=_("Timeout"), required=False, help_text=_("Seconds for each try of a row.")
    )
    nodes = forms.MultipleChoiceField(
        label=_("Nodes"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None chosen: all of them."),
    )
    exclusive = forms.BooleanField(
        label=_("Exclusive"),
        required=False,
        help_text=_("Lock the nodes for this job while it runs."),
    )

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        files: MultiValueDict[str, UploadedFile[bytes]] | None = None,
        *,
        models: Iterable[tuple[str, bool]],
        nodes: Iterable[tuple[int, str]],
        limits: OptionLimits,
    ) -> None:
        """`models` are names, each with whether it is resident somewhere; `nodes` are ids with names."""
        super().__init__(data, files, label_suffix="")
        offered = [("", _("auto: whatever is resident")), *map(_choice, models)]
        cast(forms.ChoiceField, self.fields["model"]).choices = offered
        cast(forms.ChoiceField, self.fields["nodes"]).choices = [(str(one), name) for one, name in nodes]
        self.fields["attempts"].widget.attrs["placeholder"] = str(limits.attempts)
        self.fields["timeout_s"].widget.attrs |= {"placeholder": f"{limits.timeout_s:g}", "step": "any"}

    @property
    def main(self) -> list[forms.BoundField]:
        """The fields that are always seen."""
        return [self[name] for name in MAIN]

    @property
    def more(self) -> list[forms.BoundField]:
        """The others."""
        return [field for field in self if field.name not in MAIN]

    @property
    def is_more_open(self) -> bool:
        """Whether the others are to be seen at once, since something was written there."""
        return any(field.errors or field.data for field in self.more)

    def told(self) -> dict[str, str]:
        """What was filled in, as the upload service takes it."""
        told = {name: value for name, value in self.cleaned_data.items() if name not in ("file", *SAMPLING)}
        told["nodes"] = ",".join(told["nodes"])
        told["options"] = self._sampling(told["options"])
        told["dry_run"] = "yes" if "dry_run" in self.data else ""
        return {name: str(value) for name, value in told.items() if value not in (None, "")}

    def _sampling(self, written: str) -> str:
        """The sampling options with those that have fields of their own; what cannot be read stays as it is."""
        own = {name: self.cleaned_data[name] for name in SAMPLING if self.cleaned_data.get(name) is not None}
        try:
            known = json.loads(written or "{}")
        except ValueError:
            return written
        return json.dumps({**own, **known}) if own and isinstance(known, dict) else written

    def blame(self, refused: Refused) -> None:
        """Show a service's no at the field that it is about; a bad row is the file's."""
        detail = refused.detail or {}
        field = "file" if "row" in detail or refused.status == 413 else detail.get("field")
        self.add_error(field if field in self.fields else None, refused.message)


def _choice(model: tuple[str, bool]) -> tuple[str, str]:
    name, is_resident = model
    return name, f"{name} ({_('resident')})" if is_resident else name
