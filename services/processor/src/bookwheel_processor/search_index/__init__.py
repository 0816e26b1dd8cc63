"""Keeps the search index consistent with the records."""
