"""Books in the structured data of a page."""
