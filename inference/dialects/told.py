"""Reads how many tokens a whole answer tells, in either dialect, without reading the answer. Pure."""

from __future__ import annotations

import re

from inference.dialects.deltas import Usage

_READ = re.compile(rb'"(?:prompt_tokens|prompt_eval_count)"\s*:\s*(\d{1,15})\b')
_WRITTEN = re.compile(rb'"(?:completion_tokens|eval_count)"\s*:\s*(\d{1,15})\b')
_END_BYTES = 16 * 1024
"""Both dialects tell it after the answer. Within the answer's own text the quotes would be escaped."""


def usage_in(body: bytes) -> Usage:
    """The tokens read and written, as the end of a JSON answer tells them; None for what it does not tell."""
    end = body[-_END_BYTES:]
    return Usage(_last(_READ, end), _last(_WRITTEN, end))


def _last(pattern: re.Pattern[bytes], text: bytes) -> int | None:
    found = pattern.findall(text)
    return int(found[-1]) if found else None
