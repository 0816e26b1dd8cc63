"""Crawls bookshop websites and publishes what it finds to a Redis stream."""
