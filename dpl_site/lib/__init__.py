"""What the whole house stands on and what knows no model: http, db, clock, secrets, events."""
