"""How the API's schema and its page describe keys."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its hook has no types
    """A key in the Authorization header, in OpenAPI's words. Importing this module registers it."""

    target_class = "accounts.rest.KeyAuthentication"
    name = "API key"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """The scheme's definition."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "dpl_…"}
