"""When two names mean one model: engines write `llama3` and `llama3:latest` for the same. Pure."""

from __future__ import annotations

from functools import lru_cache


def same_model(asked: str, has: str) -> bool:
    """Whether two names mean one model; a name without a tag means its `latest`, as Ollama has it."""
    return has in spellings(asked)


def short_name(model: str) -> str:
    """A model's name without the tag `latest`, which it means anyway."""
    return model.removesuffix(":latest")


@lru_cache(maxsize=1024)
def spellings(asked: str) -> tuple[str, ...]:
    """The names under which engines may have a model, the one that was asked for first."""
    short = short_name(asked)
    if ":" in short.rsplit("/", 1)[-1]:
        return (asked,)
    return (asked, f"{short}:latest" if asked == short else short)
