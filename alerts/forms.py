"""The forms in which admins enter rules, silences and channels: checks say what is wrong at the field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from alerts import validation, words
from alerts.changes import RULE_FIELDS
from alerts.metrics import METRICS
from alerts.models import Channel, Rule, RuleScope, Silence
from dpl_site.lib.refusals import Refused
from nodes.models import Node
from nodes.selectors import live_nodes

if TYPE_CHECKING:
    RuleModelForm = forms.ModelForm[Rule]
    ScopeModelForm = forms.ModelForm[RuleScope]
    SilenceModelForm = forms.ModelForm[Silence]
    ChannelModelForm = forms.ModelForm[Channel]
else:
    RuleModelForm = ScopeModelForm = SilenceModelForm = ChannelModelForm = forms.ModelForm


def blame(form: forms.BaseForm, refused: Refused) -> None:
    """Say a refusal at its field, or above all."""
    field = next(iter(refused.detail or {}), None)
    form.add_error(field if field in form.fields else None, refused.message)


def _metrics() -> list[tuple[str | Promise, list[tuple[str, str | Promise]]]]:
    """What may be watched, by what has it."""
    groups: dict[str, list[tuple[str, str | Promise]]] = {owner: [] for owner in words.OWNERS}
    for name, one in METRICS.items():
        groups.setdefault(one.per, []).append((name, words.METRICS.get(name, name)))
    return [(words.OWNERS.get(owner, owner), found) for owner, found in groups.items() if found]


class RuleForm(RuleModelForm):
    """A rule."""

    metric = forms.ChoiceField(label=_("Metric"), choices=_metrics)
    clear_value = forms.FloatField(
        label=_("Ends at"),
        required=False,
        help_text=_("On the good side of the value above, so that it does not flap. Empty: the same value."),
    )

    class Meta:
        model = Rule
        fields = RULE_FIELDS
        labels: ClassVar = {
            "name": _("Name"),
            "is_enabled": _("On"),
            "aggregation": _("Value"),
            "window_s": _("Window, seconds"),
            "operator": _("Comparison"),
            "fire_value": _("Fires at"),
            "for_s": _("For so long, seconds"),
            "keep_s": _("Clear for so long, seconds"),
            "severity": _("Severity"),
            "no_data": _("No data means"),
            "repeat_s": _("Reminders every, seconds"),
        }
        help_texts: ClassVar = {
            "is_enabled": _("Switched off, its alerts end."),
            "window_s": _("1 to 3600; 0 with the latest value."),
            "fire_value": "",
            "aggregation": "",
            "for_s": _("How long it must hold before people are told. 0: at once."),
            "keep_s": _("How long it must be clear before the alert ends."),
            "no_data": _("When the node, or the figure, tells nothing."),
            "repeat_s": _("While it fires and nobody has acknowledged it. 0: none."),
            "severity": _("Channels may leave out what is less severe."),
        }

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        named = {
            "aggregation": words.AGGREGATIONS,
            "operator": words.OPERATORS,
            "severity": words.SEVERITIES,
            "no_data": words.NO_DATA,
        }
        for field, names in named.items():
            cast(forms.ChoiceField, self.fields[field]).choices = list(names.items())
        for field in ("fire_value", "clear_value"):
            self.fields[field].widget.attrs["step"] = "any"

    def clean(self) -> dict[str, Any]:
        """A rule that can fire and end."""
        data = super().clean() or self.cleaned_data
        if data.get("clear_value") is None:
            data["clear_value"] = data.get("fire_value")
        if not self.errors:
            try:
                validation.rule(data)
            except Refused as refused:
                blame(self, refused)
        return data


class ScopeForm(ScopeModelForm):
    """Where a rule looks."""

    class Meta:
        model = RuleScope
        fields = ("node", "environment", "label", "label_value")
        labels: ClassVar = {
            "node": _("Node"),
            "environment": _("Environment"),
            "label": _("Label"),
            "label_value": _("Its value"),
        }
        help_texts: ClassVar = {"label_value": _("Empty: any.")}

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        cast("forms.ModelChoiceField[Node]", self.fields["node"]).queryset = live_nodes().order_by("name")

    def clean(self) -> dict[str, Any]:
        """Something is named."""
        data = super().clean() or self.cleaned_data
        try:
            validation.matcher(data)
        except Refused as refused:
            blame(self, refused)
        if not any(data.get(field) for field in ("node", "environment", "label")):
            raise forms.ValidationError(_("Name a node, an environment or a label."))
        return data


class SilenceForm(SilenceModelForm):
    """A silence."""

    class Meta:
        model = Silence
        fields = ("rule", "node", "environment", "label", "label_value", "starts_at", "ends_at", "comment")

    def clean(self) -> dict[str, Any]:
        """One that means something and ends."""
        data = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                validation.silence(data)
            except Refused as refused:
                blame(self, refused)
        return data


class ChannelForm(ChannelModelForm):
    """A channel; its address goes in and never comes out."""

    url = forms.CharField(
        label=_("Address"),
        required=False,
        help_text=_(
            "An Apprise URL such as mailtos://user:password@example.org or jsons://host/path, or a chat's own "
            "webhook. It is never shown again. Leave this empty to keep it."
        ),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    class Meta:
        model = Channel
        fields = ("name", "is_enabled", "least_severity", "tells_resolved")
        labels: ClassVar = {
            "name": _("Name"),
            "is_enabled": _("On"),
            "least_severity": _("From this severity on"),
            "tells_resolved": _("Tell the end, too"),
        }
        help_texts: ClassVar = {
            "least_severity": _("What is less severe is not told here."),
            "tells_resolved": "",
        }

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.order_fields(("name", "url"))
        named = list(words.SEVERITIES.items())[::-1]
        cast(forms.ChoiceField, self.fields["least_severity"]).choices = named

    def clean_url(self) -> str:
        """An address that messages can go to."""
        text = self.cleaned_data["url"].strip()
        if not text and self.instance.pk:
            return ""
        try:
            return validation.channel_url(text)[0]
        except Refused as refused:
            raise forms.ValidationError(refused.message) from refused
