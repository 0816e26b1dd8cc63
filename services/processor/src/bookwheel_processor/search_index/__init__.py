"""Keeps the search index equal to the records."""
