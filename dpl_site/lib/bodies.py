"""How REST views read bodies: JSON only, and nothing in one is a defect of ours."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class JsonParser(JSONParser):
    """JSON; what is nested deeper than Python can follow is a bad request."""

    def parse(self, *arguments: Any, **named: Any) -> Any:
        """The body's value. Raises ParseError."""
        try:
            return super().parse(*arguments, **named)
        except RecursionError as error:
            raise ParseError("The body is nested too deep.") from error
