"""Runs one crawl in a separate process: from the crawl request to the published finish message."""
