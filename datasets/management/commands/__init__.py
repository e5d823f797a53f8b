"""Flags and signals only; the services do the rest."""
