"""Requests for embeddings: vectors made up from the texts, in a place of the engine and with its faults."""

from __future__ import annotations

import base64
import hashlib
import math
import random
import struct
from collections.abc import Sequence

from agent.simulator import faults
from agent.simulator.connection import Exchange
from agent.simulator.engine import Engine, Refusal
from agent.simulator.generation import Timing, occupy
from agent.simulator.reply_text import token_count
from agent.simulator.residency import Model

DIMENSIONS = 64
NOT_AN_EMBEDDER = "This server does not support embeddings. Start it with `--embeddings`"


def vectors_of(texts: Sequence[str], dimensions: int | None = None) -> list[list[float]]:
    """A unit vector for each text: the same for the same text, and of fewer dimensions where asked."""
    return [_vector(text, dimensions) for text in texts]


def packed(vector: Sequence[float]) -> str:
    """A vector as OpenAI's clients ask for it: little-endian 32-bit floats in base64."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


async def embed(
    engine: Engine, exchange: Exchange, model: Model, texts: Sequence[str], answer: bytes
) -> None:
    """Send an answer that is ready, after what an engine takes for it.

    Raises Refusal for a model that makes no embeddings and for texts that are too long.
    """
    if not model.is_embedder:
        raise Refusal(501, NOT_AN_EMBEDDER, "not_supported_error")
    ctx = engine.options.ctx
    if ctx is not None and any(token_count([text]) > ctx for text in texts):
        raise Refusal(400, "the input length exceeds the context length", "invalid_request_error")

    async def work(timing: Timing, fault: str | None) -> bool:
        if fault == faults.CUT:
            exchange.write(answer[: -len(answer) // 4])
            exchange.close()
            return False
        exchange.write(answer)
        return True

    await occupy(engine, exchange, model, "\n".join(texts), work)


def _vector(text: str, dimensions: int | None) -> list[float]:
    dice = random.Random(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    raw = [dice.gauss(0, 1) for _ in range(DIMENSIONS)]
    if dimensions is not None:
        raw = raw[:dimensions]
    length = math.sqrt(sum(value * value for value in raw)) or 1.0
    return [value / length for value in raw]
