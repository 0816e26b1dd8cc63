"""Ports and adapters: records, search index, streams, response cache and lake."""
