"""Writes a language model that always says the same text, so that a real llama.cpp calls tools and thinks for sure.

Each token's successor is fixed: the embedding of a token is a unit vector, the layer adds nothing, and the output
matrix has one large entry per token. The prompt ends in a line feed, which the first piece of the text follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.engines.tiny_gguf import describe_tokens, vocabulary

TEMPLATE = (
    "{% if tools %}<|im_start|>system\n# Tools\n<tools>{% for tool in tools %}\n{{ tool | tojson }}{% endfor %}\n"
    "</tools>\nAnswer with <tool_call>\n{json}\n</tool_call>.<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.reasoning_content %}<think>\n{{ message.reasoning_content }}\n</think>\n\n{% endif %}"
    "{{ message.content or '' }}"
    "{% for call in message.tool_calls or [] %}\n<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    "\n</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_HEAD = 32
_CERTAIN = 3.0


def write_scripted(path: Path, pieces: Sequence[str]) -> None:
    """Write a model that answers these pieces, one token each; no piece may come twice or be one character."""
    import gguf
    import numpy

    tokens = vocabulary(gguf.TokenType)
    start = len(tokens)
    tokens += [(piece.replace(" ", "\u2581"), gguf.TokenType.NORMAL) for piece in pieces]
    if len({text for text, _ in tokens}) != len(tokens):
        raise ValueError("a piece of the script comes twice")
    width = -(-len(tokens) // 64) * 64
    writer = gguf.GGUFWriter(str(path), "llama")
    _describe(writer, width, tokens)
    newline = next(index for index, (text, _) in enumerate(tokens) if text == "<0x0A>")
    end = next(index for index, (text, _) in enumerate(tokens) if text == "<|im_end|>")
    chain = [newline, *range(start, len(tokens)), end]
    for name, array in _weights(numpy, width, len(tokens), chain, end):
        writer.add_tensor(name, array.astype(numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: Any, width: int, tokens: list[tuple[str, int]]) -> None:
    writer.add_name("scripted")
    writer.add_vocab_size(len(tokens))
    writer.add_context_length(2048)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(_HEAD)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_key_length(_HEAD)
    writer.add_value_length(_HEAD)
    writer.add_rope_dimension_count(_HEAD)
    writer.add_layer_norm_rms_eps(1e-5)
    describe_tokens(writer, tokens)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)


def _weights(numpy: Any, width: int, count: int, chain: Sequence[int], end: int) -> list[tuple[str, Any]]:
    """Names and values of all tensors: what follows a token off the chain is the end."""
    embedding = numpy.zeros((count, width))
    embedding[numpy.arange(count), numpy.arange(count)] = 1.0
    output = numpy.zeros((count, width))
    output[end, :] = 0.5
    for before, after in pairwise(chain):
        output[after, before] = _CERTAIN
    silent = {"attn_q": (_HEAD, width), "attn_k": (_HEAD, width), "attn_v": (_HEAD, width)}
    silent |= {"attn_output": (width, _HEAD), "ffn_gate": (_HEAD, width), "ffn_up": (_HEAD, width)}
    silent["ffn_down"] = (width, _HEAD)
    named = [("token_embd.weight", embedding), ("output.weight", output)]
    named += [
        (f"{name}.weight", numpy.ones(width)) for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm")
    ]
    return named + [(f"blk.0.{name}.weight", numpy.zeros(size)) for name, size in silent.items()]
