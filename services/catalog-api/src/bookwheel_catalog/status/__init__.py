"""State of the whole suite."""
