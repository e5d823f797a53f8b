"""The long-running processes: supervisor, web, controller, worker watchdog."""
