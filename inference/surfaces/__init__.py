"""The dialects that clients speak, each with how its requests are read and its answers written. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from inference.surfaces.base import Surface, VectorSurface
from inference.surfaces.embeddings import OllamaEmbed, OllamaEmbeddings, OpenAIEmbeddings
from inference.surfaces.ollama import OllamaChat, OllamaGenerate
from inference.surfaces.openai import OpenAIChat
from inference.surfaces.openai_completions import OpenAICompletions
from inference.surfaces.seed import SeedChat

SURFACES: Mapping[str, Surface | VectorSurface] = MappingProxyType(
    {
        "/v1/chat/completions": OpenAIChat(),
        "/v1/completions": OpenAICompletions(),
        "/v1/embeddings": OpenAIEmbeddings(),
        "/api/chat/completions": SeedChat(),
        "/api/chat": OllamaChat(),
        "/api/generate": OllamaGenerate(),
        "/api/embed": OllamaEmbed(),
        "/api/embeddings": OllamaEmbeddings(),
    }
)
"""By the path that clients ask."""
