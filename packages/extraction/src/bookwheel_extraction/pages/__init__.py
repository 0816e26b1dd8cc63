"""Reads the books of an HTML page."""
