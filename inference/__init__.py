"""Engines, residency, slots, scheduling policy and the dialects engines speak."""
