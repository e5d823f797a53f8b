"""The node's own program: it measures one machine, holds its lock and answers who asks."""

from __future__ import annotations

__version__ = "0.1.0"
