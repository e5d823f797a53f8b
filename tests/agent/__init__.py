"""The agent and its simulator, over real HTTP on loopback."""

from __future__ import annotations
