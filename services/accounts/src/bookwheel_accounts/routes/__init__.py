"""The HTTP routes, by concern."""
