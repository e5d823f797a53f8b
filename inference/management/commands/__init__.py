"""The commands of inference."""
