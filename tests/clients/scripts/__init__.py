"""One script for each client, run in the client's own environment: checks that tell what the client saw."""
