"""What is kept of one request through the gateway: noted while it happens, one frozen record when it is over.

Pure but for the clock that it is given; nothing here waits for anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from accounts.authentication import Principal
from inference.dialects.base import Reply
from inference.errors import InferenceError
from inference.scheduling import Candidate, Decision, EngineSnapshot

OK = "ok"
CANCELLED = "cancelled"
CLIENT_LEFT = 499
MOST_TOLD = 8
"""How many of the engines that were not chosen are told of, each way; a decision over 1,000 stays short."""
MOST_TEXT = 300


class Attempt(NamedTuple):
    """One try: where it went and why, who else was considered, and how it failed (`error` empty: it did not).

    `others` are the next best with the seconds that they would have taken, `rejected` those that could not take
    it and why, both by node name. `engine_id` is None when no engine could be had.
    """

    node_id: int | None = None
    node_name: str = ""
    engine_id: int | None = None
    model: str = ""
    reasons: tuple[str, ...] = ()
    others: tuple[tuple[str, float], ...] = ()
    rejected: tuple[tuple[str, str], ...] = ()
    error: str = ""
    message: str = ""


class RequestRecord(NamedTuple):
    """One request. `outcome` is `ok`, `cancelled` or the code of its error; tokens are None where nobody knows.

    `at` is epoch seconds. `model_used` is the engine's own name of the model, empty when no engine has it.
    `is_estimated`: the engine told no completion tokens, and pieces of the answer were counted instead.
    `is_in_full`: it has a row of its own in the log; else it is counted only, and its tries lack their reasons.
    A tuple, as there are thousands a second.
    """

    request_id: str
    at: float
    path: str
    outcome: str
    status: int
    user_id: int = 0
    username: str = ""
    key_id: int | None = None
    model_asked: str = ""
    is_streaming: bool = False
    waited_ms: int = 0
    ttft_ms: int | None = None
    duration_ms: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    is_estimated: bool = False
    attempts: tuple[Attempt, ...] = ()
    is_in_full: bool = True

    @property
    def last(self) -> Attempt:
        """The try that decided: the last that went to an engine, or the last of all when none did."""
        if len(self.attempts) == 1:
            return self.attempts[0]
        went = [one for one in self.attempts if one.engine_id is not None]
        return (went or self.attempts or (Attempt(),))[-1]

    @property
    def model_used(self) -> str:
        """The model that answered, or would have."""
        return self.last.model

    @property
    def tokens(self) -> int:
        """Read and written, as far as they are known."""
        return (self.prompt_tokens or 0) + (self.completion_tokens or 0)

    @property
    def is_failed(self) -> bool:
        """Whether it ended in an error; a client that left is none."""
        return self.outcome not in (OK, CANCELLED)

    @property
    def failovers(self) -> tuple[Attempt, ...]:
        """The tries whose failure sent the request to another engine."""
        if len(self.attempts) < 2:
            return ()
        went = [one for one in self.attempts if one.engine_id is not None]
        return tuple(one for one in went[:-1] if one.error)


@dataclass(slots=True)
class _Try:
    """One try under way."""

    decision: Decision
    snapshots: Mapping[int, EngineSnapshot]
    candidate: Candidate | None = None
    node_name: str = ""
    error: str = ""
    message: str = ""

    def counted(self) -> Attempt:
        """What is kept of one that is counted only."""
        chosen, best = self.candidate, self.candidate or self.decision.best
        return Attempt(
            node_id=chosen.node_id if chosen else None,
            node_name=self.node_name,
            engine_id=chosen.engine_id if chosen else None,
            model=best.model if best else "",
            error=self.error,
            message=self.message,
        )

    def told(self) -> Attempt:
        """What is kept of one that has a row of its own."""
        names, chosen = self.snapshots, self.candidate
        return self.counted()._replace(
            reasons=chosen.why() if chosen else (),
            others=tuple(
                [
                    (names[one.engine_id].node_name, round(one.expected_finish_s, 3))
                    for one in self.decision.candidates[:MOST_TOLD]
                    if one.engine_id in names and names[one.engine_id].node_name != self.node_name
                ]
            ),
            rejected=tuple(
                [
                    (names[engine_id].node_name, why)
                    for engine_id, why in islice(self.decision.rejected.items(), MOST_TOLD)
                    if engine_id in names
                ]
            ),
        )


@dataclass(slots=True)
class Note:
    """One request that is under way; whoever works on it writes here what it sees."""

    request_id: str
    path: str
    clock: Callable[[], float] = time.monotonic
    at: float = field(default_factory=time.time)
    principal: Principal | None = None
    model_asked: str = ""
    is_streaming: bool = False
    outcome: str = OK
    status: int = 200
    lines: int = 0
    """How many lines of a streamed answer went to the client."""
    _began: float = field(init=False)
    _decided: float = 0.0
    _chosen: float = 0.0
    _waited: float = 0.0
    _ttft_ms: int | None = None
    _prompt_tokens: int | None = None
    _completion_tokens: int | None = None
    _tries: list[_Try] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def decided(self, decision: Decision, snapshots: Mapping[int, EngineSnapshot]) -> None:
        """A try begins: the engines were ranked, and a slot of one of them is waited for."""
        self._decided = self.clock()
        self._tries.append(_Try(decision, snapshots))

    def chosen(self, candidate: Candidate, node_name: str) -> None:
        """A slot was had: the try goes there."""
        self._chosen = self.clock()
        self._waited += self._chosen - self._decided
        self._tries[-1].candidate, self._tries[-1].node_name = candidate, node_name

    def failed(self, error: InferenceError) -> None:
        """The try ended in an error."""
        self._tries[-1].error, self._tries[-1].message = error.code, error.message[:MOST_TEXT]

    def used(self, reply: Reply) -> None:
        """What the engine of the last try told, whether it came to its end or not."""
        if reply.ttft_ms is not None:
            self._ttft_ms = round((self._chosen - self._began) * 1000) + reply.ttft_ms
        self._prompt_tokens = reply.prompt_tokens
        self._completion_tokens = reply.completion_tokens

    def wrote(self, data: bytes) -> None:
        """A part of a streamed answer went to the client."""
        self.lines += data.count(b"\n")

    def ended(self, outcome: str, status: int) -> None:
        """It did not end well, and why."""
        self.outcome, self.status = outcome, status

    def record(self, *, in_full: bool = True) -> RequestRecord:
        """What is kept of it, now that it is over; `in_full` with why it went where it went."""
        now = self.clock()
        waits_still = bool(self._tries) and self._tries[-1].candidate is None
        waited = self._waited + (now - self._decided if waits_still else 0.0)
        # An event of OpenAI's streams is two lines, a piece of Ollama's one.
        pieces = self.lines // 2 if self.path.endswith("/completions") else self.lines
        is_estimated = self._completion_tokens is None and pieces > 0
        return RequestRecord(
            request_id=self.request_id,
            at=self.at,
            path=self.path,
            outcome=self.outcome,
            status=self.status,
            user_id=self.principal.user_id if self.principal else 0,
            username=self.principal.username if self.principal else "",
            key_id=self.principal.key_id if self.principal else None,
            model_asked=self.model_asked,
            is_streaming=self.is_streaming,
            waited_ms=round(waited * 1000),
            ttft_ms=self._ttft_ms,
            duration_ms=round((now - self._began) * 1000),
            prompt_tokens=self._prompt_tokens,
            completion_tokens=pieces if is_estimated else self._completion_tokens,
            is_estimated=is_estimated,
            attempts=tuple([one.told() if in_full else one.counted() for one in self._tries]),
            is_in_full=in_full,
        )
