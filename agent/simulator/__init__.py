"""An engine that is none: speaks Ollama's and OpenAI's dialects, with speed, slots and faults on demand."""

from __future__ import annotations
