"""Command lines leave the machine without their secrets, and with everything else."""

from __future__ import annotations

import time

import pytest

from agent.redaction import MASK, MAX_COMMAND, is_secret_name, redact


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["python", "train.py", "--token", "abc123"], f"python train.py --token {MASK}"),
        (["vllm", "--api-key=abc123"], f"vllm --api-key={MASK}"),
        (["vllm", "--api_key", "abc,123;x"], f"vllm --api_key {MASK}"),
        (["env", "HF_TOKEN=abc123", "python"], f"env HF_TOKEN={MASK} python"),
        (["run", "WANDB_API_KEY=a b;c&d"], f"run WANDB_API_KEY={MASK}"),
        (["mysql", "--password=a=b=c"], f"mysql --password={MASK}"),
        (["x", "-password", "abc"], f"x -password {MASK}"),
        (["x", "--dbPassword", "abc"], f"x --dbPassword {MASK}"),
        (["x", "--client-secret-file", "/s"], f"x --client-secret-file {MASK}"),
        (["git", "clone", "https://ada:s3@cret@host/repo"], f"git clone https://{MASK}@host/repo"),
        (["x", "postgres://u:p@db:5432/n"], f"x postgres://{MASK}@db:5432/n"),
        (["curl", "-H", "Authorization: Bearer abc.def"], f"curl -H Authorization: {MASK}"),
        (["curl", "https://h/?a=1&api_key=abc&b=2"], f"curl https://h/?a=1&api_key={MASK}&b=2"),
        (
            ["sh", "-c", "HF_TOKEN=abc python x.py --token def -v"],
            f"sh -c HF_TOKEN={MASK} python x.py --token {MASK} -v",
        ),
        (["x", "--config", '{"apiKey": "abc", "n": 1}'], f'x --config {{"apiKey": "{MASK}", "n": 1}}'),
        (["x", "--env", "PARAMS=token=abc"], f"x --env PARAMS=token={MASK}"),
        (["x", "hf_abcdefghijklmnopqrst"], f"x {MASK}"),
        (["x", "sk-abcdefghijklmnopqrst", "ok"], f"x {MASK} ok"),
        (["x", "--token", "--verbose"], "x --token --verbose"),
        (["x", "--use-auth-token", "--password", "abc"], f"x --use-auth-token --password {MASK}"),
        (["x", "--token", "-Zk9_secret-like"], f"x --token {MASK}"),
    ],
)
def test_it_masks_secrets(argv: list[str], shown: str) -> None:
    assert redact(argv) == shown


@pytest.mark.parametrize(
    "argv",
    [
        ["python", "-m", "vllm", "--max-tokens", "100", "--tokenizer", "auto", "--num_memory_tokens=4"],
        ["llama-server", "-m", "/models/passage-tokens.gguf", "--ctx-size", "4096", "--port", "8080"],
        [
            "train.py",
            "--lr=0.1",
            "--tokens-per-second",
            "5",
            "http://host:8000/path",
            "C:\\Program Files\\x.exe",
        ],
        [
            "torchrun",
            "--nproc_per_node=8",
            "--rdzv_endpoint=host:29500",
            "--keyboard",
            "us",
            "--author",
            "ada",
        ],
    ],
)
def test_it_leaves_everything_else_alone(argv: list[str]) -> None:
    assert redact(argv) == " ".join(argv)


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN",
        "token",
        "api-key",
        "apiKey",
        "OPENAI_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "DB_PASS",
        "ssh-passphrase",
    ],
)
def test_it_knows_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["max_tokens", "tokenizer", "num_memory_tokens", "passage", "keyboard", "monkey", ""]
)
def test_it_knows_names_that_only_look_like_it(name: str) -> None:
    assert not is_secret_name(name)


def test_a_command_is_short_and_has_no_control_characters() -> None:
    shown = redact(["x\ny\x1b[31m", "a" * 5000])
    assert len(shown) == MAX_COMMAND
    assert shown.startswith("x y [31m aaa")
    assert shown.endswith("…")


def test_a_hostile_command_line_costs_no_time() -> None:
    began = time.process_time()
    for text in ("a=" * 3000, "://" * 2000, "x" * 5000, '"' * 5000, "--" * 3000, "a:b@" * 2000, "eyJ" * 2000):
        redact([text] * 3)
    assert time.process_time() - began < 2
