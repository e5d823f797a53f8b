"""The pages of rules: the list with its switches, and one rule with its preview. Decides who may change what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from accounts.http import Asked, methods, page
from alerts import changes, selectors
from alerts.defaults import shown_name
from alerts.entries import ScopeSet, scopes_in
from alerts.forms import RuleForm, blame
from alerts.models import Rule, RuleScope
from alerts.pages import telling
from alerts.past import Past, past
from alerts.states import RAISED
from dpl_site.lib.refusals import Refused
from nodes.measures import METRICS as OF_READINGS

DAYS = 7
MOST_SHOWN = 30
PARTS = (
    ("what", ("name", "metric", "severity", "is_enabled")),
    ("fires", ("aggregation", "window_s", "operator", "fire_value", "for_s")),
    ("ends", ("clear_value", "keep_s", "no_data", "repeat_s")),
)
"""The fields of a rule as its page groups them."""


@methods("GET")
@page("read")
def rules_page(request: Asked) -> HttpResponse:
    """All rules, with how many alerts of each fire."""
    firing = Count("alerts", filter=Q(alerts__state__in=RAISED))
    rules = Rule.objects.annotate(firing=firing).prefetch_related("scopes__node").order_by("id")
    context = {"rules": rules, "may_change": request.principal.may("admin")}
    return render(request, "alerts/rules.html", context)


@methods("GET", "POST")
@page("read")
def rule_page(request: Asked, rule_id: int) -> HttpResponse:
    """One rule; who may not change it sees how it is."""
    return _edited(request, get_object_or_404(Rule, pk=rule_id))


@methods("GET", "POST")
@page("admin")
def rule_new(request: Asked) -> HttpResponse:
    """A new rule."""
    return _edited(request, None)


@methods("GET", "POST")
@page("admin")
def rule_switch(request: Asked, rule_id: int) -> HttpResponse:
    """Switch a rule on or off. A GET only leads back."""
    rule = get_object_or_404(Rule, pk=rule_id)
    if request.method == "POST":
        is_on = request.POST.get("on") == "yes"
        done = _("%(rule)s is on.") if is_on else _("%(rule)s is off; its alerts end.")
        with telling(request, done % {"rule": shown_name(rule.key, rule.name)}):
            values, actor = {"is_enabled": is_on}, request.principal.username
            changes.rule_save(actor=actor, values=values, scopes=None, rule=rule)
    return redirect("alert-rules")


@methods("GET", "POST")
@page("admin")
def rule_remove(request: Asked, rule_id: int) -> HttpResponse:
    """Remove a rule. A GET only leads back."""
    if request.method == "POST":
        rule = get_object_or_404(Rule, pk=rule_id)
        with telling(request, _("The rule is removed; its alerts end and stay in the history.")):
            changes.rule_remove(actor=request.principal.username, rule=rule)
    return redirect("alert-rules")


def _edited(request: Asked, rule: Rule | None) -> HttpResponse:
    is_sent = request.method == "POST"
    data = request.POST if is_sent else None
    form, places = _forms(data, rule)
    if is_sent and not request.principal.may("admin") and "preview" not in request.POST:
        messages.error(request, _("Only admins change rules."))
        return redirect("alert-rules")
    is_right = is_sent and form.is_valid() and places.is_valid()
    if is_right and "preview" not in request.POST and _is_saved(request, form, places, rule):
        messages.success(request, _("The rule is saved. It looks from now on."))
        return redirect("alert-rules")
    seen = _seen(form, places) if is_right and not form.errors else None
    context = {"form": form, "places": places, "rule": rule, "seen": seen, "days": DAYS}
    context |= {"parts": _parts(form), "may_change": request.principal.may("admin")}
    return render(request, "alerts/rule.html", context, status=400 if is_sent and form.errors else 200)


def _forms(data: Mapping[str, Any] | None, rule: Rule | None) -> tuple[RuleForm, Any]:
    initial = {"name": shown_name(rule.key, rule.name)} if rule else {}
    kept = Rule.objects.get(pk=rule.pk) if rule else None
    form = RuleForm(data, instance=kept, initial=initial, label_suffix="")
    return form, ScopeSet(data, instance=kept, prefix="scopes", form_kwargs={"label_suffix": ""})


def _is_saved(request: Asked, form: RuleForm, places: Any, rule: Rule | None) -> bool:
    values = {field: form.cleaned_data[field] for field in changes.RULE_FIELDS}
    if rule and values["name"] == shown_name(rule.key, rule.name):
        values["name"] = rule.name  # a name that came with DPL stays one, and so is shown in every language
    try:
        actor = request.principal.username
        changes.rule_save(actor=actor, values=values, scopes=scopes_in(places), rule=rule)
    except Refused as refused:
        blame(form, refused)
        return False
    return True


def _parts(form: RuleForm) -> list[tuple[str, list[Any]]]:
    return [(part, [form[name] for name in names]) for part, names in PARTS]


def _seen(form: RuleForm, places: Any) -> Mapping[str, Any]:
    """When the rule as it stands in the form would have fired, for those without scripts."""
    values = {field: form.cleaned_data[field] for field in changes.RULE_FIELDS}
    spec = selectors.spec_of(Rule(**values))
    matchers = [selectors.matcher_of(RuleScope(**scope)) for scope in scopes_in(places)]
    found: Past = past(spec, matchers, days=DAYS)
    fired = [one for one in found.episodes() if one.episode.fired_ms is not None]
    has_history = values["metric"] in OF_READINGS
    return {"has_history": has_history, "fired": len(fired), "episodes": fired[:MOST_SHOWN]} | {
        "watched": len(found.curves),
        "metric": values["metric"],
    }
