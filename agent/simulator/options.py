"""What the simulator is told on its command line, and what is refused there."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from agent.simulator.faults import FAULTS

DEFAULT_PORTS = {"ollama": 11434, "openai": 8080}
DEFAULT_QUEUES = {"ollama": 512, "openai": None}


@dataclass(frozen=True)
class Options:
    """How the engine behaves. Times are seconds; `tokens_per_second` 0 is instant, `max_queue` None endless."""

    host: str = "127.0.0.1"
    port: int = 0
    dialect: str = "ollama"
    models: tuple[str, ...] = ("llama3:8b",)
    latency_s: float = 0.0
    first_token_s: float = 0.0
    tokens_per_second: float = 0.0
    parallel_slowdown: float = 0.0
    load_s: float = 0.0
    preload: bool = False
    slots: int = 4
    max_queue: int | None = None
    words: int = 48
    echo: bool = False
    ctx: int | None = None
    no_chat: int | None = None
    api_key: str | None = None
    faults: tuple[str, ...] = ("500",)
    fail_rate: float = 0.0
    slow_first_token_s: float = 30.0
    seed: int | None = None


def parse_options(argv: Sequence[str] | None = None) -> Options:
    """The options of a command line; ends the program with code 2 and a message where they make no sense."""
    parser = _parser()
    flags = parser.parse_args(argv)
    faults = _listed(flags.fault) or ("500",)
    unknown = [fault for fault in faults if fault not in FAULTS]
    if unknown:
        parser.error(f"--fault {unknown[0]}: there are {', '.join(FAULTS)}")
    port = DEFAULT_PORTS[flags.dialect] if flags.port is None else flags.port
    max_queue = DEFAULT_QUEUES[flags.dialect] if flags.max_queue is None else flags.max_queue
    return Options(
        host=flags.host,
        port=port,
        dialect=flags.dialect,
        models=_listed(flags.model) or ("llama3:8b",),
        latency_s=flags.latency_ms / 1000,
        first_token_s=flags.first_token_ms / 1000,
        tokens_per_second=flags.tokens_per_second,
        parallel_slowdown=flags.parallel_slowdown,
        load_s=flags.load_seconds,
        preload=flags.preload,
        slots=flags.slots,
        max_queue=max_queue,
        words=flags.words,
        echo=flags.echo,
        ctx=flags.ctx,
        no_chat=flags.no_chat,
        api_key=flags.api_key,
        faults=faults,
        fail_rate=flags.fail_rate,
        slow_first_token_s=flags.slow_seconds,
        seed=flags.seed,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m agent.simulator",
        description="A simulated LLM engine for tests, demos and benchmarks.",
        epilog=f"Faults: {', '.join(FAULTS)}. One request asks for a fault with the header 'X-Sim-Fault: KIND' "
        "or with [[sim:KIND]] in its last user message; POST /sim/fault changes them all, GET /sim/stats counts.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    add(
        "--port", type=_port, help="port to listen on (11434, with --dialect openai 8080; 0 for any free one)"
    )
    add("--dialect", choices=sorted(DEFAULT_PORTS), default="ollama", help="which engine it plays (ollama)")
    add("--model", action="append", metavar="NAME", help="a model it has; repeat, or divide by commas")
    _add_speed(parser)
    _add_content(parser)
    _add_faults(parser)
    return parser


def _add_speed(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("speed").add_argument
    add("--latency-ms", type=_not_negative, default=0.0, metavar="L", help="wait before the first token")
    add(
        "--first-token-ms",
        type=_not_negative,
        default=0.0,
        metavar="L",
        help="time to read the prompt, besides",
    )
    add("--tokens-per-second", type=_not_negative, default=0.0, metavar="T", help="per request; 0 is instant")
    add("--parallel-slowdown", type=_not_negative, default=0.0, metavar="F",
        help="each further running request slows all by this share: 0 not at all, 1 as if they took turns")  # fmt: skip
    add("--slots", type=_positive, default=4, metavar="S", help="requests that run at once (4); others wait")
    add(
        "--max-queue",
        type=_count,
        metavar="N",
        help="requests that may wait (512; openai: endless), then 503",
    )
    add("--load-seconds", type=_not_negative, default=0.0, metavar="S", help="time to load a cold model")
    add("--preload", action="store_true", help="the models are loaded from the start and stay")


def _add_content(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("content").add_argument
    add("--echo", action="store_true", help="the reply is exactly the last user message or the prompt")
    add("--words", type=_count, default=48, metavar="N", help="length of a reply without --echo (48)")
    add("--ctx", type=_positive, metavar="N", help="context size in tokens (none: no limit)")
    add("--api-key", metavar="K", help="openai only: the key that requests must bring")
    add(
        "--no-chat",
        type=int,
        choices=(404, 405, 501),
        metavar="STATUS",
        help="/api/chat answers 404, 405 or 501",
    )


def _add_faults(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("faults").add_argument
    add("--fail-rate", type=_share, default=0.0, metavar="F", help="share of requests that fail, 0 to 1")
    add("--fault", action="append", metavar="KIND", help="how they fail (500); of several, one at random")
    add(
        "--slow-seconds",
        type=_not_negative,
        default=30.0,
        metavar="S",
        help="how slow slow-first-token is (30)",
    )
    add("--seed", type=int, metavar="N", help="makes the choice of failing requests repeatable")


def _listed(values: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(part.strip() for value in values or () for part in value.split(",") if part.strip())


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError("must be from 0 to 65535")
    return value
