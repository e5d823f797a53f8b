"""How a query is refused in Prometheus' words."""

from __future__ import annotations


class QueryError(Exception):
    """`kind` is Prometheus' errorType; `message` says what is wrong and what can be done."""

    def __init__(self, message: str, *, kind: str = "bad_data", status: int = 400) -> None:
        super().__init__(message)
        self.message, self.kind, self.status = message, kind, status

    def body(self) -> dict[str, str]:
        """As Prometheus says it."""
        return {"status": "error", "errorType": self.kind, "error": self.message}
