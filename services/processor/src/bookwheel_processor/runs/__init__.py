"""The life of a crawl run: approval, finalization, sweep."""
