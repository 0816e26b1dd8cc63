"""One crawl in a process of its own: from a request to the published end of its run."""
