"""Spiders only extract: a page's text goes into a payload as found, links become requests."""
