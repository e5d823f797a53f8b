"""Words of messages: one title and one text for everything that a channel is told at once, grouped by node.

Names come from machines and people, so they are hostile: control characters become blanks, long ones are cut, and
the text goes out as plain text everywhere, so that no chat reads Markdown, mentions or headers into it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, override

from alerts.defaults import shown_name
from alerts.metrics import SWITCHES, shown
from alerts.states import NoticeKind, Severity

MOST_NODES = 30
MOST_LINES_PER_NODE = 8
MOST_NAME = 80
"""Parts of a message, so that it fits into every chat; the rest is counted."""
_MARKS = {Severity.CRITICAL: "‼", Severity.WARNING: "!", Severity.INFO: "i"}


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of one alert. `lasted_s` is its duration when it has ended, else None."""

    kind: NoticeKind
    rule_name: str
    rule_key: str
    severity: Severity
    node_name: str
    subject_name: str
    metric: str
    value: float | None
    threshold: float
    reason: str
    lasted_s: float | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A message; `severity` is the highest in it. `is_good_news`: it tells of ends only."""

    title: str
    body: str
    severity: Severity
    is_good_news: bool


def compose(told: Sequence[Told], *, language: str) -> Message:
    """One message of one or more, the newest trouble first."""
    with override(language):
        bad = [one for one in told if one.kind is not NoticeKind.RESOLVED]
        severity = max((one.severity for one in bad or told), key=lambda one: one.rank)
        return Message(_title(told, bad), _body(told), severity, not bad)


def compose_test(channel_name: str, *, language: str) -> Message:
    """What the test button sends."""
    with override(language):
        title = _("DPL: a test")
        body = _("This channel works: %(name)s.") % {"name": plain(channel_name)}
        return Message(title, body, Severity.INFO, is_good_news=True)


def plain(text: str, most: int = MOST_NAME) -> str:
    """A name on one line without control and formatting characters, cut."""
    kept = "".join(" " if unicodedata.category(one)[0] in "CZ" else one for one in text[: most * 4])
    words = " ".join(kept.split())
    return words if len(words) <= most else f"{words[: most - 1]}…"


def lasted(seconds: float) -> str:
    """A duration in its two largest units: `1 h 5 min`."""
    whole = round(seconds)
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return _("%(days)d d %(hours)d h") % {"days": days, "hours": hours}
    if hours:
        return _("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes}
    if minutes:
        return _("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": whole % 60}
    return _("%(seconds)d s") % {"seconds": whole}


def _title(told: Sequence[Told], bad: Sequence[Told]) -> str:
    about = bad or told
    if len(about) == 1:
        what = _what(about[0])
        title = _("DPL: %(what)s") if bad else _("DPL: resolved: %(what)s")
        return title % {"what": what}
    nodes = {one.node_name for one in about if one.node_name}
    rules = {_rule(one) for one in about}
    count = len(about)
    if bad:
        what = ngettext("%(count)d alert", "%(count)d alerts", count) % {"count": count}
    else:
        what = ngettext("%(count)d alert resolved", "%(count)d alerts resolved", count) % {"count": count}
    if len(rules) == 1:
        what = f"{what}: {next(iter(rules))}"
    if len(nodes) > 1:
        where = ngettext("on %(count)d node", "on %(count)d nodes", len(nodes)) % {"count": len(nodes)}
        what = f"{what}, {where}"
    return _("DPL: %(what)s") % {"what": what}


def _body(told: Sequence[Told]) -> str:
    groups: dict[str, list[Told]] = {}
    for one in told:
        groups.setdefault(one.node_name, []).append(one)
    lines: list[str] = []
    for name, alerts in list(groups.items())[:MOST_NODES]:
        shown_alerts = alerts[:MOST_LINES_PER_NODE]
        lines += [f"{plain(name)}: {_line(one)}" if name else _line(one) for one in shown_alerts]
        left = len(alerts) - len(shown_alerts)
        if left:
            more = ngettext("and %(count)d more", "and %(count)d more", left) % {"count": left}
            lines.append(f"{plain(name)}: {more}" if name else more)
    left = len(groups) - MOST_NODES
    if left > 0:
        lines.append(ngettext("and %(count)d more node", "and %(count)d more nodes", left) % {"count": left})
    return "\n".join(lines)


def _line(one: Told) -> str:
    about = f" {plain(one.subject_name)}" if one.subject_name else ""
    if one.kind is NoticeKind.RESOLVED:
        after = _("resolved after %(time)s") % {"time": lasted(one.lasted_s or 0.0)}
        return f"✓ {_rule(one)}{about}: {after}"
    still = _(" (still)") if one.kind is NoticeKind.REPEAT else ""
    if one.metric in SWITCHES or one.value is None:
        reached = plain(one.reason)
    else:
        reached = _("%(value)s, threshold %(threshold)s") % {
            "value": shown(one.metric, one.value),
            "threshold": shown(one.metric, one.threshold),
        }
    return f"{_MARKS[one.severity]} {_rule(one)}{still}{about}: {reached}"


def _what(one: Told) -> str:
    where = f", {plain(one.node_name)}" if one.node_name else ""
    about = f" {plain(one.subject_name)}" if one.subject_name else ""
    return f"{_rule(one)}{where}{about}"


def _rule(one: Told) -> str:
    return plain(shown_name(one.rule_key, one.rule_name))
