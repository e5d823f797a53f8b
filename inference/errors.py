"""What can go wrong between DPL and an engine, as one tree.

    InferenceError
    ├── ItemFault                the prompt itself ended it: costs the item an attempt
    │   ├── EngineTimeout        no answer within the item's time               retryable
    │   ├── EngineFailure        the engine answered 5xx to this prompt         retryable
    │   │   └── NotSupported     501: it does not do such a thing; another may, and it is not ill
    │   ├── StreamCut            the answer broke off or lacked its end         retryable
    │   ├── InvalidReply         the answer is not what the dialect promises    retryable
    │   ├── ReplyTooLarge        the answer passed DPL_MAX_REPLY_MB             permanent
    │   ├── ContextOverflow      the prompt is longer than the model's context  permanent
    │   └── RequestRefused       another 4xx                                    permanent
    ├── NodeFault                the machine's fault: costs no attempt, another node is tried
    │   ├── Unreachable          refused, reset before an answer, no route, TLS
    │   ├── ConnectionLost       it broke while the answer was under way
    │   ├── EngineBusy           429 or 503: back-pressure, never a breaker failure
    │   ├── ModelMissing         the engine does not have the model (any more)
    │   ├── EngineRejectsUs      401 or 403: its key or host check refuses us
    │   ├── NotAnEngine          something answers there, but it is no engine (`detection`)
    │   └── NodeLocked           the node was locked meanwhile
    └── OurFault                 we ended it: costs no attempt
        ├── Cancelled            the client left, or the job was aborted
        └── SlotLost             the process lost its slot or its heartbeat

`code` is what results and `errors` groups show; `http_status` is what a client of the gateway gets.
"""

from __future__ import annotations

from enum import StrEnum


class Blame(StrEnum):
    """Whose fault an error is."""

    ITEM = "item"
    NODE = "node"
    US = "us"


class InferenceError(Exception):
    """The root. `message` is for people; `engine_message` is what the engine said, when it said something."""

    code = "inference_error"
    blame = Blame.US
    is_retryable = True
    http_status = 502

    def __init__(self, message: str, *, engine_message: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.engine_message = engine_message
        self.retry_after_s = retry_after_s


class ItemFault(InferenceError):
    """The prompt itself ended it."""

    code, blame = "item_fault", Blame.ITEM


class EngineTimeout(ItemFault):
    """No answer within the item's time."""

    code, http_status = "timeout", 504


class EngineFailure(ItemFault):
    """The engine answered 5xx to this prompt."""

    code = "engine_error"


class NotSupported(EngineFailure):
    """The engine does not do what is asked of it (embeddings, mostly); another may."""

    code, http_status = "not_supported", 501


class StreamCut(ItemFault):
    """The answer broke off or lacked its end."""

    code = "stream_cut"


class InvalidReply(ItemFault):
    """The answer is not what the dialect promises."""

    code = "invalid_reply"


class ReplyTooLarge(ItemFault):
    """The answer passed the limit."""

    code, is_retryable = "reply_too_large", False


class ContextOverflow(ItemFault):
    """The prompt is longer than the model's context."""

    code, is_retryable, http_status = "context_length", False, 400


class RequestRefused(ItemFault):
    """The engine refused the request for good."""

    code, is_retryable, http_status = "refused_by_engine", False, 400


class NodeFault(InferenceError):
    """The machine's fault."""

    code, blame, http_status = "node_fault", Blame.NODE, 503


class Unreachable(NodeFault):
    """No connection, or it broke before an answer."""

    code = "unreachable"


class ConnectionLost(NodeFault):
    """It broke while the answer was under way: the machine or its engine died, or was pulled out.

    A prompt that crashes each engine it meets looks the same, so the runner counts these per item.
    """

    code, http_status = "connection_lost", 502


class EngineBusy(NodeFault):
    """Back-pressure."""

    code = "engine_busy"


class ModelMissing(NodeFault):
    """The engine does not have the model."""

    code, http_status = "model_missing", 404


class EngineRejectsUs(NodeFault):
    """The engine's key or host check refuses us."""

    code, http_status = "engine_rejects_us", 502


class NodeLocked(NodeFault):
    """The node was locked meanwhile."""

    code = "node_locked"


class OurFault(InferenceError):
    """We ended it."""

    code, blame = "ours", Blame.US


class Cancelled(OurFault):
    """The client left, or the job was aborted."""

    code, http_status = "cancelled", 499


class SlotLost(OurFault):
    """The process lost its slot or its heartbeat."""

    code, http_status = "slot_lost", 503
