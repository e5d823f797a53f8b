"""The real clients of OpenAI and Ollama: what passes straight to an engine passes through the gateway."""
