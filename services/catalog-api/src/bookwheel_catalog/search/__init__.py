"""Searches: query parameters, cursors and cached pages."""
