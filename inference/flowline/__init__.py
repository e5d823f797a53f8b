"""Seed 2's surface: the paths that FlowLine's page and scripts ask, answered from the fleet as it is known."""
