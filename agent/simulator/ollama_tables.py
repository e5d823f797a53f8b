"""What Ollama tells of its models: /api/tags, /api/ps, /api/show, /v1/models."""

from __future__ import annotations

import time

from agent.simulator.engine import Engine
from agent.simulator.formats import created_at
from agent.simulator.residency import Model

VERSION = "0.33.0"
_DEFAULT_CTX = 4096


def tags(engine: Engine) -> dict[str, object]:
    """Every model on the disk."""
    return {"models": [_row(engine, model) for model in engine.residency.models.values()]}


def running(engine: Engine) -> dict[str, object]:
    """The models that are loaded, with when each goes."""
    return {"models": [_running_row(engine, model, left) for model, left in engine.residency.loaded()]}


def show(engine: Engine, model: Model) -> dict[str, object]:
    """All about one model."""
    details = _details(engine, model)
    return {
        "modelfile": f"# a simulated model\nFROM {model.name}\n",
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": {name: value for name, value in details.items() if not name.endswith("_length")},
        "model_info": {
            "general.architecture": "llama",
            "general.parameter_count": int(model.parameters * 1e9),
            "llama.context_length": details["context_length"],
            "llama.embedding_length": details["embedding_length"],
        },
        "capabilities": _capabilities(model),
        "modified_at": _modified_at(engine),
    }


def v1_model(engine: Engine, model: Model, name: str) -> dict[str, object]:
    """A model as OpenAI's list has it."""
    return {"id": name, "object": "model", "created": int(engine.started_at), "owned_by": "library"}


def _row(engine: Engine, model: Model) -> dict[str, object]:
    return {
        "name": model.name,
        "model": model.name,
        "modified_at": _modified_at(engine),
        "size": model.size,
        "digest": model.digest,
        "details": _details(engine, model),
        "capabilities": _capabilities(model),
    }


def _running_row(engine: Engine, model: Model, left_s: float) -> dict[str, object]:
    details = _details(engine, model)
    return {
        "name": model.name,
        "model": model.name,
        "size": model.size,
        "digest": model.digest,
        "details": {name: value for name, value in details.items() if not name.endswith("_length")},
        "expires_at": created_at(time.time_ns() + int(left_s * 1e9)),
        "size_vram": model.size,
        "context_length": details["context_length"],
    }


def _details(engine: Engine, model: Model) -> dict[str, object]:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": f"{model.parameters:g}B",
        "quantization_level": "Q4_0",
        "context_length": engine.options.ctx or _DEFAULT_CTX,
        "embedding_length": 64,
    }


def _capabilities(model: Model) -> list[str]:
    if model.is_embedder:
        return ["embedding"]
    able = {"tools": model.calls_tools, "thinking": model.thinks}
    return ["completion", *(name for name, has in able.items() if has)]


def _modified_at(engine: Engine) -> str:
    return created_at(int(engine.started_at * 1e9))
