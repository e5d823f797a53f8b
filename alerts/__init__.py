"""Alerts: reads the selectors of the others; nobody imports it."""
