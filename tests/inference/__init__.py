"""The specification of this app."""
