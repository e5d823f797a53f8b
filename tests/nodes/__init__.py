"""What the nodes app promises."""
