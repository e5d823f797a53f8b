"""Writes what people configure: rules with their scopes, silences, channels; each change is audited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from alerts import notices, validation
from alerts.messages import compose_test
from alerts.models import Channel, Rule, RuleScope, Silence
from alerts.services import audit
from alerts.states import Severity
from dpl_site.lib import messenger
from dpl_site.lib.clock import utc_now
from dpl_site.lib.db import now_ms
from dpl_site.lib.messenger import Outcome
from dpl_site.lib.refusals import Refused

MOST_RULES, MOST_SCOPES, MOST_CHANNELS, MOST_SILENCES = 500, 200, 100, 2000
RULE_FIELDS = (
    *("name", "is_enabled", "metric", "aggregation", "window_s", "operator", "fire_value", "clear_value"),
    *("for_s", "keep_s", "severity", "no_data", "repeat_s"),
)
_SCOPE_FIELDS = ("node", "environment", "label", "label_value")


def rule_values(values: Mapping[str, Any], rule: Rule | None = None) -> dict[str, Any]:
    """A whole rule, of what is given and what stands (or is usual), checked. Raises Refused."""
    rule = rule or Rule()
    whole = {field: values.get(field, getattr(rule, field)) for field in RULE_FIELDS}
    if whole["clear_value"] is None or ("clear_value" not in values and rule.pk is None):
        whole["clear_value"] = whole["fire_value"]
    for field in ("metric", "fire_value"):
        if whole[field] in (None, ""):
            raise validation.refusal(field, _("%(field)s is needed.") % {"field": field})
    return validation.rule(whole)


def rule_save(
    *,
    actor: str,
    values: Mapping[str, Any],
    scopes: Sequence[Mapping[str, Any]] | None,
    rule: Rule | None = None,
) -> Rule:
    """Make a rule or change one; `scopes` None leaves them. Raises Refused."""
    whole = rule_values(values, rule)
    for scope in scopes or ():
        validation.matcher(scope)
        if not any(scope.get(field) for field in _SCOPE_FIELDS):
            raise validation.refusal("scopes", _("A scope names a node, an environment or a label."))
    if scopes is not None and len(scopes) > MOST_SCOPES:
        wrong = _("A rule has %(most)d scopes at most.") % {"most": MOST_SCOPES}
        raise validation.refusal("scopes", wrong)
    if rule is None:
        _check_room(Rule.objects.count(), MOST_RULES, _("rules"))
    is_new, rule = rule is None, rule or Rule()
    before = {} if is_new else {field: getattr(rule, field) for field in RULE_FIELDS}
    for field, value in whole.items():
        setattr(rule, field, value)
    with transaction.atomic():
        _save(rule, _("Another rule has this name already."))
        if scopes is not None:
            rule.scopes.all().delete()
            RuleScope.objects.bulk_create(RuleScope(rule=rule, **scope) for scope in scopes)
        changed = {field: value for field, value in whole.items() if is_new or before[field] != value}
        audit(
            actor=actor, action="rule made" if is_new else "rule changed", subject=rule.name, detail=changed
        )
    return rule


def rule_remove(*, actor: str, rule: Rule) -> None:
    """Remove a rule; its alerts end at the next tick and stay in history."""
    with transaction.atomic():
        audit(actor=actor, action="rule removed", subject=rule.name)
        rule.delete()


def silence_make(*, actor: str, values: Mapping[str, Any]) -> Silence:
    """Silence what fits until the end. Raises Refused."""
    validation.silence(values)
    _check_room(Silence.objects.filter(ends_at__gt=utc_now()).count(), MOST_SILENCES, _("silences"))
    with transaction.atomic():
        silence = Silence.objects.create(author=actor, **values)
        until = {"ends_at": silence.ends_at.isoformat(), "comment": silence.comment}
        audit(actor=actor, action="silence made", subject=str(silence), detail=until)
    return silence


def silence_end(*, actor: str, silence: Silence) -> Silence:
    """End a silence now; one that has ended stays as it is."""
    with transaction.atomic():
        now = utc_now()
        if Silence.objects.filter(pk=silence.pk, ends_at__gt=now).update(ends_at=now, ended_by=actor):
            audit(actor=actor, action="silence ended", subject=str(silence))
    silence.refresh_from_db()
    return silence


def channel_save(*, actor: str, values: Mapping[str, Any], channel: Channel | None = None) -> Channel:
    """Make a channel or change one; without `url` its address stays. Raises Refused."""
    is_new, channel = channel is None, channel or Channel()
    told = dict(values)
    if is_new:
        _check_room(Channel.objects.count(), MOST_CHANNELS, _("channels"))
    if "name" in told or is_new:
        channel.name = validation.name(told.get("name") or "")
    if "url" in told or is_new:
        channel.url, channel.kind = validation.channel_url(told.get("url") or "")
    if told.get("least_severity", Severity.INFO) not in set(Severity):
        raise validation.refusal("least_severity", f"least_severity is one of {', '.join(Severity)}.")
    for field in ("is_enabled", "least_severity", "tells_resolved"):
        setattr(channel, field, told.get(field, getattr(channel, field)))
    with transaction.atomic():
        _save(channel, _("Another channel has this name already."))
        detail = {field: value for field, value in told.items() if field != "url"}
        detail |= {"url": "changed"} if "url" in told else {}
        action = "channel made" if is_new else "channel changed"
        audit(actor=actor, action=action, subject=channel.name, detail=detail)
    return channel


def channel_remove(*, actor: str, channel: Channel) -> None:
    """Remove a channel with its messages."""
    with transaction.atomic():
        audit(actor=actor, action="channel removed", subject=channel.name)
        channel.delete()


def channel_test(*, channel: Channel) -> Outcome:
    """Send a test message now and wait for what comes of it."""
    message = compose_test(channel.name, language=settings.DPL_NOTICE_LANGUAGE)
    outcome = messenger.send(channel.url, message.title, message.body)
    notices.note_channel(channel_id=channel.pk, outcome=outcome, at_ms=now_ms())
    return outcome


def _check_room(count: int, most: int, what: str) -> None:
    if count >= most:
        full = _("There are %(count)d %(what)s, and %(most)d at most. Remove some first.")
        raise Refused(full % {"count": count, "what": what, "most": most}, status=409)


def _save(row: Rule | Channel, taken: str) -> None:
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError as error:
        raise validation.refusal("name", taken, code="duplicate") from error
