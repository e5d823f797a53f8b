"""The forms of the pages: silences, filters of history, a rule's places. They decide nothing that services check."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

from django import forms
from django.forms import BaseInlineFormSet, inlineformset_factory
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from alerts import validation, words
from alerts.changes import MOST_SCOPES
from alerts.defaults import shown_name
from alerts.forms import ScopeForm, blame
from alerts.models import Alert, Rule, RuleScope
from alerts.states import AlertState
from dpl_site.lib.clock import utc_now
from dpl_site.lib.refusals import Refused
from nodes.models import Node
from nodes.selectors import live_nodes

MINUTES = (
    (15, gettext_lazy("15 minutes")),
    (60, gettext_lazy("1 hour")),
    (240, gettext_lazy("4 hours")),
    (480, gettext_lazy("8 hours")),
    (1440, gettext_lazy("1 day")),
    (10_080, gettext_lazy("1 week")),
    (43_200, gettext_lazy("30 days")),
)
AS_A_RULE = 60
BOTH, THE_NODE, THE_RULE = "both", "node", "rule"
_WHAT = ((BOTH, ""), (THE_NODE, ""), (THE_RULE, ""))
_LONGEST_ZONE = 64

ScopeSet = inlineformset_factory(
    Rule, RuleScope, form=ScopeForm, extra=1, max_num=MOST_SCOPES, can_delete=True
)


class RuleChoice(forms.ModelChoiceField):  # type: ignore[type-arg]  # not subscriptable when it runs
    """A rule, by the name that the reader sees."""

    def label_from_instance(self, obj: Any) -> str:
        """Its name."""
        return shown_name(obj.key, obj.name)


class NoteForm(forms.Form):
    """What one says when one acknowledges."""

    note = forms.CharField(required=False, max_length=validation.MOST_NOTE)


class SilenceHereForm(forms.Form):
    """A silence of what one alert is about: its rule on its node, all of the node, or all of the rule."""

    what = forms.ChoiceField(choices=_WHAT)
    minutes = forms.TypedChoiceField(choices=MINUTES, coerce=int)
    comment = forms.CharField(required=False, max_length=300)

    def told(self, alert: Alert) -> dict[str, Any]:
        """The silence, as the service takes it."""
        data = self.cleaned_data
        values: dict[str, Any] = {"comment": data["comment"]}
        if data["what"] in (BOTH, THE_RULE):
            values["rule"] = alert.rule
        if data["what"] in (BOTH, THE_NODE):
            values["node"] = alert.node
        return values | {"ends_at": utc_now() + timedelta(minutes=data["minutes"])}


class SilenceForm(forms.Form):
    """A silence of whatever fits all that is filled in."""

    rule = RuleChoice(Rule.objects.order_by("name"), label=gettext_lazy("Rule"), required=False)
    node = forms.ModelChoiceField(Node.objects.none(), label=gettext_lazy("Node"), required=False)
    environment = forms.CharField(label=gettext_lazy("Environment"), required=False, max_length=50)
    label = forms.CharField(label=gettext_lazy("Label"), required=False, max_length=200)
    label_value = forms.CharField(
        label=gettext_lazy("Its value"),
        required=False,
        max_length=200,
        help_text=gettext_lazy("Empty: any."),
    )
    minutes = forms.TypedChoiceField(
        label=gettext_lazy("For"), choices=MINUTES, coerce=int, initial=AS_A_RULE, required=False
    )
    starts_at = forms.DateTimeField(
        label=gettext_lazy("From"),
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local"}),
        help_text=gettext_lazy("Empty: from now on."),
    )
    ends_at = forms.DateTimeField(
        label=gettext_lazy("Until"),
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local"}),
        help_text=gettext_lazy("Empty: as long as chosen."),
    )
    zone = forms.CharField(required=False, max_length=_LONGEST_ZONE, widget=forms.HiddenInput)
    comment = forms.CharField(label=gettext_lazy("Why"), required=False, max_length=300)

    main = ("rule", "node", "minutes", "comment")
    more = ("environment", "label", "label_value")
    planned = ("starts_at", "ends_at")

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, label_suffix="")
        nodes = cast("forms.ModelChoiceField[Node]", self.fields["node"])
        nodes.queryset = live_nodes().order_by("name")

    def clean(self) -> dict[str, Any]:
        """One that means something and ends; its instants are those of the reader's zone."""
        data = super().clean() or self.cleaned_data
        zone = _zone(data.get("zone", ""))
        for field in self.planned:
            if data.get(field):
                data[field] = data[field].replace(tzinfo=zone)
        if not self.errors:
            data["ends_at"] = _end(data)
            try:
                validation.silence(data)
            except Refused as refused:
                blame(self, refused)
        return data

    def told(self) -> dict[str, Any]:
        """The silence, as the service takes it."""
        data = self.cleaned_data
        names = ("rule", "node", "environment", "label", "label_value", "ends_at", "comment")
        starts = {"starts_at": data["starts_at"]} if data["starts_at"] else {}
        return {name: data[name] for name in names} | starts

    def in_main(self) -> list[forms.BoundField]:
        """The fields that are always seen."""
        return [self[name] for name in self.main]

    def in_more(self) -> list[forms.BoundField]:
        """What else may be silent."""
        return [self[name] for name in self.more]

    def in_planned(self) -> list[forms.BoundField]:
        """When, if not from now on."""
        return [self[name] for name in self.planned]


