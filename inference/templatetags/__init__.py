"""Template tags of inference."""
