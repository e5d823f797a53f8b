"""The forms in which admins enter rules, silences and channels: checks say what is wrong at the field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms

from alerts import validation
from alerts.changes import RULE_FIELDS
from alerts.metrics import METRICS
from alerts.models import Channel, Rule, RuleScope, Silence
from dpl_site.lib.refusals import Refused

if TYPE_CHECKING:
    RuleModelForm = forms.ModelForm[Rule]
    ScopeModelForm = forms.ModelForm[RuleScope]
    SilenceModelForm = forms.ModelForm[Silence]
    ChannelModelForm = forms.ModelForm[Channel]
else:
    RuleModelForm = ScopeModelForm = SilenceModelForm = ChannelModelForm = forms.ModelForm


def blame(form: forms.ModelForm[Any], refused: Refused) -> None:
    """Say a refusal at its field, or above all."""
    field = next(iter(refused.detail or {}), None)
    form.add_error(field if field in form.fields else None, refused.message)


class RuleForm(RuleModelForm):
    """A rule."""

    metric = forms.ChoiceField(
        choices=[
            (name, f"{name} ({one.unit})" if one.unit else name) for name, one in sorted(METRICS.items())
        ]
    )

    class Meta:
        model = Rule
        fields = RULE_FIELDS

    def clean(self) -> dict[str, Any]:
        """A rule that can fire and end."""
        data = super().clean() or self.cleaned_data
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

    def clean(self) -> dict[str, Any]:
        """Something is named."""
        data = super().clean() or self.cleaned_data
        try:
            validation.matcher(data)
        except Refused as refused:
            blame(self, refused)
        if not any(data.get(field) for field in ("node", "environment", "label")):
            raise forms.ValidationError("Name a node, an environment or a label.")
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
        label="address",
        required=False,
        help_text=(
            "An Apprise URL such as mailtos://user:password@example.org or jsons://host/path, or a chat's own "
            "webhook. It is never shown again. Leave this empty to keep it."
        ),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    class Meta:
        model = Channel
        fields = ("name", "is_enabled", "least_severity", "tells_resolved")

    def clean_url(self) -> str:
        """An address that messages can go to."""
        text = self.cleaned_data["url"].strip()
        if not text and self.instance.pk:
            return ""
        try:
            return validation.channel_url(text)[0]
        except Refused as refused:
            raise forms.ValidationError(refused.message) from refused
