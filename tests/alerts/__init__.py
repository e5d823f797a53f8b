"""Rules, alerts, their delivery."""
