"""What is said to engines, and what they answer."""
