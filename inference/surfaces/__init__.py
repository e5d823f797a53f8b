"""The dialects that clients speak, each with how its requests are read and its answers written. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from inference.surfaces.base import Surface
from inference.surfaces.ollama import OllamaChat, OllamaGenerate
from inference.surfaces.openai import OpenAIChat

SURFACES: Mapping[str, Surface] = MappingProxyType(
    {
        "/v1/chat/completions": OpenAIChat(),
        "/api/chat": OllamaChat(),
        "/api/generate": OllamaGenerate(),
    }
)
"""By the path that clients ask."""
