"""Crawl runs: accounting, approval, missing offers, quality and quarantine."""
