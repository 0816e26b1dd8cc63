"""Spiders extract books and links. They do not clean the text of a page."""
