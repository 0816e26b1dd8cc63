"""Crawl runs: accounting, approval, quality and quarantine."""
