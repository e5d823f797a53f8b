"""The gateway beside nginx, a bare ASGI proxy and LiteLLM: stub engines, a load client, contenders, the table."""
