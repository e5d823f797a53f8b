"""What a person may do to a job from its page, and in which states: one table for the buttons and for the doing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from datasets import services
from datasets.moves import ENDED, STOPPABLE
from datasets.states import JobState, StopMode


@dataclass(frozen=True, slots=True)
class Action:
    """One button: in which states it makes sense, what it says, what it does, and what is said then."""

    name: str
    states: frozenset[JobState]
    label: str | Promise
    hint: str | Promise
    done: str | Promise
    do: Callable[[str], object]
    needs_failed: bool = False
    way: str | Promise = ""
    """What the button says in the dialog that asks before; empty for what needs no asking."""


@dataclass(frozen=True, slots=True)
class Button:
    """An action as the page draws it; `states` is for the script that shows and hides it later."""

    action: Action
    states: str
    is_shown: bool


_ALL = (
    Action(
        "stop",
        STOPPABLE,
        _("Stop"),
        _("The items that run now finish, and no other begins. It may take as long as the longest answer."),
        _("The job was told to stop: what runs may finish."),
        lambda job_id: services.job_stop(job_id=job_id, mode=StopMode.DRAIN),
        way=_("Let what runs finish"),
    ),
    Action(
        "abort",
        STOPPABLE | {JobState.STOPPING},
        _("Abort"),
        _("The items that run now are cut off, and begin anew when the job is resumed. It takes a second."),
        _("The job was told to stop at once: what is done is kept."),
        lambda job_id: services.job_stop(job_id=job_id, mode=StopMode.ABORT),
        way=_("Cut off what runs"),
    ),
    Action(
        "resume",
        frozenset({JobState.STOPPED, JobState.FAILED}),
        _("Resume"),
        _("Go on where it stopped."),
        _("The job goes on."),
        lambda job_id: services.job_resume(job_id=job_id),
    ),
    Action(
        "retry-failed",
        ENDED,
        _("Retry failed"),
        _("Run the failed items again, as if they were new."),
        _("The failed items run again."),
        lambda job_id: services.job_retry_failed(job_id=job_id),
        needs_failed=True,
    ),
)
ACTIONS: Mapping[str, Action] = {action.name: action for action in _ALL}


def act(name: str, job_id: str) -> str:
    """Do it, and give the sentence that says so. Raises Refused."""
    action = ACTIONS[name]
    action.do(job_id)
    return str(action.done)


def buttons(status: Mapping[str, Any]) -> list[Button]:
    """All buttons of a job, those that make sense in its detailed status shown."""
    return [
        Button(
            action,
            " ".join(sorted(action.states)),
            status["status"] in action.states and (not action.needs_failed or status["failed"] > 0),
        )
        for action in _ALL
    ]
