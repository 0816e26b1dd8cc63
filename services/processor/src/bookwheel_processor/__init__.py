"""Cleans scraped items, stores them in the records, and projects the records to the search index and the lake."""
