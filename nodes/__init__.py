"""Machines: topology, process instances, probing, locks."""
