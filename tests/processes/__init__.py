"""The processes, as they are started, kept and stopped."""
