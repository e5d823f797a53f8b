"""Datasets: parsing, jobs, shards, items, results."""
