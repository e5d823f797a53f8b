"""Range queries."""
