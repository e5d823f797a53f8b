"""The dialects that engines speak, by kind."""

from __future__ import annotations

from inference.dialects.base import Dialect
from inference.dialects.ollama import OllamaDialect
from inference.dialects.openai import OpenAIDialect

DIALECTS: dict[str, Dialect] = {"ollama": OllamaDialect(), "openai": OpenAIDialect()}
