"""Real engines for tests: a tiny model and the server that runs it."""
