"""What the chat page's scripts say, in the reader's language; for each error, what to do about it."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _


def phrases() -> dict[str, Any]:
    """The words by the names under which the scripts ask for them."""
    return _page() | {
        "errors": _errors(),
        "why": _why(),
        "roles": {"user": _("You"), "assistant": _("Answer")},
    }


def _page() -> dict[str, str]:
    return {
        "untitled": _("New conversation"),
        "ready": _("Live"),
        "whole": _("The connection is interrupted: answers come in one piece. Trying again…"),
        "away": _("The server does not answer. What you write stays here. Trying again…"),
        "out": _("You are logged out. Reload the page to log in."),
        "waiting": _("Waiting for the first word… {seconds}"),
        "thinking": _("Thinking…"),
        "thought": _("Thoughts"),
        "thought_for": _("Thought for {time}"),
        "stopped": _("Stopped."),
        "length": _("Cut off: the answer is as long as was allowed. Raise max tokens, or ask it to go on."),
        "broke": _("The connection broke while this was being answered. Regenerate to ask again."),
        "left": _("The page was left while this was being answered. Regenerate to ask again."),
        "empty": _("The answer is empty."),
        "answered": _("The answer is complete."),
        "sent": _("Sent."),
        "ttft": _("first token after {time}"),
        "rate": _("{rate} tokens/s"),
        "tokens": _("{count} tokens"),
        "about_tokens": _("about {count} tokens"),
        "loaded": _("loaded"),
        "auto": _("auto: whatever is loaded"),
        "no_such_model": _("{model} (not there now)"),
        "copy": _("Copy"),
        "copied": _("Copied"),
        "code": _("code"),
        "picture": _("picture: {text}"),
        "goes_to": _("goes to {host}"),
        "deleted": _("“{title}” was deleted."),
        "cut": _("Later messages were removed: {count}."),
        "regenerated": _("The earlier answer was replaced."),
        "undone": _("It is back."),
        "kept_nowhere": _("This browser keeps nothing: the conversations are gone when the page is closed."),
        "kept_full": _("This browser has no room left for conversations. Delete some, or export them first."),
        "none_found": _("No conversation has that in it."),
        "none_yet": _("No conversation yet."),
        "not_there": _("This conversation is not in this browser: they stay where they were held."),
        "no_pictures": _("{model} takes no pictures."),
        "may_take_pictures": _("Its engine does not say whether {model} takes pictures."),
        "picture_kind": _("Only PNG, JPEG, WebP and GIF pictures can be sent."),
        "picture_large": _("The picture is larger than {most} MiB, and could not be made smaller."),
        "pictures_many": _("At most {most} pictures go with one message."),
        "question_large": _(
            "The conversation is too large to send: begin a new one, or send fewer pictures."
        ),
        "none_loaded": _("No model is loaded now. Choose one: it is loaded first, which takes a while."),
        "one_moment": _("An answer is on its way. Stop it first."),
    }


def _errors() -> dict[str, str]:
    full = _("All engines are busy, and enough requests wait already. Try again in a moment.")
    slow = _("No engine became free in time. Try again, or choose another model.")
    broke = _("The answer broke off. Regenerate to ask again; another machine may take it.")
    return {
        "model_not_found": _("No machine has this model now. Choose another one above."),
        "model_missing": _("The machine does not have this model any more. Choose another one above."),
        "model_only_embeds": _("This model cannot chat. Choose another one above."),
        "no_engine": _("No machine can take this now. Choose a model, or look at the fleet for why."),
        "node_locked": _("The machine was locked meanwhile. Try again: another one may be free."),
        "queue_full": full,
        "engine_busy": full,
        "waited_too_long": slow,
        "timeout": slow,
        "not_ready": _("The server has just started. Try again in a moment."),
        "too_many": _("Several answers are on their way already. Stop one first."),
        "context_length": _(
            "This is longer than the model can read. Begin a new one, or edit an earlier message."
        ),
        "reply_too_large": _("The answer grew too long. Ask for a shorter one, or set max tokens."),
        "refused_by_engine": _("The engine refused this request: look at its parameters and pictures."),
        "unreachable": _("The machine does not answer. Try again: another one may be free."),
        "connection_lost": broke,
        "stream_cut": broke,
        "invalid_reply": broke,
        "engine_error": _("The engine failed at this. Try again, or choose another model."),
        "not_supported": _("The engine cannot do this. Choose another model."),
        "slot_lost": broke,
        "unauthenticated": _(
            "You are logged out. Reload the page to log in; what you wrote stays in this browser."
        ),
        "missing_scope": _("Your role does not allow chatting any more. Ask an admin."),
        "csrf_failed": _("Reload the page and try again."),
        "rate_limited": _("The limit is reached. Wait a while."),
        "internal_error": _("DPL met a defect. Try again; its log has the details."),
    }


def _why() -> dict[str, str]:
    """The scheduler's reasons; what stands in braces is taken over."""
    return {
        "done in about {0} s": _("done in about {0} s"),
        "{0} of {1} slots busy": _("{0} of {1} slots busy"),
        "{0} tokens/s measured": _("{0} tokens/s measured"),
        "model resident": _("model loaded"),
        "model must be loaded": _("model must be loaded first"),
        "it answered this conversation before": _("it answered this conversation before"),
        "the conversation's prefix belongs here": _("this conversation belongs there"),
    }
