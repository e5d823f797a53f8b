"""Writes a tiny language model with random weights, so that a real llama.cpp server runs anywhere.

The model is a llama of a few layers. It knows the printable ASCII characters and, as a fallback, all bytes.
Its answers are gibberish that goes on until `max_tokens`, the same for the same seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_END = "<|im_end|>"


@dataclass(frozen=True)
class Shape:
    """How large the model is: a wider and deeper one is slower."""

    width: int = 64
    layers: int = 2
    heads: int = 4
    hidden: int = 128
    context: int = 512
    seed: int = 7


SMALL = Shape()
SLOW = Shape(width=256, layers=8, heads=8, hidden=1024, context=65536)


def write_model(path: Path, shape: Shape = SMALL) -> None:
    """Write the model as a GGUF file. Needs `gguf` and `numpy`."""
    import gguf
    import numpy

    tokens = vocabulary(gguf.TokenType)
    writer = gguf.GGUFWriter(str(path), "llama")
    _describe(writer, shape, tokens)
    random = numpy.random.default_rng(shape.seed)
    for name, array in _weights(numpy, random, shape, tokens, gguf.TokenType.NORMAL):
        writer.add_tensor(name, array.astype(numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def vocabulary(kinds: Any) -> list[tuple[str, int]]:
    """Text and kind of each token."""
    special = [("<unk>", kinds.UNKNOWN), ("<s>", kinds.CONTROL), ("</s>", kinds.CONTROL)]
    special += [(text, kinds.CONTROL) for text in ("<|im_start|>", _END)]
    byte_tokens = [(f"<0x{value:02X}>", kinds.BYTE) for value in range(256)]
    characters = ["\u2581", *(chr(code) for code in range(33, 127))]
    return [*special, *byte_tokens, *((text, kinds.NORMAL) for text in characters)]


def _describe(writer: Any, shape: Shape, tokens: list[tuple[str, int]]) -> None:
    writer.add_name("tiny")
    writer.add_vocab_size(len(tokens))
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_layer_norm_rms_eps(1e-5)
    describe_tokens(writer, tokens)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)


def describe_tokens(writer: Any, tokens: list[tuple[str, int]]) -> None:
    """Write the vocabulary."""
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _ in tokens])
    writer.add_token_scores([-float(index) for index in range(len(tokens))])
    writer.add_token_types([int(kind) for _, kind in tokens])
    writer.add_bos_token_id(1)
    writer.add_unk_token_id(0)
    writer.add_eos_token_id(next(index for index, (text, _) in enumerate(tokens) if text == _END))
    writer.add_add_bos_token(True)


def _weights(
    numpy: Any, random: Any, shape: Shape, tokens: list[tuple[str, int]], normal: int
) -> list[tuple[str, Any]]:
    """Names and values of all tensors.

    The first channel is the same large number for every token and no layer writes into it, so the first
    column of the output matrix is a bias per token: that is how only printable characters are ever chosen.
    """
    width, scale = shape.width, shape.width**-0.5
    embedding = random.standard_normal((len(tokens), width))
    embedding[:, 0] = 16.0
    output = random.standard_normal((len(tokens), width))
    output[:, 0] = [0.0 if kind == normal else -40.0 for _, kind in tokens]
    named = [
        ("token_embd.weight", embedding),
        ("output.weight", output),
        ("output_norm.weight", numpy.ones(width)),
    ]
    into = {"attn_q": (width, width), "attn_k": (width, width), "attn_v": (width, width)}
    into |= {"ffn_gate": (shape.hidden, width), "ffn_up": (shape.hidden, width)}
    back = {"attn_output": (width, width), "ffn_down": (width, shape.hidden)}
    for layer in range(shape.layers):
        start = f"blk.{layer}."
        named += [(f"{start}{name}.weight", numpy.ones(width)) for name in ("attn_norm", "ffn_norm")]
        named += [
            (f"{start}{name}.weight", random.standard_normal(size) * scale) for name, size in into.items()
        ]
        for name, size in back.items():
            matrix = random.standard_normal(size) * scale
            matrix[0] = 0.0
            named.append((f"{start}{name}.weight", matrix))
    return named
