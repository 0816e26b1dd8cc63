"""Extracts books from the structured data of a page."""