class HistoryForm(forms.Form):
    """Which alerts of the past are shown."""

    rule = RuleChoice(Rule.objects.order_by("name"), label=gettext_lazy("Rule"), required=False)
    node = forms.ModelChoiceField(Node.objects.none(), label=gettext_lazy("Node"), required=False)
    severity = forms.ChoiceField(label=gettext_lazy("Severity"), required=False)
    state = forms.ChoiceField(label=gettext_lazy("State"), required=False)
    since = forms.DateField(
        label=gettext_lazy("From"), required=False, widget=forms.DateInput({"type": "date"})
    )
    until = forms.DateField(
        label=gettext_lazy("Until"), required=False, widget=forms.DateInput({"type": "date"})
    )

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__(data, label_suffix="")
        cast("forms.ModelChoiceField[Node]", self.fields["node"]).queryset = Node.objects.order_by("name")
        states = [state for state in AlertState if state is not AlertState.OK]
        self._offer("severity", list(words.SEVERITIES.items()))
        self._offer("state", [(state.value, words.STATES[state]) for state in states])
        for name in ("rule", "node"):
            cast("forms.ModelChoiceField[Any]", self.fields[name]).empty_label = _("any")

    def _offer(self, name: str, offered: list[tuple[str, Any]]) -> None:
        cast(forms.ChoiceField, self.fields[name]).choices = [("", _("any")), *offered]

    def conditions(self) -> dict[str, Any]:
        """As the rows know them; what is wrong in the form filters nothing."""
        self.is_valid()
        data = self.cleaned_data
        found = {name: data.get(name) or None for name in ("rule", "node", "severity", "state")}
        if data.get("since"):
            found["state_ms__gte"] = _ms(data["since"])
        if data.get("until"):
            found["began_ms__lt"] = _ms(data["until"] + timedelta(days=1))
        return {name: value for name, value in found.items() if value is not None}


def scopes_in(places: BaseInlineFormSet[RuleScope, Rule, ScopeForm]) -> list[dict[str, Any]]:
    """What is filled in of a rule's places, as the service takes it."""
    names = ("node", "environment", "label", "label_value")
    rows = [form.cleaned_data for form in places.forms if form.cleaned_data]
    return [{name: row.get(name) for name in names} for row in rows if not row.get("DELETE")]


def _ms(day: Any) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def _end(data: Mapping[str, Any]) -> datetime:
    if data.get("ends_at"):
        return cast(datetime, data["ends_at"])
    start = data.get("starts_at") or utc_now()
    return cast(datetime, start + timedelta(minutes=data.get("minutes") or AS_A_RULE))


def _zone(name: str) -> Any:
    """The reader's zone; UTC for a name that is none."""
    try:
        return ZoneInfo(name) if name else UTC
    except (OSError, ValueError, KeyError):  # a zone that is not known is a KeyError
        return UTC
