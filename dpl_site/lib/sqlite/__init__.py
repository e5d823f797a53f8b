"""Django's SQLite backend, except for how a transaction waits for the write lock."""
