"""Jobs in pages: the latest ones of who is asking, a job's bar, the causes of failures in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import template
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from datasets import selectors
from datasets.dryruns import whole_runs

register = template.Library()

CAUSES = {
    "timeout": _("no answer in time"),
    "engine_error": _("the engine failed at it"),
    "stream_cut": _("the answer broke off"),
    "invalid_reply": _("the answer made no sense"),
    "reply_too_large": _("the answer is too large"),
    "context_length": _("too long for the model"),
    "refused_by_engine": _("the engine refused it"),
    "worker_died": _("workers died at it"),
    "connection_lost": _("connections broke at it"),
    "model_missing": _("no engine has the model"),
}

ADVICE = {
    "timeout": _("Retry when the machines are less busy, or run these rows again with a longer timeout."),
    "engine_error": _("Look at the engine's own log on that machine, then retry."),
    "stream_cut": _("The engine ended in between, mostly by a restart: retry."),
    "invalid_reply": _("Look whether the engine's address and version are right, then retry."),
    "reply_too_large": _("Run these rows again with fewer max tokens."),
    "context_length": _("Shorten these rows, or run them with a model that takes longer ones."),
    "refused_by_engine": _(
        "The example says what was refused: change the rows or the options, and run them again."
    ),
    "worker_died": _(
        "Look at these prompts: workers ran out of something at them, such as memory. Try them alone."
    ),
    "connection_lost": _("Look at the network between here and the machine, then retry."),
    "model_missing": _("Put the model on a machine (Models), then retry."),
}

ITEM_STATES = {
    "pending": pgettext_lazy("item", "pending"),
    "running": pgettext_lazy("item", "running"),
    "succeeded": pgettext_lazy("item", "succeeded"),
    "failed": pgettext_lazy("item", "failed"),
}


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a bar, in percent of its length, as SVG's attributes have it."""

    kind: str
    x: str
    width: str


PROBLEMS = {
    "empty": _("The file is empty."),
    "not_a_dataset": _("This is no JSON array and no JSON object per line."),
    "wrong_encoding": _("The file is not in UTF-8. Save it as UTF-8."),
    "no_rows": _("The array is empty."),
    "truncated": _("the file ends within this row"),
    "invalid_json": _("this is not JSON"),
    "row_not_object": _("a row must be a JSON object"),
    "no_comma": _("a comma is missing before this row"),
    "row_too_large": _("the row is too large"),
    "too_deep": _("the row is nested too deeply"),
    "unstorable": _("the row has a NUL or half a character in it"),
    "missing_field": _("neither instruction nor messages is there"),
    "empty_field": _("{field} is empty"),
    "not_text": _("{field} must be a text"),
    "not_object": _("{field} must be an object"),
    "not_messages": _("{field} must be a list of messages"),
    "not_parts": _("{field} must be a text, or parts with a type each"),
}
"""What the preview says of a row, by the code that `static/js/rows.js` gives it."""
REFUSALS = {
    "empty": _("the file is empty"),
    "not_a_dataset": _("this is no JSON array and no JSON object per line"),
    "wrong_encoding": _("it is not in UTF-8"),
    "no_rows": _("the array is empty"),
    "truncated": _("the file ends within this row"),
    "trailing_text": _("there is text after the end of the array"),
    "invalid_json": _("this is not JSON"),
    "row_not_object": _("a row must be a JSON object"),
    "duplicate_key": _("the key {field} stands twice"),
    "missing_field": _("neither instruction nor messages is there"),
    "empty_field": _("{field} is empty"),
    "wrong_type": _("{field} is of the wrong kind"),
    "nul_character": _("{field} has a NUL character in it"),
    "lone_surrogate": _("{field} has half a character in it"),
    "too_deep": _("the row is nested too deeply"),
    "row_too_large": _("the row is too large"),
    "number_too_long": _("a number has too many digits"),
    "too_many_rows": _("there are too many rows"),
}
"""Why the server refuses a row, by its code; its own sentence is in English, and says more."""


@register.inclusion_tag("datasets/_jobs.html", takes_context=True)
def latest_jobs(context: Mapping[str, Any], count: int = 5) -> dict[str, Any]:
    """The latest jobs that the asking person may see, kept up to date by the page's script."""
    principal = context["request"].principal
    return {
        "jobs": selectors.statuses(list(whole_runs(selectors.jobs_of(principal))[:count])),
        "source": f"/api/v1/jobs/?page_size={count}&dry_runs=no",
        "shows_owner": principal.may("admin"),
        "may_upload": principal.may("datasets"),
    }


@register.inclusion_tag("datasets/_bar.html")
def bar(job: Mapping[str, Any] | None) -> dict[str, Any]:
    """A job's progress bar; without a job an empty one, for the script to fill."""
    total = job["total"] if job else 0
    segments, x = [], 0.0
    for kind in ("succeeded", "failed", "running"):
        width = 100 * job.get(kind, 0) / total if job and total else 0.0
        segments.append(Segment(kind, f"{x:.3f}%", f"{width:.3f}%"))
        x += width
    return {"segments": segments, "percent": int(100 * job["done"] / total) if job and total else 0}


@register.simple_tag
def upload_words() -> dict[str, Any]:
    """What the upload form's scripts say."""
    return {
        "uploading": _("Uploading… {percent}"),
        "sent": _("{sent} of {size}, {rate} per second, about {left} left"),
        "cancelled": _("Cancelled. Nothing was kept of it."),
        "checking": _("Checking the last rows…"),
        "broken": _("The connection broke before the upload was through. Try again."),
        "changed": _("The file was changed since you chose it. Choose it again."),
        "no_file": _("Choose a file first."),
        "preview_all": _("{rows} rows, {size}. So they will be sent:"),
        "preview_head": _(
            "About {rows} rows, {size}; the first {checked} were looked at. So they will be sent:"
        ),
        "preview_beyond": _(
            "About {rows} rows, {size}. Row {first} lies too far in the file to be shown here."
        ),
        "preview_bad": _(
            "{rows} rows, {size}. Of {checked} that were looked at, {bad} cannot be used, so the file would be refused."
        ),
        "preview_unread": _("{size}. The file would be refused:"),
        "mend": _("Mend the file and choose it again; all that you filled in stays. Rows count from 0."),
        "items": dict(ITEM_STATES),
        "more_problems": _("and {count} more rows"),
        "bad_row": _("Row {index}: {problem}"),
        "tried": _("{state}: {done} of {total} rows tried"),
        "tokens": _("{tokens} tokens"),
        "estimate": _("{rows} rows: about {time}"),
        "estimate_basis": _(
            "{rate} rows per second on {nodes} engines, about {tokens} tokens, if they stay free"
        ),
        "no_estimate": _("No row succeeded, so nothing can be said about the time."),
        "refusals": dict(REFUSALS),
        "problems": dict(PROBLEMS),
    }


@register.filter
def cause(code: str) -> str:
    """Why items failed, in words; an unknown code says so itself."""
    return str(CAUSES.get(code, code))


@register.filter
def advice(code: str | None) -> str:
    """What to do about it; nothing for a code that is not known."""
    return str(ADVICE.get(code or "", ""))


@register.simple_tag
def advice_words() -> dict[str, str]:
    """All advice, for the page's script."""
    return {code: str(words) for code, words in ADVICE.items()}


@register.filter
def item_state(value: str) -> str:
    """An item's state in the reader's language."""
    return str(ITEM_STATES.get(value, value))


@register.simple_tag
def causes() -> dict[str, str]:
    """All causes in words, for the page's script."""
    return {code: str(words) for code, words in CAUSES.items()}
