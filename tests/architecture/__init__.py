"""The house itself: its sizes, its rules, the direction of its imports, its documentation."""
