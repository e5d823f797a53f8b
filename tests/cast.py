"""The fixed cast of the tests: three nodes (fast, slow, dead) and four people (admin, operator, viewer, stranger)."""

from __future__ import annotations

NODES = ("fast", "slow", "dead")
PEOPLE = {"ada": "admin", "otto": "operator", "vera": "viewer", "stan": "operator"}
"""Name → role; stan is the stranger: an operator to whom nothing of the others belongs."""
PASSWORD = "correct horse battery"
