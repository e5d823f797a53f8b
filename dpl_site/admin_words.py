"""What apps, tables and columns are called in the admin, in the reader's language.

The names are put on when the admin is loaded rather than into the tables: they change no migration, and processes
that show no pages never load them. A column without an entry is called as Django calls it, in English.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.apps import apps
from django.db.models import Field, Model
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override, pgettext_lazy

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

APPS: dict[str, _StrPromise] = {
    "admin": _("The admin's own log"),
    "accounts": _("People, keys and usage"),
    "nodes": _("Nodes"),
    "inference": _("Models and requests"),
    "datasets": _("Datasets"),
    "alerts": _("Alerts"),
    "axes": _("Failed logins"),
}
TABLES: dict[str, tuple[_StrPromise, _StrPromise]] = {
    "accounts.ApiKey": (_("API key"), _("API keys")),
    "accounts.UsageDay": (_("day of usage"), _("days of usage")),
    "nodes.Node": (_("node"), _("nodes")),
    "nodes.LockAudit": (_("event of a lock"), _("history of locks")),
    "nodes.JoinToken": (_("invitation"), _("invitations")),
    "nodes.NodeJoin": (_("machine that joined"), _("machines that joined")),
    "inference.Engine": (_("engine"), _("engines")),
    "inference.ModelAlias": (_("model alias"), _("model aliases")),
    "inference.RequestLog": (_("request"), pgettext_lazy("table", "requests")),
    "datasets.Job": (_("job"), _("jobs")),
    "alerts.Rule": (_("rule"), _("rules")),
    "alerts.RuleScope": (_("place of a rule"), _("places of a rule")),
    "alerts.Silence": (_("silence"), _("silences")),
    "alerts.Channel": (_("channel"), _("channels")),
    "alerts.Alert": (_("alert"), _("alerts")),
    "alerts.AlertEvent": (_("event of an alert"), _("events of an alert")),
    "alerts.Delivery": (_("message"), _("messages")),
    "alerts.DeliveryAttempt": (_("try of a message"), _("tries of a message")),
    "alerts.AlertAudit": (_("change of alerting"), _("changes of alerting")),
    "axes.AccessAttempt": (_("failed login"), _("failed logins")),
}
COLUMNS: tuple[_StrPromise, ...] = (
    *(_("user"), _("name"), _("prefix"), _("scopes"), _("created at"), _("expires at"), _("revoked at")),
    *(_("last used at"), _("requests per minute"), _("requests per day"), _("tokens per minute")),
    *(_("tokens per day"), _("day"), _("source"), _("model"), _("node name"), _("requests"), _("failed")),
    *(_("cancelled"), _("prompt tokens"), _("completion tokens"), _("agent's address"), _("environment")),
    *(_("labels"), _("archived at"), _("node"), _("by"), _("action"), _("owner"), _("actor"), _("reason")),
    *(
        _("at"),
        _("created by"),
        _("most uses"),
        _("uses"),
        _("token"),
        _("address"),
        _("mode"),
        _("is again"),
    ),
    *(_("engines"), _("kind"), _("base url"), _("slots"), _("is enabled"), _("alias"), _("request id")),
    *(_("path"), _("model asked"), _("engine id"), _("node id"), _("user id"), _("key id"), _("outcome")),
    *(_("status"), _("is streaming"), _("waited ms"), _("ttft ms"), _("duration ms"), _("is estimated")),
    *(_("attempts"), _("decision"), _("state"), _("stop mode"), _("error"), _("options"), _("total")),
    *(_("imported"), _("started at"), _("finished at"), _("late results refused"), _("least severity")),
    *(_("tells resolved"), _("channel"), _("title"), _("body"), _("severity"), _("is good news"), _("is ok")),
    *(_("took ms"), _("key"), _("metric"), _("aggregation"), _("window s"), _("operator"), _("fire value")),
    *(_("clear value"), _("for s"), _("keep s"), _("no data"), _("repeat s"), _("updated at"), _("rule")),
    *(_("label"), _("label value"), _("rule name"), _("subject"), _("subject name"), _("value")),
    *(_("threshold"), _("muted by"), _("acknowledged by"), _("acknowledged at"), _("old"), _("new")),
    *(_("duration s"), _("starts at"), _("ends at"), _("author"), _("comment"), _("ended by"), _("detail")),
    *(_("lock id"), _("version"), _("machine id"), _("delivery"), _("alert"), _("generation")),
)
"""Each as Django would call it, so that the entry is found by its own English."""
HINTS: tuple[_StrPromise, ...] = (
    _("The first characters, to recognise it by."),
    _("Empty: no limit."),
    _("As http://host:8001; empty: no agent."),
    _("Who did it; a process where nobody did."),
    _("It took its old node over."),
    _("Why its agent has to push."),
    _("Each with whether it is used, and why not."),
    _("Any form that people paste: http://host:11434, …/v1."),
    _("Requests at once; 0: what the engine says, else 1."),
    _("The name that clients use."),
    _("The model that is meant, as engines call it."),
    _("The engine's own name of it."),
    _("ok, cancelled, or the code of the error."),
    _("Each try with its reasons, JSON."),
    _("What is less is not told."),
    _("Whether the end of an alert is told too."),
    _("Of a rule that came with DPL; empty: a person's."),
    _("Over the window."),
    _("Seconds; 0 with `last`."),
    _("It fires at this."),
    _("It ends at this: the fire value, or one on its good side."),
    _("Seconds that it must hold before the alert fires."),
    _("Seconds that it must be clear before the alert ends."),
    _("Seconds between reminders; 0: none."),
    _("Empty: any."),
    _("Since when it is in this state."),
    _("When the condition began to hold."),
    _("At the last transition; null: no data."),
    _("Why nobody is told; empty: they are."),
    _("Nobody is to be told anything more of it."),
    _("transition, acknowledged or unacknowledged."),
    _("How long the old state stood."),
    _("Who ended it early."),
    _("What changed; never a secret."),
)


def name_everything() -> None:
    """Give apps, tables and columns their names. A second time changes nothing."""
    for label, app_name in APPS.items():
        apps.get_app_config(label).verbose_name = app_name
    for table, (one, many) in TABLES.items():
        model = apps.get_model(table)
        model._meta.verbose_name, model._meta.verbose_name_plural = one, many
        _name_columns(model)


def _name_columns(model: type[Model]) -> None:
    columns, hints = _by_english(COLUMNS), _by_english(HINTS)
    for field in model._meta.get_fields():
        if isinstance(field, Field):
            field.verbose_name = columns.get(str(field.verbose_name), field.verbose_name)
            field.help_text = hints.get(str(field.help_text), field.help_text)


def _by_english(words: Iterable[_StrPromise]) -> dict[str, _StrPromise]:
    """By what each is without a language: the loading of the admin speaks none."""
    return {_english(word): word for word in words}


def _english(word: _StrPromise) -> str:
    with override(None):
        return str(word)
