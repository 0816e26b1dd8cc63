"""Cleans and validates what was scraped, keeps the records and projects them to the search index."""
