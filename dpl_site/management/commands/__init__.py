"""Commands that run or examine whole processes."""
