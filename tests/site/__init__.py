"""Settings, checks, headers and the shapes of errors."""
