"""Reads one page as a crawl would and shows what it gives. Publishes nothing."""
