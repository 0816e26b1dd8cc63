"""A deterministic bookshop to crawl."""
