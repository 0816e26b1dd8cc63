"""Rebuilds of the search index."""
