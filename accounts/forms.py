"""The forms of the page of keys: what is asked for a new key, and the limits of one that there is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts.authentication import Principal
from accounts.limits import LIMITS, MOST, MOST_REQUESTS
from accounts.models import User
from accounts.roles import in_order
from dpl_site.lib.clock import utc_now
from dpl_site.lib.refusals import Refused

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

LASTS = (
    ("", _("until it is revoked")),
    ("1", _("1 day")),
    ("7", _("1 week")),
    ("30", _("30 days")),
    ("90", _("90 days")),
    ("365", _("1 year")),
)
"""For how many days a key may be good."""
SCOPE_HINTS: dict[str, _StrPromise] = {
    "read": _("see machines, models, jobs and figures"),
    "chat": _("ask models, and load them"),
    "datasets": _("upload datasets and run them"),
    "admin": _("change machines, rules and other people's keys"),
}
LIMIT_LABELS: dict[str, _StrPromise] = {
    "requests_per_minute": _("Requests per minute"),
    "requests_per_day": _("Requests per day"),
    "tokens_per_minute": _("Tokens per minute"),
    "tokens_per_day": _("Tokens per day"),
}


def limit_field(name: str) -> forms.IntegerField:
    """How much a key may do; empty: no limit."""
    most = MOST if name.startswith("tokens") else MOST_REQUESTS
    return forms.IntegerField(label=LIMIT_LABELS[name], required=False, min_value=1, max_value=most)


class LimitsForm(forms.Form):
    """The limits of a key."""

    requests_per_minute = limit_field("requests_per_minute")
    requests_per_day = limit_field("requests_per_day")
    tokens_per_minute = limit_field("tokens_per_minute")
    tokens_per_day = limit_field("tokens_per_day")

    def limits(self) -> dict[str, int | None]:
        """As the service takes them."""
        return {name: self.cleaned_data[name] for name in LIMITS}

    def blame(self, refused: Refused) -> None:
        """Say a refusal at the field that it is about."""
        field = next(iter(refused.detail or {}), None)
        self.add_error(field if field in self.fields else None, refused.message)

    @property
    def limit_fields(self) -> list[forms.BoundField]:
        """The limits among the fields."""
        return [self[name] for name in LIMITS]


class NewKeyForm(LimitsForm):
    """A new key within what its maker may give."""

    name = forms.CharField(label=_("Name"), max_length=100)
    user = forms.ModelChoiceField(User.objects.none(), label=_("For whom"), to_field_name="username")
    scopes = forms.MultipleChoiceField(label=_("It may"), widget=forms.CheckboxSelectMultiple)
    lasts = forms.ChoiceField(label=_("Good for"), choices=LASTS, required=False)

    def __init__(self, data: Any = None, *, principal: Principal) -> None:
        super().__init__(data, auto_id="key-%s")
        people = User.objects.filter(is_active=True).order_by("username")
        whose = cast("forms.ModelChoiceField[User]", self.fields["user"])
        scopes = cast(forms.MultipleChoiceField, self.fields["scopes"])
        whose.required = principal.may("admin")
        whose.queryset = people if whose.required else people.filter(pk=principal.user_id)
        whose.initial = principal.username
        scopes.initial = in_order(principal.scopes)
        scopes.choices = [(one, format_lazy("{}: {}", one, SCOPE_HINTS[one])) for one in scopes.initial]

    def expires_at(self) -> datetime | None:
        """When it ends; None: never by itself."""
        days = self.cleaned_data["lasts"]
        return utc_now() + timedelta(days=int(days)) if days else None
